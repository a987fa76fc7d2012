#include "core/attention/tile.h"

#include "core/kernels/transpose.h"
#include "core/size.h"

#include <math.h>
#include <string.h>

/* Every array has a multiple of ATTN_ALIGNMENT bytes: TILE_QUERIES float32 numbers are 128. */
size_t attn_tile_bytes(const attn_layer *layer) {
    const size_t D = layer->config.head_dim;
    size_t numbers, bytes;
    if (D > SIZE_MAX / 8 || /* queries and mixed, and sums in double precision */
        !attn_multiply(4, attn_round_up(D, layer->kernels->lanes), &numbers) ||
        !attn_add(numbers, 4, &numbers) || /* max and factor, and sum in double precision */
        !attn_multiply(numbers, TILE_QUERIES * sizeof(float), &bytes))
        return SIZE_MAX;
    return bytes;
}

void attn_tile_layout(attn_tile *tile, const attn_layer *layer, char *memory, char *scores) {
    const size_t width = attn_round_up(layer->config.head_dim, layer->kernels->lanes);
    float *const numbers = (float *)(void *)memory;
    tile->scores = (float *)(void *)scores;
    tile->queries = numbers;
    tile->max = tile->queries + width * TILE_QUERIES;
    tile->factor = tile->max + TILE_QUERIES;
    tile->mixed =
        tile->factor + TILE_QUERIES; /* not 4 KiB from the queries, or they compete for the L1 cache */
    tile->sum = (double *)(void *)(tile->mixed + width * TILE_QUERIES);
    tile->sums = tile->sum + TILE_QUERIES;
}

float attn_tile_scale(const attn_tile *tile) {
    const attn_layer *layer = tile->pass->layer;
    return layer->scale != NULL ? layer->scale[tile->h] : (float)(1 / sqrt((double)layer->config.head_dim));
}

/* Lays the queries side by side, [D, width], times the scale. */
static void pack_queries(attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    const attn_layer *layer = pass->layer;
    const size_t D = layer->config.head_dim, q_width = layer->config.num_heads * D, width = tile->width;
    const float *q = pass->q + (tile->b * pass->input->L + tile->first) * q_width + tile->h * D;
    attn_transpose(q, q_width, tile->rows, D, tile->queries, width, false);
    for (size_t d = 0; d < D && tile->rows < width; d++)
        memset(tile->queries + d * width + tile->rows, 0, (width - tile->rows) * sizeof(float));
    pass->kernels->scale(tile->queries, D * width, attn_tile_scale(tile));
}

void attn_tile_begin(attn_tile *tile, attn_pass *pass, size_t at, size_t b, size_t h, size_t first,
                     size_t rows) {
    const size_t lanes = rows == 1 ? 1 : pass->kernels->lanes;
    const float *sinks = pass->input->omit_extra ? NULL : pass->layer->sinks;
    tile->pass = pass;
    tile->at = at;
    tile->b = b;
    tile->h = h;
    tile->first = first;
    tile->rows = rows;
    tile->width = attn_round_up(rows, lanes);
    tile->has_mixed = tile->has_sums = tile->overflowed = tile->unshifted = false;
    tile->mixed_run = 0;
    pack_queries(tile);
    for (size_t n = 0; n < tile->width; n++) {
        tile->max[n] = sinks == NULL ? -INFINITY : sinks[h];
        tile->sum[n] = tile->max[n] > -INFINITY ? 1 : 0;
    }
}
