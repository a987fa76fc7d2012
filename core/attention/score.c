/* score.c: what a query says of each key: softcap(scale * q . k), plus what their distance adds. */
#include "core/attention/tile.h"
#include "core/size.h"
#include "core/watch.h"

#include <math.h>
#include <string.h>

/* Multiplications between two looks at should_stop: less than a millisecond of work. */
#define UNLOOKED ((size_t)1 << 22)

/* ---- What depends on distances ---- */

/* Of the distance of key j and query i, or of what ALiBi counts of it, and of the bucket that it is in. */
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
    pass->leaves_out = layer->alibi_slopes != NULL &&
                       attn_all_finite(pass->kernels, pass->biases, H * pass->bias_row) && pass->extra == 0 &&
                       (layer->sinks == NULL || in->omit_extra);
    return ATTN_OK;
}

/* Far from all keys ALiBi adds a large number to each score of a query, beside which the score is lost to
 * rounding. What it adds to all of them alike is left out, as no softmax notices it: the distance of the
 * nearest key. Not so where something in the softmax has no distance: far keys count for nothing beside it.
 */
static int64_t left_out(const attn_tile *tile, size_t n) {
    const attn_input *in = tile->pass->input;
    if (!tile->pass->leaves_out || tile->complete)
        return 0;
    const int64_t first = attn_distance(in, tile->first + n), last = first + (int64_t)in->S - 1;
    return first > 0 ? first : last < 0 ? last : 0;
}

double attn_tile_left_out(const attn_tile *tile, size_t n) {
    const int64_t distance = left_out(tile, n);
    return distance == 0 ? 0 : (double)tile->pass->layer->alibi_slopes[tile->h] * -fabs((double)distance);
}

/* What is added to the score of query n of the tile and key j. */
static float bias_at(const attn_tile *tile, size_t n, size_t j) {
    const attn_pass *pass = tile->pass;
    const attn_relative_bias *relative = &pass->layer->config.relative_bias;
    const int64_t distance = attn_distance(pass->input, tile->first + n) + (int64_t)j;
    const size_t bucket = relative->buckets == 0 ? 0 : attn_relative_bucket(relative, distance);
    return bias_of(pass->layer, tile->h, distance - left_out(tile, n), bucket);
}

/* Biases stand in the order of growing i - j, so what a key needs for all lanes is a piece of the table: but
 * for queries far from all keys, before or behind them. */
static void add_biases(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const attn_pass *pass = tile->pass;
    const float *bias = pass->biases + tile->h * pass->bias_row + (pass->input->S - 1 + tile->first);
    const bool far = left_out(tile, 0) != 0 || left_out(tile, tile->rows - 1) != 0;
    for (size_t j = keys.from; j < keys.to; j++) {
        float *scores = tile->scores + (j - keys.from) * tile->width;
        for (size_t n = 0; far && n < tile->rows; n++)
            scores[n] += bias_at(tile, n, j);
        for (size_t n = 0; !far && n < tile->width; n++)
            scores[n] += (bias - j)[n];
    }
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

/* ---- Large scores ---- */

/* Scores below it, 1e30, are far from the end of float32, 3.4e38: neither a part of the sum nor a sum with
 * masks that are no larger than 1e38 can be beyond it. */
#define LARGE_BITS ((uint32_t)0x7149f2ca)

static bool has_large(const attn_tile *tile, size_t count) {
    return tile->pass->kernels->largest(tile->scores, count * tile->width) >= LARGE_BITS;
}

/* The score of query `n` of the tile and key `k`, from the sum in double precision. Not finite if the score
 * is beyond float32, or the query or the key is. */
static float exact_score(const attn_tile *tile, size_t n, const float *k, float bias) {
    const attn_pass *pass = tile->pass;
    const attn_config *config = &pass->layer->config;
    const size_t D = config->head_dim;
    const float *q =
        pass->q + ((tile->b * pass->input->L + tile->first + n) * config->num_heads + tile->h) * D;
    double score = 0;
    for (size_t d = 0; d < D; d++) {
        if (!isfinite(q[d]) || !isfinite(k[d]))
            return NAN;
        score += (double)q[d] * (double)k[d];
    }
    score *= (double)attn_tile_scale(tile);
    if (config->softcap > 0)
        score = config->softcap * tanh(score / config->softcap);
    return (float)(score + (double)bias);
}

/* What is done with small scores, one by one; and those of which a part of the sum is beyond float32 are
 * summed again. */
static void finish_carefully(attn_tile *tile, const float *k, size_t count) {
    const attn_pass *pass = tile->pass;
    const attn_config *config = &pass->layer->config;
    const bool has_bias = pass->biases != NULL && tile->keys.from < pass->input->S;
    for (size_t j = 0; j < count; j++)
        for (size_t n = 0; n < tile->rows; n++) {
            float *score = tile->scores + j * tile->width + n;
            const float bias = has_bias ? bias_at(tile, n, tile->keys.from + j) : 0;
            if (!isfinite(*score)) {
                *score = exact_score(tile, n, k + j * config->head_dim, bias);
                continue;
            }
            if (config->softcap > 0)
                pass->kernels->soft_cap(score, 1, (float)config->softcap);
            if (has_bias)
                *score += bias;
        }
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
    const float *k = extra ? pass->extra_k + kv * pass->extra * D
                           : pass->k + ((tile->b * config->num_kv_heads + kv) * S + keys.from) * D;
    multiply(tile, k, count);
    tile->careful = has_large(tile, count);
    if (!tile->careful) {
        if (config->softcap > 0)
            pass->kernels->soft_cap(tile->scores, count * tile->width, (float)config->softcap);
        if (pass->biases == NULL || extra)
            return ATTN_OK;
        add_biases(tile);
        if (!has_large(tile, count))
            return ATTN_OK;
        multiply(tile, k, count);
        tile->careful = true;
    }
    finish_carefully(tile, k, count);
    return ATTN_OK;
}
