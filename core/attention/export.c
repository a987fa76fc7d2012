/* export.c: q, k, v and the heads as the caller wants them. */
#include "core/attention/stages.h"

#include <string.h>

/* A copy on its way to the caller, row by row. */
typedef struct {
    attn_pass *pass;
    const char *name;
    float *out; /* the next row */
    attn_watch watch;
} copy;

static copy copy_to(attn_pass *pass, const char *name, float *out) {
    return (copy){.pass = pass, .name = name, .out = out, .watch.control = pass->control};
}

static attn_status fail(const copy *c) {
    return attn_pass_fail(c->pass, 1, ATTN_BAD_VALUE,
                          "%s is beyond float32: the inputs are too large for this model's weights", c->name);
}

/* Copies `rows` rows of D numbers, `step` apart. */
static attn_status copy_rows(copy *c, const float *from, size_t rows, size_t step) {
    const size_t D = c->pass->layer->config.head_dim;
    for (size_t done = 0, some; done < rows; done += some) {
        some = attn_watch_some(rows - done, ATTN_ROW_STEPS + D);
        for (size_t n = 0; n < some; n++)
            memcpy(c->out + n * D, from + (done + n) * step, D * sizeof *from);
        if (attn_pass_stops(c->pass, &c->watch, some * (ATTN_ROW_STEPS + D)))
            return ATTN_CANCELLED;
        if (!attn_all_finite(c->pass->kernels, c->out, some * D))
            return fail(c);
        c->out += some * D;
    }
    return ATTN_OK;
}

/* out [B, H, L, D] = x [B, L, H, D]. */
static attn_status copy_by_head(copy c, const float *x) {
    const size_t B = c.pass->input->B, L = c.pass->input->L;
    const size_t H = c.pass->layer->config.num_heads, D = c.pass->layer->config.head_dim;
    attn_status status = ATTN_OK;
    for (size_t b = 0; b < B && L > 0 && status == ATTN_OK; b++)
        for (size_t h = 0; h < H && status == ATTN_OK; h++)
            status = copy_rows(&c, x + (b * L * H + h) * D, L, H * D);
    return status;
}

/* out [B, Hkv, S+, D] = x [B, Hkv, S, width], and after each head's keys the extra ones [Hkv, extra, width].
 */
static attn_status copy_with_extra(copy c, const float *x, const float *extra, size_t width) {
    const size_t S = c.pass->input->S, more = c.pass->extra, Hkv = c.pass->layer->config.num_kv_heads;
    const size_t heads = S + more > 0 ? c.pass->input->B * Hkv : 0;
    attn_status status = ATTN_OK;
    for (size_t n = 0; n < heads && status == ATTN_OK; n++)
        if ((status = copy_rows(&c, x + n * S * width, S, width)) == ATTN_OK)
            status = copy_rows(&c, extra + n % Hkv * more * width, more, width);
    return status;
}

attn_status attn_export(attn_pass *pass) {
    const attn_output *out = pass->output;
    const copy q = copy_to(pass, "q", out->q), k = copy_to(pass, "k", out->k), v = copy_to(pass, "v", out->v);
    const copy heads = copy_to(pass, "head_output", out->head_output);
    attn_status status = ATTN_OK;
    if (out->q != NULL)
        status = copy_by_head(q, pass->q);
    if (out->k != NULL && status == ATTN_OK)
        status = copy_with_extra(k, pass->k, pass->extra_k, pass->layer->config.head_dim);
    if (out->v != NULL && status == ATTN_OK)
        status = pass->nonfinite_v != NULL ? fail(&v)
                                           : copy_with_extra(v, pass->v, pass->extra_v, pass->value_width);
    if (out->head_output != NULL && status == ATTN_OK)
        status = copy_by_head(heads, pass->heads);
    return status;
}
