/* score.c: what a query says of each key: softcap(scale * q . k), plus what their distance adds. */
#include "core/attention/tile.h"
#include "core/size.h"
#include "core/watch.h"

#include <math.h>
#include <string.h>

/* Multiplications between two looks at should_stop: less than a millisecond of work. */
#define UNLOOKED ((size_t)1 << 22)

/* ---- What depends on distances ---- */

/* Of the distance of key j and query i, for the table of head h. */
static float bias_of(const attn_layer *layer, size_t h, int64_t distance, size_t bucket) {
    float bias = 0;
    if (layer->alibi_slopes != NULL)
        bias = -(layer->alibi_slopes[h] * (float)(distance < 0 ? -distance : distance));
    if (layer->config.relative_bias.buckets != 0)
        bias += layer->relative_bias[bucket * layer->config.num_heads + h];
    return bias;
}

attn_status attn_score_prepare(attn_pass *pass) {
    const attn_layer *layer = pass->layer;
    const attn_relative_bias *relative = &layer->config.relative_bias;
    const attn_input *in = pass->input;
    const size_t H = layer->config.num_heads;
    attn_watch watch = {.control = pass->control};
    size_t distances;
    if ((layer->alibi_slopes == NULL && relative->buckets == 0) || in->L == 0 || in->S == 0)
        return ATTN_OK;
    if (!attn_add(in->L, in->S - 1, &distances) ||
        !attn_add(distances, TILE_QUERIES, &pass->bias_row) || /* the lanes without a query read on */
        (pass->biases = attn_pass_array(pass, H, pass->bias_row)) == NULL)
        return attn_pass_no_memory(pass);
    const int64_t most = attn_distance(in, 0) + (int64_t)in->S - 1; /* of the last key to query 0 */
    for (size_t n = 0; n < pass->bias_row; n++) {
        const int64_t distance = most - (int64_t)n;
        const size_t bucket = relative->buckets == 0 ? 0 : attn_relative_bucket(relative, distance);
        for (size_t h = 0; h < H; h++)
            pass->biases[h * pass->bias_row + n] = n < distances ? bias_of(layer, h, distance, bucket) : 0;
        if (attn_watch_stops(&watch, 4 * (ATTN_ROW_STEPS + H)))
            return attn_pass_cancel(pass);
    }
    const uint32_t bits = pass->kernels->largest(pass->biases, H * pass->bias_row);
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    pass->largest_bias = (double)largest;
    return ATTN_OK;
}

/* Biases stand in the order of growing i - j, so what a key needs for all lanes is a piece of the table. */
static void add_biases(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const attn_pass *pass = tile->pass;
    const float *bias =
        pass->biases + tile->h * pass->bias_row + (pass->input->S - 1 + tile->first - keys.from);
    float *scores = tile->scores;
    for (size_t j = keys.from; j < keys.to; j++, bias--, scores += tile->width)
        for (size_t n = 0; n < tile->width; n++)
            scores[n] += bias[n];
}

/* ---- Products ---- */

/* scores [count, width] of keys k [count, D]. */
static void multiply(attn_tile *tile, const float *k, size_t count) {
    const attn_kernels *kernels = tile->pass->kernels;
    const size_t D = tile->pass->layer->config.head_dim;
    if (tile->width == 1) {
        kernels->dots(count, D, tile->queries, k, D, tile->scores);
        return;
    }
    for (size_t d = 0; d < D; d += ATTN_DEPTH) {
        const attn_product product = {.rows = count,
                                      .columns = tile->width,
                                      .depth = D - d < ATTN_DEPTH ? D - d : ATTN_DEPTH,
                                      .a = k + d,
                                      .a_row = D,
                                      .a_step = 1,
                                      .b = tile->queries + d * tile->width,
                                      .b_row = tile->width,
                                      .b_panel = kernels->panel,
                                      .y = tile->scores,
                                      .y_row = tile->width,
                                      .add = d > 0};
        kernels->product[ATTN_FLOAT32](&product);
    }
}

/* What is not a number must not become one here: it is looked for later. */
static void soft_cap(attn_tile *tile, size_t count, float cap) {
    const attn_kernels *kernels = tile->pass->kernels;
    const size_t numbers = count * tile->width;
    if (attn_all_finite(kernels, tile->scores, numbers)) {
        kernels->soft_cap(tile->scores, numbers, cap);
        return;
    }
    for (size_t n = 0; n < numbers; n++)
        if (!isnan(tile->scores[n]))
            kernels->soft_cap(tile->scores + n, 1, cap);
}

attn_status attn_tile_score(attn_tile *tile) {
    const attn_range keys = tile->keys;
    attn_pass *pass = tile->pass;
    const attn_config *config = &pass->layer->config;
    const size_t S = pass->input->S, D = config->head_dim, kv = attn_kv_head(pass, tile->h);
    const size_t count = keys.to - keys.from;
    const bool extra = keys.from >= S;
    tile->unlooked += count * tile->width * D;
    if (tile->unlooked > UNLOOKED) {
        tile->unlooked = 0;
        if (attn_pass_ends(pass, tile->at))
            return ATTN_CANCELLED;
    }
    multiply(tile,
             extra ? pass->extra_k + kv * pass->extra * D
                   : pass->k + ((tile->b * config->num_kv_heads + kv) * S + keys.from) * D,
             count);
    if (config->softcap > 0)
        soft_cap(tile, count, (float)config->softcap);
    if (pass->biases != NULL && !extra)
        add_biases(tile);
    return ATTN_OK;
}
