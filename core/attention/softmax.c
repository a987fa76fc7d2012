/* softmax.c: the softmax of a block: the kernels' for queries side by side, and the same, to the bit, for a
 * single query. */
#include "core/attention/block.h"
#include "core/kernels/f32x4.h"

#include <math.h>

/* ---- A single query ---- */

#define LANES 16 /* so that the compiler vectorises the maximum */

static float largest(const float *scores, size_t count, float most) {
    float lanes[LANES];
    size_t n = 0;
    for (size_t i = 0; i < LANES; i++)
        lanes[i] = most;
    for (; n + LANES <= count; n += LANES)
        for (size_t i = 0; i < LANES; i++)
            lanes[i] = scores[n + i] > lanes[i] ? scores[n + i] : lanes[i];
    for (; n < count; n++)
        lanes[0] = scores[n] > lanes[0] ? scores[n] : lanes[0];
    for (size_t i = 0; i < LANES; i++)
        most = lanes[i] > most ? lanes[i] : most;
    return most;
}

/* In the chains that kernels.h describes. */
static float total(const float *numbers, size_t count) {
    _Static_assert(ATTN_SOFT_CHAINS == F32X4_WIDTH, "a chain in each lane");
    f32x4 chains = {0};
    size_t n = 0;
    for (; n + F32X4_WIDTH <= count; n += F32X4_WIDTH)
        chains += *(const f32x4 *)(const void *)(numbers + n);
    for (; n < count; n++)
        chains[n % F32X4_WIDTH] += numbers[n];
    return (chains[0] + chains[1]) + (chains[2] + chains[3]);
}

/* scores become exp(score - max), 0 where all are minus infinity. */
static void exponentiate(attn_tile *tile, size_t keys, float max) {
    const float base = max > -INFINITY ? max : 0; /* a difference of infinities would be NaN */
    for (size_t n = 0; n < keys; n++)
        tile->scores[n] -= base;
    tile->pass->kernels->exponential(tile->scores, keys);
}

static void softmax_of_one(attn_tile *tile, size_t keys) {
    const float max = largest(tile->scores, keys, tile->max[0]);
    tile->factor[0] = max > -INFINITY ? tile->max[0] - max : 0;
    tile->pass->kernels->exponential(tile->factor, 1);
    exponentiate(tile, keys, max);
    tile->max[0] = max;
    tile->sum[0] = tile->sum[0] * (double)tile->factor[0] + (double)total(tile->scores, keys);
}

static void weights_of_one(attn_tile *tile, size_t keys) {
    const float share = tile->sum[0] > 0 ? (float)(1 / tile->sum[0]) : 0;
    exponentiate(tile, keys, tile->max[0]);
    for (size_t n = 0; n < keys; n++)
        tile->scores[n] *= share;
}

/* ---- Any number of queries ---- */

static attn_soft_tile soft_tile(attn_tile *tile) {
    return (attn_soft_tile){.tile = tile->scores,
                            .keys = tile->keys.to - tile->keys.from,
                            .width = tile->width,
                            .max = tile->max,
                            .sum = tile->sum,
                            .factor = tile->factor};
}

void attn_tile_softmax(attn_tile *tile) {
    const attn_soft_tile t = soft_tile(tile);
    if (tile->width == 1)
        softmax_of_one(tile, t.keys);
    else
        tile->pass->kernels->softmax_step(&t);
}

attn_status attn_tile_next_weights(attn_tile *tile, bool *more) {
    *more = attn_visible_next(tile);
    if (!*more)
        return ATTN_OK;
    ATTN_TRY(attn_tile_score(tile));
    ATTN_TRY(attn_tile_mask(tile));
    const attn_soft_tile t = soft_tile(tile);
    if (tile->width == 1)
        weights_of_one(tile, t.keys);
    else
        tile->pass->kernels->softmax_weights(&t);
    return ATTN_OK;
}
