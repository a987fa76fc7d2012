/* project.c: the linear parts of the pass: from the input to q, k and v, and from the heads to the output. */
#include "core/attention/pass.h"
#include "core/attention/rope.h"
#include "core/kernels/matmul.h"
#include "core/kernels/softmax.h"

#include <math.h>
#include <string.h>

/* y [rows, width] = x [rows, depth] weight[width, depth]^T + bias[width] */
static attn_status project(const attn_pass *pass, size_t rows, const float *x, size_t depth,
                           const float *weight, const float *bias, size_t width, float *y) {
    for (size_t first = 0; first < rows; first += PROJECTION_ROWS) {
        if (attn_pass_stopped(pass))
            return attn_pass_cancelled(pass);
        const size_t count = rows - first < PROJECTION_ROWS ? rows - first : PROJECTION_ROWS;
        float *block = y + first * width;
        for (size_t i = 0; bias != NULL && i < count; i++)
            memcpy(block + i * width, bias, width * sizeof *bias);
        attn_matmul_transposed(count, width, depth, 1, x + first * depth, depth, weight, depth,
                               bias != NULL ? 1 : 0, block, width);
    }
    return ATTN_OK;
}

/* x [D] becomes x / rms(x) * weight (Zhang, Sennrich, "Root Mean Square Layer Normalization", 2019). */
static void norm_head(float *x, size_t D, const float *weight, double eps) {
    double squares = 0;
    for (size_t d = 0; d < D; d++)
        squares += (double)x[d] * (double)x[d];
    const float factor = (float)(1 / sqrt(squares / (double)D + eps));
    for (size_t d = 0; d < D; d++)
        x[d] = weight[d] * (x[d] * factor);
}

/* The sines and cosines of consecutive positions. */
typedef struct {
    uint64_t first;
    size_t count;
    float *cosines, *sines; /* [count, dims/2] */
} angles;

static attn_status make_angles(attn_pass *pass, const float *frequencies, uint64_t first, size_t count,
                               angles *a) {
    const attn_rope *rope = &pass->layer->config.rope;
    const size_t pairs = rope->dims / 2;
    *a = (angles){first, count, attn_pass_array(pass, count, pairs), attn_pass_array(pass, count, pairs)};
    if (a->cosines == NULL || a->sines == NULL)
        return attn_pass_no_memory(pass);
    for (size_t n = 0; n < count; n++) {
        if (n % PROJECTION_ROWS == 0 && attn_pass_stopped(pass))
            return attn_pass_cancelled(pass);
        attn_rope_angles(rope, frequencies, first + n, a->cosines + n * pairs, a->sines + n * pairs);
    }
    return ATTN_OK;
}

/* Rotates x [B, rows, heads, D]; row n has the n-th of the angles. */
static attn_status rotate(const attn_pass *pass, float *x, size_t rows, size_t heads, const angles *a) {
    const attn_rope *rope = &pass->layer->config.rope;
    const size_t D = pass->layer->config.head_dim, pairs = rope->dims / 2;
    for (size_t n = 0; n < pass->input->B * rows; n++) {
        if (n % PROJECTION_ROWS == 0 && attn_pass_stopped(pass))
            return attn_pass_cancelled(pass);
        for (size_t h = 0; h < heads; h++)
            attn_rope_rotate(rope, a->cosines + n % rows * pairs, a->sines + n % rows * pairs,
                             x + (n * heads + h) * D);
    }
    return ATTN_OK;
}

/* Rotates q and k by their positions. Where both begin at the same one, the angles are made once. */
static attn_status rotate_inputs(attn_pass *pass) {
    const attn_config *config = &pass->layer->config;
    const attn_input *in = pass->input;
    const uint64_t query_end = in->query_offset + in->L, key_end = in->key_offset + in->S;
    const bool shared = in->query_offset == in->key_offset;
    const size_t longer = in->L > in->S ? in->L : in->S;
    angles of_q = {0}, of_k = {0};
    float *frequencies = attn_pass_array(pass, config->rope.dims / 2, 1);
    attn_status status = frequencies == NULL ? attn_pass_no_memory(pass) : ATTN_OK;
    if (status == ATTN_OK) {
        attn_rope_frequencies(pass->layer, query_end > key_end ? query_end : key_end, frequencies);
        status = make_angles(pass, frequencies, in->query_offset, shared ? longer : in->L, &of_q);
    }
    if (status == ATTN_OK && !shared)
        status = make_angles(pass, frequencies, in->key_offset, in->S, &of_k);
    if (status == ATTN_OK)
        status = rotate(pass, pass->q, in->L, config->num_heads, &of_q);
    if (status == ATTN_OK)
        status = rotate(pass, pass->k, in->S, config->num_kv_heads, shared ? &of_q : &of_k);
    float *const used[] = {frequencies, of_q.cosines, of_q.sines, of_k.cosines, of_k.sines};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        attn_arena_release(pass->work, used[i]);
    return status;
}

