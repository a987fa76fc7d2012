/* score.c: what a query says of each key: softcap(scale * q . k), plus what their distance adds; then masks.
 */
#include "core/attention/pass.h"
#include "core/kernels/matmul.h"
#include "core/kernels/softmax.h"
#include "core/size.h"

#include <math.h>
#include <string.h>

attn_status attn_score_prepare(attn_pass *pass) {
    const attn_relative_bias *bias = &pass->layer->config.relative_bias;
    const attn_input *in = pass->input;
    size_t distances;
    if (bias->buckets == 0 || in->L == 0 || in->S == 0)
        return ATTN_OK;
    if (!attn_add(in->L, in->S - 1, &distances) ||
        (pass->buckets = attn_arena_array(pass->work, distances, sizeof *pass->buckets)) == NULL)
        return attn_pass_no_memory(pass);
    const int64_t least = attn_distance(in, in->L - 1); /* of key 0 to the last query */
    for (size_t n = 0; n < distances; n++)
        pass->buckets[n] = (uint32_t)attn_relative_bucket(bias, least + (int64_t)n);
    return ATTN_OK;
}

/* scores [count]: those of query i and the keys from `from` on. */
static void add_distance_bias(const attn_pass *pass, size_t h, size_t i, size_t from, size_t count,
                              float *scores) {
    const attn_layer *layer = pass->layer;
    const size_t H = layer->config.num_heads;
    if (layer->alibi_slopes != NULL) {
        const int64_t distance = attn_distance(pass->input, i) + (int64_t)from;
        for (size_t n = 0; n < count; n++) {
            const int64_t d = distance + (int64_t)n;
            scores[n] -= layer->alibi_slopes[h] * (float)(d < 0 ? -d : d);
        }
    }
    if (pass->buckets != NULL) {
        const uint32_t *bucket = pass->buckets + (pass->input->L - 1 - i) + from;
        for (size_t n = 0; n < count; n++)
            scores[n] += layer->relative_bias[bucket[n] * H + h];
    }
}

/* scores [rows, stride]: of the block's queries and `count` keys, which are k [count, Hkv*D]. */
static void multiply(const attn_pass *pass, const attn_block *block, const float *k, size_t count,
                     float *scores, size_t stride) {
    const attn_config *config = &pass->layer->config;
    const size_t D = config->head_dim;
    const float scale =
        pass->layer->scale != NULL ? pass->layer->scale[block->h] : (float)(1 / sqrt((double)D));
    const float *q = pass->q + (block->b * pass->input->L + block->first) * pass->q_width + block->h * D;
    attn_matmul_transposed(block->rows, count, D, scale, q, pass->q_width,
                           k + attn_kv_head(pass, block->h) * D, pass->kv_width, 0, scores, stride);
    const float cap = (float)config->softcap;
    for (size_t n = 0; n < block->rows && cap > 0; n++)
        for (size_t j = 0; j < count; j++)
            scores[n * stride + j] = cap * tanhf(scores[n * stride + j] / cap);
}

/* The same for the keys [keys.from, keys.to), which have positions. */
static void score_keys(const attn_pass *pass, const attn_block *block, attn_range keys, float *scores,
                       size_t stride) {
    const size_t count = keys.to - keys.from;
    const float *k = pass->k + (block->b * pass->input->S + keys.from) * pass->kv_width;
    multiply(pass, block, k, count, scores, stride);
    for (size_t n = 0; n < block->rows; n++)
        add_distance_bias(pass, block->h, block->first + n, keys.from, count, scores + n * stride);
}

void attn_score_block(const attn_pass *pass, const attn_block *block) {
    const size_t columns = block->columns, visible = block->keys.to - block->keys.from;
    score_keys(pass, block, block->keys, pass->scores, columns);
    multiply(pass, block, pass->extra_k, pass->extra, pass->scores + visible, columns);
    if (pass->raw == NULL)
        return;
    /* The products above stay as they are, and those that only the caller wants are made beside them:
     * OpenBLAS might round others if it were given more keys. */
    const size_t S = pass->input->S, stride = S + pass->extra;
    score_keys(pass, block, (attn_range){0, block->keys.from}, pass->raw, stride);
    score_keys(pass, block, (attn_range){block->keys.to, S}, pass->raw + block->keys.to, stride);
    for (size_t n = 0; n < block->rows; n++) {
        const float *from = pass->scores + n * columns;
        memcpy(pass->raw + n * stride + block->keys.from, from, visible * sizeof *from);
        memcpy(pass->raw + n * stride + S, from + visible, pass->extra * sizeof *from);
    }
}

/* The row of the mask for query i, or NULL if there is no mask. */
static const float *mask_row(const attn_input *input, size_t b, size_t h, size_t i) {
    if (input->attn_mask == NULL)
        return NULL;
    const size_t mb = input->mask_B == 1 ? 0 : b, mh = input->mask_H == 1 ? 0 : h;
    return input->attn_mask + ((mb * input->mask_H + mh) * input->L + i) * input->S;
}

static void exclude(float *scores, size_t count) {
    for (size_t n = 0; n < count; n++)
        scores[n] = -INFINITY;
}

attn_status attn_score_mask_row(const attn_pass *pass, const attn_block *block, size_t n) {
    const attn_input *in = pass->input;
    const size_t i = block->first + n, visible = block->keys.to - block->keys.from;
    const attn_range own = attn_visible_keys(&pass->layer->config, in, i);
    const float *mask = mask_row(in, block->b, block->h, i);
    const float *padding = in->key_padding_mask == NULL ? NULL : in->key_padding_mask + block->b * in->S;
    float *row = pass->scores + n * block->columns;
    exclude(row, own.from - block->keys.from);
    exclude(row + (own.to - block->keys.from), block->keys.to - own.to);
    if (attn_mask_row(row + (own.from - block->keys.from), own.to - own.from,
                      mask == NULL ? NULL : mask + own.from, padding == NULL ? NULL : padding + own.from) &&
        attn_mask_row(row + visible, pass->extra, NULL, NULL))
        return ATTN_OK;
    return attn_fail(
        pass->error, ATTN_BAD_VALUE,
        "the score of query %zu in batch %zu, head %zu is beyond float32: the inputs or the masks "
        "are too large",
        i, block->b, block->h);
}
