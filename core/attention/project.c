/* project.c: the linear parts of the pass: from the inputs to q, k and v, and from the heads to the outputs.
 */
#include "core/attention/project.h"
#include "core/attention/angles.h"
#include "core/attention/exact.h"
#include "core/attention/pass.h"
#include "core/attention/rope.h"
#include "core/size.h"
#include "core/watch.h"

#include <math.h>
#include <string.h>

typedef struct {
    attn_batch *batch;
    attn_projected which;
} projection;

/* ---- The arrays ---- */

/* bias_k and bias_v, then zeros, as torch appends them. */
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

/* ---- What becomes of the rows ---- */

/* x [D] becomes x / rms(x) * weight (Zhang, Sennrich, "Root Mean Square Layer Normalization", 2019). */
static void norm_head(float *x, size_t D, const float *weight, double eps) {
    double squares = 0;
    for (size_t d = 0; d < D; d++)
        squares += (double)x[d] * (double)x[d];
    const double factor = 1 / sqrt(squares / (double)D + eps); /* of large x it is below float32 */
    for (size_t d = 0; d < D; d++)
        x[d] = weight[d] * (float)((double)x[d] * factor);
}

/* Norms and rotates the heads [columns] of row n, which is of q or of k. */
static void finish_heads(const attn_pass *pass, attn_projected which, size_t n, size_t columns, float *y) {
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

/* Head h of rows [row, row + rows), all of one batch entry, goes to k or v. */
static void store_head(attn_pass *pass, attn_projected which, size_t row, size_t rows, size_t h,
                       const float *y, size_t y_row) {
    const size_t D = pass->layer->config.head_dim, S = pass->input->S;
    const size_t head = row / S * pass->layer->config.num_kv_heads + h;
    const size_t width = which == KEY ? D : pass->value_width;
    float *to = (which == KEY ? pass->k : pass->v) + (head * S + row % S) * width;
    if (pass->kernels->copy(rows, D, y, y_row, to, width) >= ATTN_INFINITE &&
        !attn_exact_heads(pass, which, row, rows, h, to, width) && which == VALUE)
        atomic_store_explicit(&pass->beyond, true, memory_order_relaxed);
    for (size_t n = 0; n < rows && width > D; n++)
        memset(to + n * width + D, 0, (width - D) * sizeof *to);
}

/* Rows [row, row + rows) of all batch entries, with the heads from h on side by side. */
static void store_heads(attn_pass *pass, attn_projected which, size_t row, size_t rows, size_t h,
                        size_t columns, const float *y, size_t y_row) {
    const size_t D = pass->layer->config.head_dim, S = pass->input->S;
    for (size_t n = 0, count; n < rows; n += count) {
        const size_t left = S - (row + n) % S; /* in the batch entry */
        count = left < rows - n ? left : rows - n;
        for (size_t column = 0; column < columns; column += D)
            store_head(pass, which, row + n, count, h + column / D, y + n * y_row + column, y_row);
    }
}

static void deliver_input(void *context, size_t part, size_t row, size_t rows, size_t column, size_t columns,
                          float *y, size_t y_row) {
    const projection *p = context;
    attn_pass *pass = &p->batch->passes[part];
    const size_t D = pass->layer->config.head_dim, q_width = pass->layer->config.num_heads * D;
    for (size_t n = 0; n < rows && p->which != VALUE; n++)
        finish_heads(pass, p->which, row + n, columns, y + n * y_row);
    float *q = pass->q + row * q_width + column;
    if (p->which == QUERY && pass->kernels->copy(rows, columns, y, y_row, q, q_width) >= ATTN_INFINITE)
        for (size_t d = 0; d < columns; d += D)
            attn_exact_heads(pass, QUERY, row, rows, (column + d) / D, q + d, q_width);
    if (p->which != QUERY)
        store_heads(pass, p->which, row, rows, column / D, columns, y, y_row);
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

static attn_linear input_projection(const attn_batch *batch, projection *p) {
    const attn_layer *w = batch->layer;
    const attn_packed *const weights[] = {&w->q_weight, &w->k_weight, &w->v_weight};
    const float *const biases[] = {w->q_bias, w->k_bias, w->v_bias};
    return (attn_linear){.weight = weights[p->which],
                         .bias = biases[p->which],
                         .parts = batch->parts + (size_t)p->which * batch->count,
                         .part_count = batch->count,
                         .unit = w->config.head_dim,
                         .deliver = deliver_input,
                         .stopped = stopped,
                         .context = p};
}

static attn_linear output_projection(const attn_batch *batch, projection *p) {
    return (attn_linear){.weight = &batch->layer->o_weight,
                         .bias = batch->layer->o_bias,
                         .parts = batch->parts,
                         .part_count = batch->count,
                         .unit = 1,
                         .deliver = deliver_output,
                         .stopped = stopped,
                         .context = p};
}

/* The rows of all passes. Those of a pass that failed stay among them, and are left out when their turn
 * comes: so how many there are, and with it how much memory they take, does not change. */
static void set_parts(attn_batch *batch, attn_projected which) {
    for (size_t n = 0; n < batch->count; n++) {
        const attn_input *in = batch->jobs[n].input;
        const float *const inputs[] = {in->query, in->key, in->value};
        const size_t width = which == QUERY ? in->L : in->S;
        size_t rows = 0;
        if (in->head_output != NULL || !attn_multiply(in->B, width, &rows))
            rows = 0; /* such a pass gets no memory */
        batch->parts[(size_t)which * batch->count + n] = (attn_linear_part){inputs[which], rows};
    }
}

/* What is computed of all inputs, and for whom. */
static void input_projections(attn_batch *batch, projection *p, attn_linear *linears) {
    for (attn_projected which = QUERY; which < INPUTS; which++) {
        p[which] = (projection){batch, which};
        set_parts(batch, which);
        linears[which] = input_projection(batch, &p[which]);
    }
}

static void set_output_parts(attn_batch *batch) {
    for (size_t n = 0; n < batch->count; n++) {
        const attn_input *in = batch->jobs[n].input;
        size_t rows = 0;
        if (!attn_multiply(in->B, in->L, &rows))
            rows = 0;
        batch->parts[n] = (attn_linear_part){batch->passes[n].heads, rows};
    }
}

size_t attn_project_scratch(attn_batch *batch) {
    projection p[INPUTS];
    attn_linear linears[INPUTS];
    set_output_parts(batch);
    linears[0] = output_projection(batch, p);
    const size_t output = attn_linear_scratch(linears, 1);
    input_projections(batch, p, linears);
    const size_t inputs = attn_linear_scratch(linears, INPUTS);
    return inputs > output ? inputs : output;
}

/* A value beyond float32 must not leak where its weight is zero, as 0 * infinity. Its head becomes zeros,
 * which is remembered: where its weight is not zero, the result is beyond float32 too. */
static void replace_spoiled(attn_pass *pass) {
    const size_t D = pass->layer->config.head_dim;
    const size_t heads = pass->input->B * pass->input->S * pass->layer->config.num_kv_heads;
    attn_watch watch = {.control = pass->control};
    if (attn_pass_failed(pass) || !atomic_load(&pass->beyond))
        return;
    atomic_store(&pass->beyond, false);
    if ((pass->spoiled = attn_arena_array(pass->work, heads, sizeof *pass->spoiled)) == NULL) {
        attn_pass_no_memory(pass);
        return;
    }
    for (size_t n = 0; n < heads; n++) {
        float *v = pass->v + n * pass->value_width;
        pass->spoiled[n] = !attn_all_finite(pass->kernels, v, D);
        if (pass->spoiled[n])
            memset(v, 0, D * sizeof *v);
        if (attn_watch_stops(&watch, ATTN_ROW_STEPS + D)) {
            attn_pass_cancel(pass);
            return;
        }
    }
}

void attn_project_inputs(attn_batch *batch) {
    projection p[INPUTS];
    attn_linear linears[INPUTS];
    for (size_t n = 0; n < batch->count; n++)
        if (batch->layer->config.rope.style != ATTN_ROPE_NONE && !attn_pass_failed(&batch->passes[n]) &&
            batch->passes[n].input->head_output == NULL)
            attn_angles_prepare(batch, &batch->passes[n]);
    input_projections(batch, p, linears);
    attn_linear_run(linears, INPUTS, batch->parallel, batch->scratch);
    for (size_t n = 0; n < batch->count; n++)
        replace_spoiled(&batch->passes[n]);
}

void attn_project_output(attn_batch *batch) {
    projection p = {.batch = batch};
    const attn_linear linear = output_projection(batch, &p);
    set_output_parts(batch);
    attn_linear_run(&linear, 1, batch->parallel, batch->scratch);
    for (size_t n = 0; n < batch->count; n++)
        if (!attn_pass_failed(&batch->passes[n]) && atomic_load(&batch->passes[n].beyond))
            attn_pass_fail(&batch->passes[n], 1, ATTN_BAD_VALUE,
                           "the output is beyond float32: the inputs are too large for this model's weights");
}
