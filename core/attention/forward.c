/* forward.c: one pass of multi-head attention in float32: project, score, mask, softmax, mix, project.
 *
 * The letters and the shapes are those of core/attention.h. A projected tensor keeps its heads side by side
 * in a row, [B, L, H, D] = [B, L, E], so a head is a matrix whose rows are E apart, and nothing is ever
 * transposed. */
#include "core/attention.h"

#include "core/kernels/matmul.h"
#include "core/kernels/softmax.h"
#include "core/size.h"

#include <math.h>
#include <string.h>

/* Rows that are worked on between two looks at the caller's should_stop. They depend on the shapes of this
 * request alone, never on threads or company: OpenBLAS chooses its inner loop, and so the bits, by the
 * shapes. */
#define PROJECTION_ROWS ((size_t)256)
#define SCORE_ROWS      ((size_t)64)
#define SCORE_NUMBERS   ((size_t)1 << 18) /* in a block of scores, unless one row alone has more */
#define MIX_KEYS        ((size_t)256)     /* keys that are mixed in float32; blocks are added in double */

typedef struct {
    const attn_layer *layer;
    const attn_input *input;
    const attn_output *output;
    const attn_control *control;
    attn_error *error;
    float *q;           /* [B, L, E] */
    float *k, *v;       /* [B, S, E] */
    float *head_output; /* [B, L, E]: what the heads say, side by side */
    float *scores;      /* [block rows, S], then the weights */
    float *mixed;       /* [block rows, D]: the values of some keys, mixed */
    double *sums;       /* [block rows, D] */
    size_t block_rows;
    bool v_is_finite;
} forward_pass;

static bool stopped(const forward_pass *pass) {
    return pass->control != NULL && pass->control->should_stop(pass->control->context);
}

static attn_status cancelled(const forward_pass *pass) {
    return attn_fail(pass->error, ATTN_CANCELLED, "the computation was stopped before it was complete");
}

/* y [rows, E] = x [rows, width] weight[E, width]^T + bias[E] */
static attn_status project(const forward_pass *pass, size_t rows, const float *x, size_t width,
                           const float *weight, const float *bias, float *y) {
    const size_t E = pass->layer->config.embed_dim;
    for (size_t first = 0; first < rows; first += PROJECTION_ROWS) {
        if (stopped(pass))
            return cancelled(pass);
        const size_t count = rows - first < PROJECTION_ROWS ? rows - first : PROJECTION_ROWS;
        float *block = y + first * E;
        for (size_t i = 0; bias != NULL && i < count; i++)
            memcpy(block + i * E, bias, E * sizeof *bias);
        attn_matmul_transposed(count, E, width, 1, x + first * width, width, weight, width,
                               bias != NULL ? 1 : 0, block, E);
    }
    return ATTN_OK;
}

/* The row of `mask` for query i, or NULL if there is no mask. */
static const float *mask_row(const attn_input *input, size_t b, size_t h, size_t i) {
    if (input->attn_mask == NULL)
        return NULL;
    const size_t mb = input->mask_B == 1 ? 0 : b, mh = input->mask_H == 1 ? 0 : h;
    return input->attn_mask + ((mb * input->mask_H + mh) * input->L + i) * input->S;
}

/* Keys that query i may see for causality: those at its own and earlier positions. */
static size_t visible_keys(const attn_input *input, size_t i) {
    return input->is_causal && i + 1 < input->S ? i + 1 : input->S;
}

/* From the scores of query i over its first `keys` keys to its weights over all S. */
static attn_status weigh_row(const forward_pass *pass, size_t b, size_t h, size_t i, float *row) {
    const attn_input *input = pass->input;
    const size_t keys = visible_keys(input, i);
    const float *padding = input->key_padding_mask;
    if (!attn_mask_row(row, keys, mask_row(input, b, h, i),
                       padding == NULL ? NULL : padding + b * input->S) ||
        !attn_softmax_row(row, keys))
        return attn_fail(pass->error, ATTN_BAD_VALUE,
                         "the score of query %zu in batch %zu, head %zu is beyond float32: the inputs or the "
                         "masks are too large",
                         i, b, h);
    memset(row + keys, 0, (input->S - keys) * sizeof *row);
    return ATTN_OK;
}

