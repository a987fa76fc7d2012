/* visible.h: which blocks of keys a tile goes through: those that causality, the window and the masks leave
 * to one of its queries at least. The masks are scanned once for all tiles. */
#ifndef ATTN_VISIBLE_H
#define ATTN_VISIBLE_H

#include "core/attention/tile.h"

/* What a mask does to the scores of a block. */
enum {
    MASK_ALL = 1,   /* excludes all of them */
    MASK_ZERO = 2,  /* adds nothing to any */
    MASK_LARGE = 4, /* may make one too large for float32 */
};

/* Scans the masks of a pass. */
attn_status attn_visible_prepare(attn_batch *batch, attn_pass *pass);

/* Finds which keys the tile's queries may see by their positions, and goes before its first block. */
void attn_visible_begin(attn_tile *tile);

/* Goes on to the next block that masks leave to one of the queries, tile->keys. The extra keys are the last
 * block, [S, S+). False after the last. */
bool attn_visible_next(attn_tile *tile);

/* Goes back before the first block. */
static inline void attn_visible_rewind(attn_tile *tile) {
    tile->keys = (attn_range){tile->visible.from, tile->visible.from};
}

/* What the mask and the padding mask do to the current block, as MASK_ flags. */
unsigned attn_visible_mask(const attn_tile *tile);
unsigned attn_visible_padding(const attn_tile *tile);

/* Which of the mask_B * mask_H masks is that of the tile's batch entry and head. */
size_t attn_mask_index(const attn_tile *tile);

#endif
