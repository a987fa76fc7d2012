/* mix.c: the values of the keys, weighted, become the heads. */
#include "core/attention/block.h"
#include "core/attention/dropout.h"

#include <math.h>

/* Keys of a run: so many blocks are summed in float32. A longer sum would lose accuracy, so the runs are
 * added up in double precision. */
#define RUN_KEYS (4 * TILE_KEYS)

void attn_tile_drop(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const attn_input *in = tile->pass->input;
    const double dropout = tile->pass->layer->config.dropout;
    if (!in->training || dropout == 0)
        return;
    for (size_t j = keys.from; j < keys.to; j++)
        for (size_t n = 0; n < tile->rows; n++)
            tile->scores[(j - keys.from) * tile->width + n] *=
                attn_dropout_factor(dropout, in->seed, (uint32_t)tile->b, (uint32_t)tile->h,
                                    (uint32_t)(tile->first + n), (uint32_t)j);
}

/* Adds the current run to those before. */
static void add_run(attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    const size_t numbers = tile->rows * pass->value_width;
    if (!tile->has_mixed)
        return;
    tile->overflowed = tile->overflowed || !attn_all_finite(pass->kernels, tile->mixed, numbers);
    pass->kernels->accumulate(tile->mixed, numbers, tile->sums, tile->has_sums);
    tile->has_mixed = false;
    tile->has_sums = true;
}

/* The values of the block's keys, [keys, value_width]. */
static const float *values_of(const attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    const size_t S = pass->input->S, kv = attn_kv_head(pass, tile->h), from = tile->keys.from;
    const size_t head = tile->b * pass->layer->config.num_kv_heads + kv;
    return from >= S ? pass->extra_v + kv * pass->extra * pass->value_width
                     : pass->v + (head * S + from) * pass->value_width;
}

void attn_tile_mix(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const attn_pass *pass = tile->pass;
    const size_t width = pass->value_width, run = keys.from / RUN_KEYS;
    if (keys.from >= pass->input->S || run != tile->mixed_run)
        add_run(tile);
    tile->mixed_run = run;
    /* Where the maximum has grown, all weights before were too large. */
    pass->kernels->rescale(tile->rows, width, tile->factor, tile->has_mixed ? tile->mixed : NULL,
                           tile->has_sums ? tile->sums : NULL);
    const attn_product product = {.rows = tile->rows,
                                  .columns = width,
                                  .depth = keys.to - keys.from,
                                  .a = tile->scores,
                                  .a_row = 1,
                                  .a_step = tile->width,
                                  .b = values_of(tile),
                                  .b_row = width,
                                  .b_panel = pass->kernels->panel,
                                  .y = tile->mixed,
                                  .y_row = width,
                                  .add = tile->has_mixed};
    pass->kernels->product[ATTN_FLOAT32](&product);
    tile->has_mixed = true;
}

/* ---- Beyond float32 on the way ---- */

/* The sum of the values before the division by the sum of the weights may be beyond float32 where their mean
 * is not. Such numbers of the heads are mixed again, from the final weights, in double precision. The others
 * keep their bits, whatever is beside them. */

/* tile->sums += again * the weighted values of the block. */
static void mix_block_again(attn_tile *tile, const float *again) {
    const size_t width = tile->pass->value_width;
    const float *v = values_of(tile);
    for (size_t j = 0; j < tile->keys.to - tile->keys.from; j++, v += width)
        for (size_t n = 0; n < tile->rows; n++) {
            const double weight = (double)tile->scores[j * tile->width + n];
            for (size_t d = 0; weight != 0 && d < width; d++)
                tile->sums[n * width + d] += (double)again[n * width + d] * (weight * (double)v[d]);
        }
}

/* again [rows, value_width]: 1 for the numbers of tile->sums that are mixed again, else 0; totals [rows]: the
 * sums of the final weights, which are not quite 1, as those were rounded. */
static attn_status mix_again(attn_tile *tile, float *again, double *totals) {
    const attn_pass *pass = tile->pass;
    const float *sinks = pass->input->omit_extra ? NULL : pass->layer->sinks;
    attn_status status;
    bool more;
    for (size_t n = 0; n < tile->rows * pass->value_width; n++) {
        again[n] = isfinite(tile->sums[n]) ? 0.0f : 1.0f;
        tile->sums[n] = again[n] != 0 ? 0 : tile->sums[n];
    }
    for (size_t n = 0; n < tile->rows; n++)
        totals[n] = sinks == NULL ? 0 : exp((double)sinks[tile->h] - (double)tile->max[n]) / tile->sum[n];
    attn_visible_rewind(tile);
    while ((status = attn_tile_next_weights(tile, &more)) == ATTN_OK && more) {
        for (size_t j = 0; j < tile->keys.to - tile->keys.from; j++)
            for (size_t n = 0; n < tile->rows; n++)
                totals[n] += (double)tile->scores[j * tile->width + n];
        attn_tile_drop(tile);
        mix_block_again(tile, again);
    }
    return status;
}

attn_status attn_tile_write_heads(attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    const attn_config *config = &pass->layer->config;
    const size_t D = config->head_dim, width = pass->value_width, q_width = config->num_heads * D;
    float *heads = pass->heads + (tile->b * pass->input->L + tile->first) * q_width + tile->h * D;
    float *again = tile->mixed;
    double totals[TILE_QUERIES];
    attn_status status = ATTN_OK;
    if (tile->has_mixed && !attn_all_finite(pass->kernels, tile->mixed, tile->rows * width))
        tile->overflowed = true;
    if (tile->overflowed) {
        add_run(tile);
        status = mix_again(tile, again, totals);
    }
    for (size_t n = 0; n < tile->rows; n++, heads += q_width) {
        pass->kernels->normalise(D, tile->has_mixed ? tile->mixed + n * width : NULL,
                                 tile->has_sums ? tile->sums + n * width : NULL,
                                 tile->sum[n] > 0 ? 1 / tile->sum[n] : 0, heads);
        for (size_t d = 0; tile->overflowed && d < D; d++)
            if (again[n * width + d] != 0)
                heads[d] = (float)(tile->sums[n * width + d] / totals[n]);
    }
    return status;
}
