/* export.c: what enters the product and what the heads say, as the caller wants them. */
#include "core/attention/export.h"
#include "core/attention/pass.h"
#include "core/watch.h"

#include <string.h>

/* Where a copy goes: its elements are looked at as they come. */
typedef struct {
    const attn_pass *pass;
    attn_watch watch;
    float *out;
    bool finite, stopped;
} handing;

static handing hand_to(const attn_pass *pass, float *out) {
    return (handing){.pass = pass, .watch.control = pass->control, .out = out, .finite = true};
}

/* Hands out `rows` rows of D numbers, `step` apart. False if there is no more to be done. */
static bool hand_rows(handing *to, const float *from, size_t rows, size_t step) {
    const size_t D = to->pass->layer->config.head_dim;
    for (size_t done = 0, some; done < rows; done += some) {
        some = attn_watch_some(rows - done, ATTN_ROW_STEPS + D);
        for (size_t n = 0; n < some; n++)
            memcpy(to->out + n * D, from + (done + n) * step, D * sizeof *from);
        to->finite = to->finite && attn_all_finite(to->pass->kernels, to->out, some * D);
        to->out += some * D;
        to->stopped = to->stopped || attn_watch_stops(&to->watch, some * (ATTN_ROW_STEPS + D));
        if (!to->finite || to->stopped)
            return false;
    }
    return true;
}

/* out [B, H, L, D] = x [B, L, H, D]. */
static handing split_heads(const attn_pass *pass, const float *x, float *out) {
    const size_t B = pass->input->B, L = pass->input->L;
    const size_t H = pass->layer->config.num_heads, D = pass->layer->config.head_dim;
    handing to = hand_to(pass, out);
    for (size_t b = 0; b < B && L > 0; b++)
        for (size_t h = 0; h < H; h++)
            if (!hand_rows(&to, x + (b * L * H + h) * D, L, H * D))
                return to;
    return to;
}

/* out [B, Hkv, S+, D] = x [B, Hkv, S, width] and behind each head's keys the extra ones [Hkv, extra, width].
 */
static handing join_keys(const attn_pass *pass, const float *x, const float *extra, size_t width,
                         float *out) {
    const size_t S = pass->input->S, Hkv = pass->layer->config.num_kv_heads;
    const size_t heads = S + pass->extra > 0 ? pass->input->B * Hkv : 0;
    handing to = hand_to(pass, out);
    for (size_t n = 0; n < heads; n++)
        if (!hand_rows(&to, x + n * S * width, S, width) ||
            !hand_rows(&to, extra + n % Hkv * pass->extra * width, pass->extra, width))
            return to;
    return to;
}

/* The copy is made. */
static attn_status finish(attn_pass *pass, const char *name, handing to) {
    if (to.stopped)
        return attn_pass_cancel(pass);
    if (to.finite)
        return ATTN_OK;
    return attn_pass_fail(pass, 1, ATTN_BAD_VALUE,
                          "%s is beyond float32: the inputs are too large for this model's weights", name);
}

attn_status attn_hand_out(attn_pass *pass) {
    const attn_output *out = pass->output;
    const size_t D = pass->layer->config.head_dim;
    attn_status status = ATTN_OK;
    if (out->q != NULL)
        status = finish(pass, "q", split_heads(pass, pass->q, out->q));
    if (out->k != NULL && status == ATTN_OK)
        status = finish(pass, "k", join_keys(pass, pass->k, pass->extra_k, D, out->k));
    if (out->v != NULL && status == ATTN_OK)
        status = finish(pass, "v",
                        pass->spoiled != NULL
                            ? (handing){.finite = false}
                            : join_keys(pass, pass->v, pass->extra_v, pass->value_width, out->v));
    if (out->head_output != NULL && status == ATTN_OK)
        status = finish(pass, "head_output", split_heads(pass, pass->heads, out->head_output));
    return status;
}
