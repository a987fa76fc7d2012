/* project.c: the projections: from the inputs to q, k and v, and from the heads to the outputs. */
#include "core/attention/rope.h"
#include "core/attention/stages.h"

#include <math.h>
#include <string.h>

typedef struct {
    attn_batch *batch;
    attn_projected which;
} projection;

/* ---- The arrays ---- */

/* The extra keys and values: bias_k and bias_v, then zeros, as torch appends them. */
static void make_extra(attn_pass *pass) {
    const attn_config *c = &pass->layer->config;
    const size_t D = c->head_dim, Dv = pass->value_width, count = c->num_kv_heads * pass->extra;
    memset(pass->extra_k, 0, count * D * sizeof(float));
    memset(pass->extra_v, 0, count * Dv * sizeof(float));
    for (size_t h = 0; h < c->num_kv_heads && pass->extra != 0 && c->add_bias_kv; h++) {
        memcpy(pass->extra_k + h * pass->extra * D, pass->layer->bias_k + h * D, D * sizeof(float));
        memcpy(pass->extra_v + h * pass->extra * Dv, pass->layer->bias_v + h * D, D * sizeof(float));
    }
}

bool attn_project_allocate(attn_pass *pass) {
    const attn_config *c = &pass->layer->config;
    const attn_input *in = pass->input;
    const size_t D = c->head_dim, Dv = pass->value_width, Hkv = c->num_kv_heads;
    size_t queries, keys;
    if (!attn_multiply(in->B, in->L, &queries) ||
        !attn_multiply_all((size_t[]){in->B, Hkv, in->S}, 3, &keys) ||
        (pass->q = attn_pass_array(pass, queries, c->num_heads * D)) == NULL ||
        (pass->k = attn_pass_array(pass, keys, D)) == NULL ||
        (pass->v = attn_pass_array(pass, keys, Dv)) == NULL ||
        (pass->extra_k = attn_pass_array(pass, Hkv * pass->extra, D)) == NULL ||
        (pass->extra_v = attn_pass_array(pass, Hkv * pass->extra, Dv)) == NULL)
        return false;
    make_extra(pass);
    return true;
}

/* ---- Rows as linear.h delivers them ---- */

/* x [D] becomes x / rms(x) * weight (Zhang, Sennrich, "Root Mean Square Layer Normalization", 2019). */
static void norm_head(float *x, size_t D, const float *weight, double eps) {
    double squares = 0;
    for (size_t d = 0; d < D; d++)
        squares += (double)x[d] * (double)x[d];
    const double factor = 1 / sqrt(squares / (double)D + eps); /* of large x it is below float32 */
    for (size_t d = 0; d < D; d++)
        x[d] = weight[d] * (float)((double)x[d] * factor);
}

/* Norms and rotates the heads of row n of q or k, [columns]. */
static void norm_and_rotate(const attn_pass *pass, attn_projected which, size_t n, size_t columns, float *y) {
    const attn_layer *layer = pass->layer;
    const attn_config *c = &layer->config;
    const size_t position = n % (which == QUERY ? pass->input->L : pass->input->S), pairs = c->rope.dims / 2;
    for (size_t column = 0; column < columns; column += c->head_dim) {
        if (c->qk_norm)
            norm_head(y + column, c->head_dim, which == QUERY ? layer->q_norm : layer->k_norm,
                      c->qk_norm_eps);
        if (c->rope.style != ATTN_ROPE_NONE)
            attn_rope_rotate(&c->rope, pass->cosines[which] + position * pairs,
                             pass->sines[which] + position * pairs, y + column);
    }
}

/* Rows [row, row + rows) of k or v, with the heads from h on side by side: [B, S, ..] becomes [B, Hkv, S,
 * ..]. */
static void store_by_head(attn_pass *pass, attn_projected which, size_t row, size_t rows, size_t h,
                          size_t columns, const float *y, size_t y_row) {
    const size_t D = pass->layer->config.head_dim, Hkv = pass->layer->config.num_kv_heads;
    const size_t S = pass->input->S, width = which == KEY ? D : pass->value_width;
    for (size_t end = row + rows, count; row < end; row += count, y += count * y_row) {
        const size_t b = row / S, j = row % S;
        count = S - j < end - row ? S - j : end - row;
        for (size_t column = 0; column < columns; column += D) {
            const size_t head = h + column / D;
            float *to = (which == KEY ? pass->k : pass->v) + ((b * Hkv + head) * S + j) * width;
            if (pass->kernels->copy(count, D, y + column, y_row, to, width) >= ATTN_INFINITE &&
                !attn_exact_heads(pass, which, row, count, head, to, width) && which == VALUE)
                atomic_store_explicit(&pass->overflowed, true, memory_order_relaxed);
            for (size_t n = 0; n < count && width > D; n++)
                memset(to + n * width + D, 0, (width - D) * sizeof *to);
        }
    }
}

/* Rows [row, row + rows) of q, k or v; in exact.c, what is beyond float32 is computed again. */
static void deliver_input(void *context, size_t part, size_t row, size_t rows, size_t column, size_t columns,
                          float *y, size_t y_row) {
    const projection *p = context;
    attn_pass *pass = &p->batch->passes[part];
    const size_t D = pass->layer->config.head_dim, q_width = pass->layer->config.num_heads * D;
    for (size_t n = 0; n < rows && p->which != VALUE; n++)
        norm_and_rotate(pass, p->which, row + n, columns, y + n * y_row);
    float *q = pass->q + row * q_width + column;
    if (p->which == QUERY && pass->kernels->copy(rows, columns, y, y_row, q, q_width) >= ATTN_INFINITE)
        for (size_t d = 0; d < columns; d += D)
            attn_exact_heads(pass, QUERY, row, rows, (column + d) / D, q + d, q_width);
    if (p->which != QUERY)
        store_by_head(pass, p->which, row, rows, column / D, columns, y, y_row);
}

