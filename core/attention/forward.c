/* forward.c: one pass of multi-head attention in float32: project, rotate, score, mask, softmax, drop, mix,
 * project. The letters and the shapes are those of core/attention.h. */
#include "core/attention/dropout.h"
#include "core/attention/pass.h"
#include "core/kernels/matmul.h"
#include "core/kernels/softmax.h"
#include "core/size.h"

#include <math.h>
#include <string.h>

size_t attn_keys_with_extra(const attn_config *config, size_t S, bool omit_extra) {
    return omit_extra ? S : S + (config->add_bias_kv ? 1 : 0) + (config->add_zero_attn ? 1 : 0);
}

attn_view attn_view_all(const attn_config *config, const attn_input *input) {
    return (attn_view){
        .batch_count = input->B,
        .head_count = config->num_heads,
        .row_to = input->L,
        .col_to = attn_keys_with_extra(config, input->S, input->omit_extra),
    };
}

bool attn_pass_stopped(const attn_pass *pass) {
    return pass->control != NULL && pass->control->should_stop(pass->control->context);
}

attn_status attn_pass_cancelled(const attn_pass *pass) {
    return attn_fail(pass->error, ATTN_CANCELLED, "the computation was stopped before it was complete");
}

attn_status attn_pass_no_memory(const attn_pass *pass) {
    return attn_fail(pass->error, attn_arena_failure(pass->work), "no working memory for the attention pass");
}

float *attn_pass_array(attn_pass *pass, size_t count, size_t width) {
    size_t numbers;
    return attn_multiply(count, width, &numbers) ? attn_arena_array(pass->work, numbers, sizeof(float))
                                                 : NULL;
}

/* ---- One block of rows of one head ---- */

/* The natural logarithm of the softmax's denominator, whose terms were taken relative to `max`. */
static float lse_of(float max, double sum) {
    return sum > 0 ? (float)((double)max + log(sum)) : -INFINITY;
}

/* From the scores of row n of the block to its weights, before dropout. */
static attn_status weigh_row(attn_pass *pass, const attn_block *block, size_t n) {
    const attn_layer *layer = pass->layer;
    const size_t i = block->first + n;
    const float *sink = layer->sinks == NULL || pass->input->omit_extra ? NULL : layer->sinks + block->h;
    float *row = pass->scores + n * block->columns, max;
    double sum;
    const attn_status status = attn_score_mask_row(pass, block, n);
    if (status != ATTN_OK)
        return status;
    if (!attn_softmax_row(row, block->columns, sink, &max, &sum))
        return attn_fail(pass->error, ATTN_BAD_VALUE,
                         "the score of query %zu in batch %zu, head %zu is beyond float32: the inputs or the "
                         "masks are too large",
                         i, block->b, block->h);
    if (pass->output->lse != NULL)
        pass->output->lse[(block->b * layer->config.num_heads + block->h) * pass->input->L + i] =
            lse_of(max, sum);
    attn_collect_stats(&pass->collector, block->b, block->h, i, block->keys.from, block->keys.to, row);
    return ATTN_OK;
}

static void drop(const attn_pass *pass, const attn_block *block, size_t n) {
    const size_t visible = block->keys.to - block->keys.from, S = pass->input->S;
    float *row = pass->scores + n * block->columns;
    for (size_t c = 0; c < block->columns; c++) {
        const size_t j = c < visible ? block->keys.from + c : S + (c - visible);
        row[c] *= attn_dropout_factor(pass->layer->config.dropout, pass->input->seed, (uint32_t)block->b,
                                      (uint32_t)block->h, (uint32_t)(block->first + n), (uint32_t)j);
    }
}

/* Spreads the row's weights over all S+ keys, and hands them to the caller's view. */
static bool store_weights(attn_pass *pass, const attn_block *block, size_t n) {
    attn_collector *c = &pass->collector;
    const size_t i = block->first + n, S = pass->input->S, visible = block->keys.to - block->keys.from;
    const float *row = pass->scores + n * block->columns;
    if (!attn_collect_wants(c, &c->weights, block->b, block->h, i))
        return true;
    memset(c->row, 0, block->keys.from * sizeof *row);
    memcpy(c->row + block->keys.from, row, visible * sizeof *row);
    memset(c->row + block->keys.to, 0, (S - block->keys.to) * sizeof *row);
    memcpy(c->row + S, row + visible, pass->extra * sizeof *row);
    return attn_collect_row(c, &c->weights, block->b, block->h, block->first, i, c->row);
}