/* out [rows, D] = weights [rows, keys] v [keys, D]. A key with weight zero is left out, not multiplied: a
 * value that is masked out and not finite must not leak as 0 * infinity. */
static void mix_finite_only(size_t rows, size_t keys, size_t D, const float *weights, size_t S,
                            const float *v, size_t E, float *out) {
    for (size_t i = 0; i < rows; i++)
        for (size_t d = 0; d < D; d++) {
            double sum = 0;
            for (size_t j = 0; j < keys; j++)
                if (weights[i * S + j] != 0)
                    sum += (double)weights[i * S + j] * (double)v[j * E + d];
            out[i * E + d] = (float)sum;
        }
}

/* out [rows, D] = weights [rows, keys] v [keys, D]. The mean of many values is small beside them, and a long
 * sum in float32 would be far off: so the keys are taken in blocks. */
static void mix(const forward_pass *pass, size_t rows, size_t keys, size_t D, const float *v, float *out) {
    const size_t S = pass->input->S, E = pass->layer->config.embed_dim;
    memset(pass->sums, 0, rows * D * sizeof *pass->sums);
    for (size_t first = 0; first < keys; first += MIX_KEYS) {
        const size_t count = keys - first < MIX_KEYS ? keys - first : MIX_KEYS;
        attn_matmul(rows, D, count, pass->scores + first, S, v + first * E, E, pass->mixed, D);
        for (size_t n = 0; n < rows * D; n++)
            pass->sums[n] += (double)pass->mixed[n];
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t d = 0; d < D; d++)
            out[i * E + d] = (float)pass->sums[i * D + d];
}

/* Hands the weights of rows [first, first + rows) to the caller, if they are wanted. */
static void store_weights(const forward_pass *pass, size_t b, size_t h, size_t first, size_t rows) {
    const attn_output *output = pass->output;
    const size_t L = pass->input->L, S = pass->input->S, H = pass->layer->config.num_heads;
    if (output->weights == NULL)
        return;
    if (!output->average) {
        memcpy(output->weights + ((b * H + h) * L + first) * S, pass->scores,
               rows * S * sizeof *pass->scores);
        return;
    }
    float *mean = output->weights + (b * L + first) * S;
    for (size_t n = 0; n < rows * S; n++) {
        mean[n] = (h == 0 ? 0 : mean[n]) + pass->scores[n];
        if (h + 1 == H)
            mean[n] /= (float)H;
    }
}

/* One head of one batch entry: score, mask, softmax, mix, a block of query rows at a time. */
static attn_status attend_head(const forward_pass *pass, size_t b, size_t h) {
    const attn_input *input = pass->input;
    const size_t L = input->L, S = input->S;
    const size_t E = pass->layer->config.embed_dim, D = E / pass->layer->config.num_heads;
    const float scale = (float)(1 / sqrt((double)D));
    const float *q = pass->q + b * L * E + h * D;
    const float *k = pass->k + b * S * E + h * D, *v = pass->v + b * S * E + h * D;
    float *out = pass->head_output + b * L * E + h * D;

    for (size_t first = 0; first < L; first += pass->block_rows) {
        if (stopped(pass))
            return cancelled(pass);
        const size_t rows = L - first < pass->block_rows ? L - first : pass->block_rows;
        const size_t keys = visible_keys(input, first + rows - 1);
        attn_matmul_transposed(rows, keys, D, scale, q + first * E, E, k, E, 0, pass->scores, S);
        for (size_t i = 0; i < rows; i++) {
            const attn_status status = weigh_row(pass, b, h, first + i, pass->scores + i * S);
            if (status != ATTN_OK)
                return status;
        }
        if (pass->v_is_finite)
            mix(pass, rows, keys, D, v, out + first * E);
        else
            mix_finite_only(rows, keys, D, pass->scores, S, v, E, out + first * E);
        store_weights(pass, b, h, first, rows);
    }
    return ATTN_OK;
}

