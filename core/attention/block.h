/* block.h: what a tile does with the blocks of keys, one after the other: visible.c and bias.c prepare it;
 * then come score.c, mask.c, softmax.c and mix.c, in this order. */
#ifndef ATTN_BLOCK_H
#define ATTN_BLOCK_H

#include "core/attention/tile.h"

/* ---- visible.c: which blocks a tile goes through: those of which one of its queries may see a key. The
 * masks are scanned once for all tiles. ---- */

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

/* ---- bias.c: what the distance of a query and a key adds to their score: ALiBi, T5's buckets ---- */

/* The bucket of a distance t - p (transformers, modeling_t5.py, _relative_position_bucket, whose float32
 * arithmetic decides at the edges). */
size_t attn_relative_bucket(const attn_relative_bias *bias, int64_t distance);

/* Makes the pass's table of biases. */
attn_status attn_bias_prepare(attn_pass *pass);

/* Adds biases to the scores of a block of S keys. */
void attn_bias_add(attn_tile *tile);

/* What is added to the score of query n of the tile and key j. */
float attn_bias_at(const attn_tile *tile, size_t n, size_t j);

/* What must be added to all scores of query n of the tile to have the biases in full. */
double attn_bias_shift(const attn_tile *tile, size_t n);

/* ---- The steps of a block ---- */

/* score.c: the scores of the block, before the masks; not finite where they are beyond float32. Sets
 * tile->one_by_one. Polls should_stop now and then, and fails with ATTN_CANCELLED. */
attn_status attn_tile_score(attn_tile *tile);

/* mask.c: adds the masks; excluded scores become minus infinity. Fails with ATTN_BAD_VALUE if one that counts
 * is beyond float32. */
attn_status attn_tile_mask(attn_tile *tile);

/* softmax.c: goes on with the online softmax: the scores become weights relative to the maximum so far. */
void attn_tile_softmax(attn_tile *tile);

/* softmax.c: when maximum and sum are final: goes on to the next block and computes its weights. *more is
 * false after the last. */
attn_status attn_tile_next_weights(attn_tile *tile, bool *more);

/* mix.c: applies dropout to the weights of the block. */
void attn_tile_drop(attn_tile *tile);

/* mix.c: adds the block's values, weighted. */
void attn_tile_mix(attn_tile *tile);

/* mix.c: after the last block: divides by the sums of the weights, and writes pass->heads of the tile's
 * queries. */
attn_status attn_tile_write_heads(attn_tile *tile);

#endif
