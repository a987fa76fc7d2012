/* visible.h: which blocks of keys a tile goes through: those that causality, the window and the masks leave
 * to one of its queries at least. The masks are scanned once for all tiles. */
#ifndef ATTN_VISIBLE_H
#define ATTN_VISIBLE_H

#include "core/attention/tile.h"

/* What some numbers of a mask do. An empty block would be all of it. */
enum {
    MASK_ALL = 1,   /* everything is excluded */
    MASK_PLAIN = 2, /* every number is zero */
    MASK_LARGE = 4, /* a sum with one of the numbers may be beyond float32 */
};

/* What the numbers of two glances do together. */
static inline unsigned attn_both_glances(unsigned a, unsigned b) {
    return (a & b & (MASK_ALL | MASK_PLAIN)) | ((a | b) & MASK_LARGE);
}

/* Scans the masks, once for all heads. */
attn_status attn_visible_prepare(attn_batch *batch, attn_pass *pass);

/* Finds what the tile's queries may see by their positions, and goes before its first block. */
void attn_visible_begin(attn_tile *tile);

/* Goes on to the next block of keys that are not all excluded for all queries, as tile->keys, the extra keys
 * being the last block, [S, S+); false after the last. */
bool attn_visible_next(attn_tile *tile);

/* Goes back before the first block. */
static inline void attn_visible_rewind(attn_tile *tile) {
    tile->keys = (attn_range){tile->visible.from, tile->visible.from};
}

/* What the mask and the padding mask do to the block. Extra keys have none; the tile's rows may be in two
 * blocks of rows. */
unsigned attn_visible_mask(const attn_tile *tile);
unsigned attn_visible_padding(const attn_tile *tile);

/* The mask of the tile's batch entry and head, among mask_B * mask_H. */
size_t attn_mask_index(const attn_tile *tile);

#endif