static attn_status store_scores(attn_pass *pass, const attn_block *block) {
    attn_collector *c = &pass->collector;
    const size_t stride = pass->input->S + pass->extra;
    for (size_t n = 0; pass->raw != NULL && n < block->rows; n++)
        if (attn_collect_wants(c, &c->scores, block->b, block->h, block->first + n) &&
            !attn_collect_row(c, &c->scores, block->b, block->h, block->first, block->first + n,
                              pass->raw + n * stride))
            return attn_fail(
                pass->error, ATTN_BAD_VALUE,
                "a score of query %zu in batch %zu, head %zu is beyond float32, and all scores were "
                "asked for",
                block->first + n, block->b, block->h);
    return ATTN_OK;
}

/* Adds weights [rows, count] v [count, D] to the sums. A sum of many values in float32 would be far off, so
 * the keys are taken in blocks. */
static void mix_keys(const attn_pass *pass, const attn_block *block, const float *weights, const float *v,
                     size_t count) {
    const size_t D = pass->layer->config.head_dim;
    for (size_t first = 0; first < count; first += MIX_KEYS) {
        const size_t now = count - first < MIX_KEYS ? count - first : MIX_KEYS;
        attn_matmul(block->rows, D, now, weights + first, block->columns, v + first * pass->kv_width,
                    pass->kv_width, pass->mixed, D);
        for (size_t n = 0; n < block->rows * D; n++)
            pass->sums[n] += (double)pass->mixed[n];
    }
}

/* Does a weight that is not zero belong to a value beyond float32? */
static bool is_spoiled(const attn_pass *pass, const attn_block *block) {
    const size_t Hkv = pass->layer->config.num_kv_heads, head = attn_kv_head(pass, block->h);
    for (size_t j = block->keys.from; pass->spoiled != NULL && j < block->keys.to; j++) {
        if (!pass->spoiled[(block->b * pass->input->S + j) * Hkv + head])
            continue;
        for (size_t n = 0; n < block->rows; n++)
            if (pass->scores[n * block->columns + (j - block->keys.from)] != 0)
                return true;
    }
    return false;
}

/* head_output [rows, D] = weights [rows, columns] and the values of their keys, mixed. */
static void mix(const attn_pass *pass, const attn_block *block) {
    const size_t D = pass->layer->config.head_dim, head = attn_kv_head(pass, block->h) * D;
    const size_t visible = block->keys.to - block->keys.from;
    const float *v = pass->v + (block->b * pass->input->S + block->keys.from) * pass->kv_width + head;
    float *out =
        pass->head_output + (block->b * pass->input->L + block->first) * pass->q_width + block->h * D;
    memset(pass->sums, 0, block->rows * D * sizeof *pass->sums);
    mix_keys(pass, block, pass->scores, v, visible);
    mix_keys(pass, block, pass->scores + visible, pass->extra_v + head, pass->extra);
    for (size_t n = 0; n < block->rows; n++)
        for (size_t d = 0; d < D; d++)
            out[n * pass->q_width + d] = (float)pass->sums[n * D + d];
}

static attn_status attend_block(attn_pass *pass, const attn_block *block) {
    const bool drops = pass->input->training && pass->layer->config.dropout > 0;
    attn_status status;
    if (attn_pass_stopped(pass))
        return attn_pass_cancelled(pass);
    attn_score_block(pass, block);
    if ((status = store_scores(pass, block)) != ATTN_OK)
        return status;
    for (size_t n = 0; n < block->rows; n++) {
        if ((status = weigh_row(pass, block, n)) != ATTN_OK)
            return status;
        if (drops)
            drop(pass, block, n);
        if (!store_weights(pass, block, n))
            return attn_fail(pass->error, ATTN_BAD_VALUE,
                             "a weight of query %zu in batch %zu, head %zu is beyond float32",
                             block->first + n, block->b, block->h);
    }
    if (is_spoiled(pass, block))
        return attn_fail(
            pass->error, ATTN_BAD_VALUE,
            "a value that is attended to in batch %zu, head %zu is beyond float32: the inputs are too "
            "large for this model's weights",
            block->b, block->h);
    mix(pass, block);
    return ATTN_OK;
}

