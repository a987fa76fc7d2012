/* export.c: q, k, v and the heads as the caller wants them. */
#include "core/attention/export.h"

#include "core/watch.h"

#include <string.h>

/* A copy on its way to the caller, row by row. */
typedef struct {
    const attn_pass *pass;
    attn_watch watch;
    float *out; /* the next row */
    bool finite, stopped;
} copy;

static copy copy_to(const attn_pass *pass, float *out) {
    return (copy){.pass = pass, .watch.control = pass->control, .out = out, .finite = true};
}

/* Copies `rows` rows of D numbers, `step` apart. False if the copy has failed and the rest is not needed. */
static bool copy_rows(copy *c, const float *from, size_t rows, size_t step) {
    const size_t D = c->pass->layer->config.head_dim;
    for (size_t done = 0, some; done < rows; done += some) {
        some = attn_watch_some(rows - done, ATTN_ROW_STEPS + D);
        for (size_t n = 0; n < some; n++)
            memcpy(c->out + n * D, from + (done + n) * step, D * sizeof *from);
        c->finite = c->finite && attn_all_finite(c->pass->kernels, c->out, some * D);
        c->out += some * D;
        c->stopped = c->stopped || attn_watch_stops(&c->watch, some * (ATTN_ROW_STEPS + D));
        if (!c->finite || c->stopped)
            return false;
    }
    return true;
}

/* out [B, H, L, D] = x [B, L, H, D]. */
static copy copy_by_head(const attn_pass *pass, const float *x, float *out) {
    const size_t B = pass->input->B, L = pass->input->L;
    const size_t H = pass->layer->config.num_heads, D = pass->layer->config.head_dim;
    copy c = copy_to(pass, out);
    for (size_t b = 0; b < B && L > 0; b++)
        for (size_t h = 0; h < H; h++)
            if (!copy_rows(&c, x + (b * L * H + h) * D, L, H * D))
                return c;
    return c;
}

/* out [B, Hkv, S+, D] = x [B, Hkv, S, width], and after each head's keys the extra ones [Hkv, extra, width].
 */
static copy copy_with_extra(const attn_pass *pass, const float *x, const float *extra, size_t width,
                            float *out) {
    const size_t S = pass->input->S, Hkv = pass->layer->config.num_kv_heads;
    const size_t heads = S + pass->extra > 0 ? pass->input->B * Hkv : 0;
    copy c = copy_to(pass, out);
    for (size_t n = 0; n < heads; n++)
        if (!copy_rows(&c, x + n * S * width, S, width) ||
            !copy_rows(&c, extra + n % Hkv * pass->extra * width, pass->extra, width))
            return c;
    return c;
}

static attn_status status_of(attn_pass *pass, const char *name, copy c) {
    if (c.stopped)
        return attn_pass_cancel(pass);
    if (c.finite)
        return ATTN_OK;
    return attn_pass_fail(pass, 1, ATTN_BAD_VALUE,
                          "%s is beyond float32: the inputs are too large for this model's weights", name);
}

attn_status attn_export(attn_pass *pass) {
    const attn_output *out = pass->output;
    const size_t D = pass->layer->config.head_dim;
    attn_status status = ATTN_OK;
    if (out->q != NULL)
        status = status_of(pass, "q", copy_by_head(pass, pass->q, out->q));
    if (out->k != NULL && status == ATTN_OK)
        status = status_of(pass, "k", copy_with_extra(pass, pass->k, pass->extra_k, D, out->k));
    if (out->v != NULL && status == ATTN_OK)
        status = status_of(pass, "v",
                           pass->nonfinite_v != NULL
                               ? (copy){.finite = false}
                               : copy_with_extra(pass, pass->v, pass->extra_v, pass->value_width, out->v));
    if (out->head_output != NULL && status == ATTN_OK)
        status = status_of(pass, "head_output", copy_by_head(pass, pass->heads, out->head_output));
    return status;
}