/* A new array of [count, width] in the working memory, or NULL. */
static float *new_array(attn_arena *work, size_t count, size_t width) {
    size_t numbers;
    return attn_multiply(count, width, &numbers) ? attn_arena_array(work, numbers, sizeof(float)) : NULL;
}

static attn_status allocate(forward_pass *pass, attn_arena *work) {
    const size_t L = pass->input->L, S = pass->input->S, E = pass->layer->config.embed_dim;
    const size_t D = E / pass->layer->config.num_heads;
    size_t queries, keys;
    pass->block_rows = SCORE_NUMBERS / (S == 0 ? 1 : S);
    if (pass->block_rows > SCORE_ROWS)
        pass->block_rows = SCORE_ROWS;
    if (pass->block_rows == 0)
        pass->block_rows = 1;
    if (!attn_multiply(pass->input->B, L, &queries) || !attn_multiply(pass->input->B, S, &keys))
        return attn_fail(pass->error, ATTN_NO_MEMORY, "the request is larger than the address space");
    if ((pass->q = new_array(work, queries, E)) == NULL || (pass->k = new_array(work, keys, E)) == NULL ||
        (pass->v = new_array(work, keys, E)) == NULL ||
        (pass->head_output = new_array(work, queries, E)) == NULL ||
        (pass->scores = new_array(work, pass->block_rows, S)) == NULL ||
        (pass->mixed = new_array(work, pass->block_rows, D)) == NULL ||
        (pass->sums = attn_arena_array(work, pass->block_rows * D, sizeof *pass->sums)) == NULL)
        return attn_fail(pass->error, attn_arena_failure(work), "no working memory for the attention pass");
    return ATTN_OK;
}

static void release(forward_pass *pass, attn_arena *work) {
    attn_arena_release(work, pass->q);
    attn_arena_release(work, pass->k);
    attn_arena_release(work, pass->v);
    attn_arena_release(work, pass->head_output);
    attn_arena_release(work, pass->scores);
    attn_arena_release(work, pass->mixed);
    attn_arena_release(work, pass->sums);
}

static attn_status run(forward_pass *pass) {
    const attn_layer *layer = pass->layer;
    const attn_config *config = &layer->config;
    const attn_input *input = pass->input;
    const size_t E = config->embed_dim, queries = input->B * input->L, keys = input->B * input->S;
    attn_status status;
    if ((status = project(pass, queries, input->query, E, layer->q_weight, layer->q_bias, pass->q)) !=
            ATTN_OK ||
        (status = project(pass, keys, input->key, config->kdim, layer->k_weight, layer->k_bias, pass->k)) !=
            ATTN_OK ||
        (status = project(pass, keys, input->value, config->vdim, layer->v_weight, layer->v_bias, pass->v)) !=
            ATTN_OK)
        return status;
    pass->v_is_finite = attn_all_finite(pass->v, keys * E);
    for (size_t b = 0; b < input->B; b++)
        for (size_t h = 0; h < config->num_heads; h++)
            if ((status = attend_head(pass, b, h)) != ATTN_OK)
                return status;
    status =
        project(pass, queries, pass->head_output, E, layer->o_weight, layer->o_bias, pass->output->output);
    if (status == ATTN_OK && !attn_all_finite(pass->output->output, queries * E))
        return attn_fail(pass->error, ATTN_BAD_VALUE,
                         "the output is beyond float32: the inputs are too large for this model's weights");
    return status;
}

attn_status attn_forward(const attn_layer *layer, const attn_input *input, const attn_output *output,
                         attn_arena *work, const attn_control *control, attn_error *error) {
    forward_pass pass = {
        .layer = layer, .input = input, .output = output, .control = control, .error = error};
    attn_status status = allocate(&pass, work);
    if (status == ATTN_OK)
        status = run(&pass);
    release(&pass, work);
    return status;
}
