/* block.h: what a tile does with a block of keys, in this order: scores, masks, softmax, values. */
#ifndef ATTN_BLOCK_H
#define ATTN_BLOCK_H

#include "core/attention/tile.h"

/* score.c: the scores of the block before the masks, not finite where they are beyond float32, and
 * tile->careful. Looks at should_stop now and then, and fails with ATTN_CANCELLED. */
attn_status attn_tile_score(attn_tile *tile);

/* mask.c: what may not be seen becomes minus infinity. Fails with ATTN_BAD_VALUE if a score that counts is
 * beyond float32. */
attn_status attn_tile_mask(attn_tile *tile);

/* softmax.c: the online softmax, as kernels.h has it. */
void attn_tile_soften(attn_tile *tile);

/* softmax.c: goes on to the next block, and makes its weights from the final maximum and sum. *more is false
 * after the last. */
attn_status attn_tile_next_weights(attn_tile *tile, bool *more);

/* mix.c: applies the dropout to the block's weights. */
void attn_tile_drop(attn_tile *tile);

/* mix.c: adds the values of the block, mixed by the tile's numbers. */
void attn_tile_mix(attn_tile *tile);

/* mix.c: what the queries get, to pass->heads. */
attn_status attn_tile_finish(attn_tile *tile);

#endif