/* bias_k and bias_v, then zeros, as torch appends them. */
static void make_extra(attn_pass *pass) {
    const size_t bytes = pass->kv_width * sizeof(float);
    memset(pass->extra_k, 0, pass->extra * bytes);
    memset(pass->extra_v, 0, pass->extra * bytes);
    if (pass->extra == 0 || !pass->layer->config.add_bias_kv)
        return;
    memcpy(pass->extra_k, pass->layer->bias_k, bytes);
    memcpy(pass->extra_v, pass->layer->bias_v, bytes);
}

static void norm_inputs(attn_pass *pass) {
    const attn_layer *layer = pass->layer;
    const attn_config *c = &layer->config;
    const size_t queries = pass->input->B * pass->input->L, keys = pass->input->B * pass->input->S;
    for (size_t n = 0; n < queries * c->num_heads; n++)
        norm_head(pass->q + n * c->head_dim, c->head_dim, layer->q_norm, c->qk_norm_eps);
    for (size_t n = 0; n < keys * c->num_kv_heads; n++)
        norm_head(pass->k + n * c->head_dim, c->head_dim, layer->k_norm, c->qk_norm_eps);
}

/* A value beyond float32 must not leak where its weight is zero, as 0 * infinity. Its head becomes zeros,
 * which is remembered: where its weight is not zero, the result is beyond float32 too. */
static attn_status replace_spoiled(attn_pass *pass) {
    const size_t D = pass->layer->config.head_dim;
    const size_t heads = pass->input->B * pass->input->S * pass->layer->config.num_kv_heads;
    if (attn_all_finite(pass->v, heads * D))
        return ATTN_OK;
    if ((pass->spoiled = attn_arena_array(pass->work, heads, sizeof *pass->spoiled)) == NULL)
        return attn_pass_no_memory(pass);
    for (size_t n = 0; n < heads; n++) {
        pass->spoiled[n] = !attn_all_finite(pass->v + n * D, D);
        if (pass->spoiled[n])
            memset(pass->v + n * D, 0, D * sizeof *pass->v);
    }
    return ATTN_OK;
}

attn_status attn_project_inputs(attn_pass *pass) {
    const attn_layer *w = pass->layer;
    const attn_config *c = &w->config;
    const attn_input *in = pass->input;
    const size_t queries = in->B * in->L, keys = in->B * in->S;
    attn_status status =
        project(pass, queries, in->query, c->embed_dim, w->q_weight, w->q_bias, pass->q_width, pass->q);
    if (status == ATTN_OK)
        status = project(pass, keys, in->key, c->kdim, w->k_weight, w->k_bias, pass->kv_width, pass->k);
    if (status == ATTN_OK)
        status = project(pass, keys, in->value, c->vdim, w->v_weight, w->v_bias, pass->kv_width, pass->v);
    if (status != ATTN_OK)
        return status;
    if (c->qk_norm)
        norm_inputs(pass);
    if (c->rope.style != ATTN_ROPE_NONE)
        status = rotate_inputs(pass);
    make_extra(pass);
    return status == ATTN_OK ? replace_spoiled(pass) : status;
}

attn_status attn_project_output(attn_pass *pass) {
    const attn_layer *w = pass->layer;
    const size_t E = w->config.embed_dim, queries = pass->input->B * pass->input->L;
    const attn_status status = project(pass, queries, pass->head_output, pass->q_width, w->o_weight,
                                       w->o_bias, E, pass->output->output);
    if (status == ATTN_OK && !attn_all_finite(pass->output->output, queries * E))
        return attn_fail(pass->error, ATTN_BAD_VALUE,
                         "the output is beyond float32: the inputs are too large for this model's weights");
    return status;
}