static void deliver_output(void *context, size_t part, size_t row, size_t rows, size_t column, size_t columns,
                           float *y, size_t y_row) {
    const projection *p = context;
    attn_pass *pass = &p->batch->passes[part];
    const size_t E = pass->layer->config.embed_dim;
    if (pass->kernels->copy(rows, columns, y, y_row, pass->output->output + row * E + column, E) >=
        ATTN_INFINITE)
        attn_exact_outputs(pass, row, rows, column, columns);
}

static bool stopped(void *context, size_t part) {
    const projection *p = context;
    return attn_pass_ends(&p->batch->passes[part], SIZE_MAX);
}

/* ---- The stages ---- */

/* The rows of an input or of the output of one pass. A pass that fails keeps its rows, and `stopped` leaves
 * them out: so the working memory does not depend on it. */
static size_t rows_of(const attn_input *in, size_t length) {
    size_t rows;
    return attn_multiply(in->B, length, &rows) ? rows : 0; /* a pass of more rows gets no memory */
}

static void plan_inputs(attn_batch *batch, projection *p, attn_linear *linears) {
    const attn_layer *w = batch->layer;
    const attn_packed *const weights[] = {&w->q_weight, &w->k_weight, &w->v_weight};
    const float *const biases[] = {w->q_bias, w->k_bias, w->v_bias};
    for (attn_projected which = QUERY; which < INPUTS; which++) {
        attn_linear_part *parts = batch->parts + (size_t)which * batch->count;
        for (size_t n = 0; n < batch->count; n++) {
            const attn_input *in = batch->jobs[n].input;
            const float *const inputs[] = {in->query, in->key, in->value};
            const size_t rows = rows_of(in, which == QUERY ? in->L : in->S);
            parts[n] = (attn_linear_part){inputs[which], in->head_output != NULL ? 0 : rows};
        }
        p[which] = (projection){batch, which};
        linears[which] = (attn_linear){.weight = weights[which],
                                       .bias = biases[which],
                                       .parts = parts,
                                       .part_count = batch->count,
                                       .unit = w->config.head_dim,
                                       .deliver = deliver_input,
                                       .stopped = stopped,
                                       .context = &p[which]};
    }
}

static attn_linear plan_output(attn_batch *batch, projection *p) {
    *p = (projection){.batch = batch};
    for (size_t n = 0; n < batch->count; n++) {
        const attn_input *in = batch->jobs[n].input;
        batch->parts[n] = (attn_linear_part){batch->passes[n].heads, rows_of(in, in->L)};
    }
    return (attn_linear){.weight = &batch->layer->o_weight,
                         .bias = batch->layer->o_bias,
                         .parts = batch->parts,
                         .part_count = batch->count,
                         .unit = 1,
                         .deliver = deliver_output,
                         .stopped = stopped,
                         .context = p};
}

size_t attn_project_scratch(attn_batch *batch) {
    projection p[INPUTS];
    attn_linear linears[INPUTS] = {plan_output(batch, p)};
    const size_t output = attn_linear_scratch(linears, 1);
    plan_inputs(batch, p, linears);
    const size_t inputs = attn_linear_scratch(linears, INPUTS);
    return inputs > output ? inputs : output;
}

/* A value beyond float32 must not show where its weight is zero, as 0 * infinity. So it is set to zero, and
 * attend.c fails where its weight is not. */
static void zero_nonfinite_v(attn_pass *pass) {
    const size_t D = pass->layer->config.head_dim;
    const size_t heads = pass->input->B * pass->input->S * pass->layer->config.num_kv_heads;
    attn_watch watch = {.control = pass->control};
    if (attn_pass_failed(pass) || !atomic_load(&pass->overflowed))
        return;
    atomic_store(&pass->overflowed, false);
    if ((pass->nonfinite_v = attn_arena_array(pass->work, heads, sizeof *pass->nonfinite_v)) == NULL) {
        attn_pass_no_memory(pass);
        return;
    }
    for (size_t n = 0; n < heads; n++) {
        float *v = pass->v + n * pass->value_width;
        pass->nonfinite_v[n] = !attn_all_finite(pass->kernels, v, D);
        if (pass->nonfinite_v[n])
            memset(v, 0, D * sizeof *v);
        if (attn_pass_stops(pass, &watch, ATTN_ROW_STEPS + D))
            return;
    }
}

void attn_project_inputs(attn_batch *batch) {
    projection p[INPUTS];
    attn_linear linears[INPUTS];
    for (size_t n = 0; n < batch->count; n++)
        if (batch->layer->config.rope.style != ATTN_ROPE_NONE && !attn_pass_failed(&batch->passes[n]) &&
            batch->passes[n].input->head_output == NULL)
            attn_angles_prepare(batch, &batch->passes[n]);
    plan_inputs(batch, p, linears);
    attn_linear_run(linears, INPUTS, batch->parallel, batch->scratch);
    for (size_t n = 0; n < batch->count; n++)
        zero_nonfinite_v(&batch->passes[n]);
}

void attn_project_output(attn_batch *batch) {
    projection p;
    const attn_linear linear = plan_output(batch, &p);
    attn_linear_run(&linear, 1, batch->parallel, batch->scratch);
    for (size_t n = 0; n < batch->count; n++)
        if (!attn_pass_failed(&batch->passes[n]) && atomic_load(&batch->passes[n].overflowed))
            attn_pass_fail(&batch->passes[n], 1, ATTN_BAD_VALUE,
                           "the output is beyond float32: the inputs are too large for this model's weights");
}
