/* pass.c: the whole pass for `make bench`, as a library that Python loads: so the service's own code and its
 * peers are timed in one process, in turns, on the same numbers. */
#include "core/attention.h"
#include "core/kernels/choose.h"
#include "core/kernels/openblas.h"
#include "server/scheduler.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The weights of a layer, [H*D, E], [Hkv*D, E], [Hkv*D, E], [E, H*D], and its biases. */
typedef struct {
    size_t E, H, Hkv, D;
    const float *weights[4], *biases[4];
} pass_layer;

typedef struct {
    size_t B, L, S;
    const float *query, *key, *value; /* [B, L, E], [B, S, E] */
    int causal;                       /* with the last query at the last key's position */
    float *output;                    /* [B, L, E] */
} pass_call;

typedef struct {
    attn_layer layer;
    attn_budget budget; /* large blocks are kept, as in the service */
    scheduler *pool;    /* of the other threads; NULL: the calling thread is alone */
} pass;

pass *pass_new(const char *kernels, const char *precision, size_t threads, const pass_layer *from);
int pass_run(pass *p, const pass_call *call);
void pass_free(pass *p);

/* A layer in the kernels called `kernels`, for so many threads, the calling one included. NULL if that cannot
 * be. */
pass *pass_new(const char *kernels, const char *precision, size_t threads, const pass_layer *from) {
    const attn_kernels *set = attn_kernels_named(kernels);
    pass *p = calloc(1, sizeof *p);
    if (p == NULL || set == NULL)
        return NULL;
    attn_precision kept = ATTN_FLOAT32;
    while (kept < ATTN_PRECISIONS && strcmp(attn_precision_name(kept), precision) != 0)
        kept++;
    p->layer.config = (attn_config){.embed_dim = from->E,
                                    .num_heads = from->H,
                                    .num_kv_heads = from->Hkv,
                                    .head_dim = from->D,
                                    .kdim = from->E,
                                    .vdim = from->E,
                                    .bias = true,
                                    .precision = kept};
    p->layer.kernels = set;
    attn_packed *const packed[] = {&p->layer.q_weight, &p->layer.k_weight, &p->layer.v_weight,
                                   &p->layer.o_weight};
    const size_t q = from->H * from->D, kv = from->Hkv * from->D;
    const size_t widths[] = {q, kv, kv, from->E}, depths[] = {from->E, from->E, from->E, q};
    for (int i = 0; i < 4; i++)
        if (!attn_pack(packed[i], set, kept, widths[i], depths[i], from->weights[i]))
            return NULL;
    p->layer.q_bias = from->biases[0];
    p->layer.k_bias = from->biases[1];
    p->layer.v_bias = from->biases[2];
    p->layer.o_bias = from->biases[3];
    p->budget.limit = SIZE_MAX;
    if (!attn_blocks_start(&p->budget, ATTN_BLOCKS_KEEP))
        return NULL;
    if (threads > 1)
        p->pool = sched_new(threads - 1, true, 1, attn_openblas_warm_up);
    return threads > 1 && p->pool == NULL ? NULL : p;
}

/* 0, or 1 with a sentence on stderr. */
int pass_run(pass *p, const pass_call *call) {
    const attn_input input = {.B = call->B,
                              .L = call->L,
                              .S = call->S,
                              .query = call->query,
                              .key = call->key,
                              .value = call->value,
                              .is_causal = call->causal != 0,
                              .query_offset = call->causal != 0 ? call->S - call->L : 0};
    const attn_output output = {.output = call->output};
    attn_job job = {.input = &input, .output = &output, .work = attn_arena_new(&p->budget)};
    if (job.work == NULL)
        return 1;
    attn_forward_batch(&p->layer, &job, 1, p->pool == NULL ? NULL : sched_parallel(p->pool));
    attn_arena_free(job.work);
    if (job.status != ATTN_OK)
        fprintf(stderr, "%s\n", job.error.text);
    return job.status != ATTN_OK;
}

void pass_free(pass *p) {
    sched_free(p->pool);
    attn_packed_free(&p->layer.q_weight);
    attn_packed_free(&p->layer.k_weight);
    attn_packed_free(&p->layer.v_weight);
    attn_packed_free(&p->layer.o_weight);
    attn_blocks_stop(&p->budget);
    free(p);
}