/* All heads of one block of rows after the other: so a mean over the heads never needs more than the block.
 */
static attn_status attend(attn_pass *pass) {
    const attn_config *config = &pass->layer->config;
    const attn_input *in = pass->input;
    for (size_t b = 0; b < in->B; b++) {
        for (size_t first = 0; first < in->L; first += pass->block_rows) {
            attn_block block = {.b = b, .first = first};
            block.rows = in->L - first < pass->block_rows ? in->L - first : pass->block_rows;
            block.keys.from = attn_visible_keys(config, in, first).from;
            block.keys.to = attn_visible_keys(config, in, first + block.rows - 1).to;
            block.columns = block.keys.to - block.keys.from + pass->extra;
            for (block.h = 0; block.h < config->num_heads; block.h++) {
                const attn_status status = attend_block(pass, &block);
                if (status != ATTN_OK)
                    return status;
            }
            attn_collect_block_end(&pass->collector, b, first, block.rows);
        }
        attn_collect_batch_end(&pass->collector, b);
    }
    return ATTN_OK;
}

/* ---- What else was asked for ---- */

/* out [B, heads, rows + extra rows, D] = x [B, rows, heads, D], and x_extra [extra, heads, D] behind each. */
static bool split_heads(const attn_pass *pass, const float *x, size_t rows, size_t heads,
                        const float *x_extra, size_t extra, float *out) {
    const size_t D = pass->layer->config.head_dim, B = pass->input->B;
    for (size_t b = 0; b < B; b++)
        for (size_t h = 0; h < heads; h++)
            for (size_t n = 0; n < rows + extra; n++) {
                const float *from =
                    n < rows ? x + ((b * rows + n) * heads + h) * D : x_extra + ((n - rows) * heads + h) * D;
                memcpy(out + ((b * heads + h) * (rows + extra) + n) * D, from, D * sizeof *out);
            }
    return attn_all_finite(out, B * heads * (rows + extra) * D);
}

static attn_status hand_out(const attn_pass *pass) {
    const attn_output *out = pass->output;
    const size_t L = pass->input->L, S = pass->input->S;
    const size_t H = pass->layer->config.num_heads, Hkv = pass->layer->config.num_kv_heads;
    const char *beyond = NULL;
    if (out->q != NULL && !split_heads(pass, pass->q, L, H, NULL, 0, out->q))
        beyond = "q";
    if (out->k != NULL && !split_heads(pass, pass->k, S, Hkv, pass->extra_k, pass->extra, out->k))
        beyond = "k";
    if (out->v != NULL &&
        (pass->spoiled != NULL || !split_heads(pass, pass->v, S, Hkv, pass->extra_v, pass->extra, out->v)))
        beyond = "v";
    if (out->head_output != NULL && !split_heads(pass, pass->head_output, L, H, NULL, 0, out->head_output))
        beyond = "head_output";
    if (beyond != NULL)
        return attn_fail(pass->error, ATTN_BAD_VALUE,
                         "%s is beyond float32: the inputs are too large for this model's weights", beyond);
    return ATTN_OK;
}

/* ---- The pass ---- */

/* As many rows as fit into a block, and the columns of the widest. */
static size_t choose_block(attn_pass *pass) {
    const attn_config *config = &pass->layer->config;
    size_t keys = pass->input->S;
    if (config->sliding_window != 0) { /* of the first row to that of the last */
        const size_t sides = config->causal && pass->input->is_causal ? 1 : 2;
        size_t span;
        if (attn_multiply(sides, config->sliding_window, &span) && attn_add(span, SCORE_ROWS, &span) &&
            (!config->causal || pass->input->is_causal) && span < keys)
            keys = span;
    }
    const size_t columns = keys + pass->extra, counted = columns == 0 ? 1 : columns;
    const size_t rows = SCORE_NUMBERS / counted;
    pass->block_rows = rows == 0 ? 1 : rows > SCORE_ROWS ? SCORE_ROWS : rows;
    return columns;
}

