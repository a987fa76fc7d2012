/* hand_out.c: what enters the product and what the heads say, as the caller wants them. */
#include "core/attention/pass.h"

#include <string.h>

/* out [B, H, L, D] = x [B, L, H, D]; false if a number is not finite. */
static bool split_heads(const attn_pass *pass, const float *x, float *out) {
    const size_t B = pass->input->B, L = pass->input->L;
    const size_t H = pass->layer->config.num_heads, D = pass->layer->config.head_dim;
    for (size_t b = 0; b < B; b++)
        for (size_t h = 0; h < H; h++)
            for (size_t i = 0; i < L; i++)
                memcpy(out + ((b * H + h) * L + i) * D, x + ((b * L + i) * H + h) * D, D * sizeof *out);
    return attn_all_finite(pass->kernels, out, B * H * L * D);
}

/* out [B, Hkv, S+, D] = x [B, Hkv, S, width] and behind each head's keys the extra ones [Hkv, extra, width].
 */
static bool join_keys(const attn_pass *pass, const float *x, const float *extra, size_t width, float *out) {
    const size_t S = pass->input->S, Hkv = pass->layer->config.num_kv_heads, D = pass->layer->config.head_dim;
    const size_t heads = pass->input->B * Hkv, keys = S + pass->extra;
    for (size_t n = 0; n < heads; n++)
        for (size_t j = 0; j < keys; j++) {
            const float *from =
                j < S ? x + (n * S + j) * width : extra + (n % Hkv * pass->extra + (j - S)) * width;
            memcpy(out + (n * keys + j) * D, from, D * sizeof *out);
        }
    return attn_all_finite(pass->kernels, out, heads * keys * D);
}

attn_status attn_hand_out(attn_pass *pass) {
    const attn_output *out = pass->output;
    const char *beyond = NULL;
    if (out->q != NULL && !split_heads(pass, pass->q, out->q))
        beyond = "q";
    if (out->k != NULL && !join_keys(pass, pass->k, pass->extra_k, pass->layer->config.head_dim, out->k))
        beyond = "k";
    if (out->v != NULL &&
        (pass->spoiled != NULL || !join_keys(pass, pass->v, pass->extra_v, pass->value_width, out->v)))
        beyond = "v";
    if (out->head_output != NULL && !split_heads(pass, pass->heads, out->head_output))
        beyond = "head_output";
    if (beyond != NULL)
        return attn_pass_fail(pass, 1, ATTN_BAD_VALUE,
                              "%s is beyond float32: the inputs are too large for this model's weights",
                              beyond);
    return ATTN_OK;
}
