/* mix.c: from the weights of a tile to what its queries get. */
#include "core/attention/dropout.h"
#include "core/attention/tile.h"

#include <string.h>

/* Blocks of keys whose mixed values are added up in float32. A sum of very many in float32 would be far off,
 * so each run of blocks is added to the runs before in double precision. */
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

/* Adds the run to those before. */
static void flush(attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    if (!tile->holds_mixed)
        return;
    pass->kernels->add_up(tile->mixed, tile->rows * pass->value_width, tile->sums, tile->holds_sums);
    tile->holds_mixed = false;
    tile->holds_sums = true;
}

/* Where the maximum has grown, what came before becomes less. */
static void rescale(attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    pass->kernels->rescale(tile->rows, pass->value_width, tile->factor,
                           tile->holds_mixed ? tile->mixed : NULL, tile->holds_sums ? tile->sums : NULL);
}

void attn_tile_mix(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const attn_pass *pass = tile->pass;
    const size_t width = pass->value_width, S = pass->input->S, kv = attn_kv_head(pass, tile->h);
    const size_t run = keys.from / RUN_KEYS;
    const bool extra = keys.from >= S;
    if (extra || run != tile->mixed_run)
        flush(tile);
    rescale(tile);
    tile->mixed_run = run;
    const attn_product product = {
        .rows = tile->rows,
        .columns = width,
        .depth = keys.to - keys.from,
        .a = tile->scores,
        .a_row = 1,
        .a_step = tile->width,
        .b = extra ? pass->extra_v + kv * pass->extra * width
                   : pass->v + ((tile->b * pass->layer->config.num_kv_heads + kv) * S + keys.from) * width,
        .b_row = width,
        .b_panel = pass->kernels->panel,
        .y = tile->mixed,
        .y_row = width,
        .add = tile->holds_mixed};
    pass->kernels->product[ATTN_FLOAT32](&product);
    tile->holds_mixed = true;
}

void attn_tile_finish(attn_tile *tile) {
    attn_pass *pass = tile->pass;
    const size_t D = pass->layer->config.head_dim, q_width = pass->layer->config.num_heads * D;
    float *heads = pass->heads + (tile->b * pass->input->L + tile->first) * q_width + tile->h * D;
    for (size_t n = 0; n < tile->rows; n++)
        pass->kernels->share_out(D, tile->holds_mixed ? tile->mixed + n * pass->value_width : NULL,
                                 tile->holds_sums ? tile->sums + n * pass->value_width : NULL,
                                 tile->sum[n] > 0 ? 1 / tile->sum[n] : 0, heads + n * q_width);
}