static bool allocate(attn_pass *pass) {
    const attn_input *in = pass->input;
    const size_t D = pass->layer->config.head_dim, columns = choose_block(pass), rows = pass->block_rows;
    size_t queries, keys;
    return attn_multiply(in->B, in->L, &queries) && attn_multiply(in->B, in->S, &keys) &&
           (pass->q = attn_pass_array(pass, queries, pass->q_width)) != NULL &&
           (pass->k = attn_pass_array(pass, keys, pass->kv_width)) != NULL &&
           (pass->v = attn_pass_array(pass, keys, pass->kv_width)) != NULL &&
           (pass->extra_k = attn_pass_array(pass, pass->extra, pass->kv_width)) != NULL &&
           (pass->extra_v = attn_pass_array(pass, pass->extra, pass->kv_width)) != NULL &&
           (pass->head_output = attn_pass_array(pass, queries, pass->q_width)) != NULL &&
           (pass->scores = attn_pass_array(pass, rows, columns)) != NULL &&
           (pass->mixed = attn_pass_array(pass, rows, D)) != NULL &&
           (pass->sums = attn_arena_array(pass->work, rows * D, sizeof *pass->sums)) != NULL &&
           (pass->output->scores.values == NULL ||
            (pass->raw = attn_pass_array(pass, rows, in->S + pass->extra)) != NULL) &&
           attn_collect_start(&pass->collector, pass->layer, in, pass->output, rows, pass->work);
}

static void release(attn_pass *pass) {
    void *const used[] = {pass->q,       pass->k,           pass->v,       pass->extra_k,
                          pass->extra_v, pass->head_output, pass->buckets, pass->scores,
                          pass->raw,     pass->mixed,       pass->sums,    pass->spoiled};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        attn_arena_release(pass->work, used[i]);
    attn_collect_end(&pass->collector, pass->work);
}

static attn_status run(attn_pass *pass) {
    attn_status status = allocate(pass) ? ATTN_OK : attn_pass_no_memory(pass);
    if (status == ATTN_OK)
        status = attn_project_inputs(pass);
    if (status == ATTN_OK)
        status = attn_score_prepare(pass);
    if (status == ATTN_OK)
        status = attend(pass);
    if (status == ATTN_OK)
        status = hand_out(pass);
    return status == ATTN_OK ? attn_project_output(pass) : status;
}

/* Only the output projection, of heads that the caller brings: [B, H, L, D] becomes [B, L, H, D]. */
static attn_status run_heads(attn_pass *pass) {
    const attn_input *in = pass->input;
    const size_t H = pass->layer->config.num_heads, D = pass->layer->config.head_dim;
    size_t queries;
    if (!attn_multiply(in->B, in->L, &queries) ||
        (pass->head_output = attn_pass_array(pass, queries, pass->q_width)) == NULL)
        return attn_pass_no_memory(pass);
    for (size_t b = 0; b < in->B; b++)
        for (size_t h = 0; h < H; h++)
            for (size_t i = 0; i < in->L; i++)
                memcpy(pass->head_output + ((b * in->L + i) * H + h) * D,
                       in->head_output + ((b * H + h) * in->L + i) * D, D * sizeof(float));
    return attn_project_output(pass);
}

attn_status attn_forward(const attn_layer *layer, const attn_input *input, const attn_output *output,
                         attn_arena *work, const attn_control *control, attn_error *error) {
    const attn_config *config = &layer->config;
    attn_pass pass = {
        .layer = layer,
        .input = input,
        .output = output,
        .control = control,
        .work = work,
        .error = error,
        .q_width = config->num_heads * config->head_dim,
        .kv_width = config->num_kv_heads * config->head_dim,
        .extra = attn_keys_with_extra(config, input->S, input->omit_extra) - input->S,
    };
    const attn_status status = input->head_output != NULL ? run_heads(&pass) : run(&pass);
    release(&pass);
    return status;
}
