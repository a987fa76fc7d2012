/* block.h: what a tile does with a block of keys: score.c, mask.c, softmax.c and mix.c, in this order. */
#ifndef ATTN_BLOCK_H
#define ATTN_BLOCK_H

#include "core/attention/tile.h"

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
