#include "core/self_check.h"

#include "core/attention.h"
#include "core/kernels/check_common.h"
#include "core/kernels/check_list.h"

#include <stdlib.h>

enum { B = 2, LONGEST = 20, S = 70, H = 4, HKV = 2, D = 8, E = 24 };

/* One layer with most of the options at once. */
typedef struct {
    float weights[4][H * D * E], norm[D], sinks[H], query[B * LONGEST * E], keys[B * S * E];
    float output[B * LONGEST * E];
    double expected[B * LONGEST * E];
    attn_layer layer;
} sample;

static bool make_layer(const attn_kernels *kernels, attn_precision precision, sample *s) {
    attn_layer *layer = &s->layer;
    *layer = (attn_layer){
        .config = {.embed_dim = E,
                   .num_heads = H,
                   .num_kv_heads = HKV,
                   .head_dim = D,
                   .kdim = E,
                   .vdim = E,
                   .sliding_window = 40,
                   .softcap = 20,
                   .qk_norm = true,
                   .qk_norm_eps = 1e-6,
                   .sinks = true,
                   .rope = {.style = ATTN_ROPE_HALF, .dims = D, .theta = 10000, .magnitude = 1},
                   .precision = precision},
        .kernels = kernels,
        .q_norm = s->norm,
        .k_norm = s->norm,
        .sinks = s->sinks,
    };
    return attn_pack(&layer->q_weight, kernels, precision, H * D, E, s->weights[0]) &&
           attn_pack(&layer->k_weight, kernels, precision, HKV * D, E, s->weights[1]) &&
           attn_pack(&layer->v_weight, kernels, precision, HKV * D, E, s->weights[2]) &&
           attn_pack(&layer->o_weight, kernels, precision, E, H * D, s->weights[3]);
}

static void free_layer(attn_layer *layer) {
    attn_packed_free(&layer->q_weight);
    attn_packed_free(&layer->k_weight);
    attn_packed_free(&layer->v_weight);
    attn_packed_free(&layer->o_weight);
}

/* The last L of the positions; a single one goes another way through the pass than many. */
static void check_pass(attn_checking *c, sample *s, size_t L) {
    const attn_input input = {.B = B,
                              .L = L,
                              .S = S,
                              .query = s->query,
                              .key = s->keys,
                              .value = s->keys,
                              .is_causal = true,
                              .query_offset = S - L};
    attn_arena *work = attn_arena_new(NULL);
    if (work == NULL ||
        attn_reference(&s->layer, &input, &(attn_reference_output){.output = s->expected}) != ATTN_OK) {
        attn_arena_free(work);
        attn_check_no_memory(c);
        return;
    }
    c->status = attn_forward(&s->layer, &input, &(attn_output){.output = s->output}, work, NULL, c->error);
    attn_arena_free(work);
    ATTN_SHAPE(c, "a layer of %d heads%s", H, L == 1 ? ", one query" : "");
    for (size_t i = 0; i < B * L * E && c->status == ATTN_OK; i++)
        attn_check_close(c, "the attention pass", (double)s->output[i], s->expected[i], 1e-4);
}

static attn_status check_layer(const attn_kernels *kernels, attn_precision precision, attn_error *error) {
    attn_checking c = {.kernels = kernels, .state = 1, .error = error};
    sample *s = calloc(1, sizeof *s);
    if (s == NULL) {
        attn_check_no_memory(&c);
        return c.status;
    }
    float *const arrays[] = {s->weights[0], s->norm, s->sinks, s->query, s->keys};
    const size_t counts[] = {4 * H * D * E, D, H, B * LONGEST * E, B * S * E};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        for (size_t n = 0; n < counts[i]; n++)
            arrays[i][n] = attn_check_number(&c);
    if (!make_layer(kernels, precision, s))
        attn_check_no_memory(&c);
    else
        check_pass(&c, s, LONGEST);
    if (attn_check_goes_on(&c))
        check_pass(&c, s, 1);
    free_layer(&s->layer);
    free(s);
    return c.status;
}

attn_status attn_self_check(const attn_kernels *kernels, const bool in_use[ATTN_PRECISIONS],
                            attn_error *error) {
    attn_check_effort effort = {.seed = 1, .step = 1 << 22};
    memcpy(effort.in_use, in_use, sizeof effort.in_use);
    attn_status status = attn_check_kernels(kernels, &effort, NULL, error);
    for (int precision = 0; precision < ATTN_PRECISIONS && status == ATTN_OK; precision++)
        if (in_use[precision])
            status = check_layer(kernels, (attn_precision)precision, error);
    return status;
}
