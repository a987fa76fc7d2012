/* score.c: the scores of a block: softcap(scale * q . k), plus the biases of distances. */
#include "core/attention/block.h"

#include <math.h>

/* Multiplications before should_stop is polled again: less than a millisecond of work. */
#define POLL_STEPS ((size_t)1 << 22)

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

/* Scores below 1e30 are far from the end of float32, 3.4e38: no part of the sum was beyond it, nor is a sum
 * with masks of at most 1e38. */
#define LARGE_BITS ((uint32_t)0x7149f2ca) /* of 1e30 */

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

/* Caps and biases one by one, with the same bits as for the whole block; what is not finite is computed
 * again. */
static void cap_and_bias_one_by_one(attn_tile *tile, const float *k, size_t count) {
    const attn_pass *pass = tile->pass;
    const attn_config *config = &pass->layer->config;
    const bool has_bias = pass->biases != NULL && tile->keys.from < pass->input->S;
    for (size_t j = 0; j < count; j++)
        for (size_t n = 0; n < tile->rows; n++) {
            float *score = tile->scores + j * tile->width + n;
            const float bias = has_bias ? attn_bias_at(tile, n, tile->keys.from + j) : 0;
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

/* ---- A block ---- */

/* False if a score is too large to be treated with the others, before or after. */
static bool cap_and_bias(attn_tile *tile, size_t count) {
    const attn_pass *pass = tile->pass;
    const double cap = pass->layer->config.softcap;
    if (has_large(tile, count))
        return false;
    if (cap > 0)
        pass->kernels->soft_cap(tile->scores, count * tile->width, (float)cap);
    if (pass->biases == NULL || tile->keys.from >= pass->input->S)
        return true;
    attn_bias_add(tile);
    return !has_large(tile, count);
}

attn_status attn_tile_score(attn_tile *tile) {
    const attn_range keys = tile->keys;
    attn_pass *pass = tile->pass;
    const attn_config *config = &pass->layer->config;
    const size_t S = pass->input->S, D = config->head_dim, kv = attn_kv_head(pass, tile->h);
    const size_t count = keys.to - keys.from;
    tile->unpolled += count * tile->width * D;
    if (tile->unpolled > POLL_STEPS) {
        tile->unpolled = 0;
        if (attn_pass_ends(pass, tile->at))
            return ATTN_CANCELLED;
    }
    const float *k = keys.from >= S ? pass->extra_k + kv * pass->extra * D
                                    : pass->k + ((tile->b * config->num_kv_heads + kv) * S + keys.from) * D;
    multiply(tile, k, count);
    tile->one_by_one = !cap_and_bias(tile, count);
    if (tile->one_by_one) {
        multiply(tile, k, count);
        cap_and_bias_one_by_one(tile, k, count);
    }
    return ATTN_OK;
}
