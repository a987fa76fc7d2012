/* pass.h: what the stages of a forward pass share. Only files of this folder include it.
 *
 * Several passes of one layer are computed side by side: each stage is done for all of them before the next,
 * so that they share one reading of the weights and one loop over the threads. */
#ifndef ATTN_PASS_H
#define ATTN_PASS_H

#include "core/attention.h"

#include "core/kernels/linear.h"
#include "core/size.h"

#include <pthread.h>
#include <stdatomic.h>

/* Queries that are taken side by side, one in each lane of the vectors: a multiple of every set's lanes. */
#define TILE_QUERIES ((size_t)32)

/* Keys of a block. Blocks begin at multiples of it, whatever a query may see of them. */
#define TILE_KEYS ATTN_DEPTH

typedef struct {
    const attn_layer *layer;
    const attn_kernels *kernels;
    const attn_input *input;
    const attn_output *output;
    const attn_control *control;
    attn_arena *work;
    size_t mark;        /* all that is newer in `work` is the pass's */
    size_t value_width; /* D rounded up to whole vectors */
    size_t extra;       /* extra keys: S+ - S */
    size_t blocks;      /* of S keys */

    float *q;       /* [B, L, H*D] */
    float *k;       /* [B, Hkv, S, D] */
    float *v;       /* [B, Hkv, S, value_width]; what is beyond D is zero */
    float *extra_k; /* [Hkv, extra, D] */
    float *extra_v; /* [Hkv, extra, value_width] */
    float *heads;   /* [B, L, H*D]: what the heads say, side by side. It is q, unless q is still wanted */
    bool *spoiled;  /* [B, Hkv, S]: where a value is beyond float32, and was replaced by zeros; NULL:
                     * nowhere */
    float *biases;  /* [H, bias_row]: what the distance of query i and key j adds to their score, at
                     * S - 1 + i - j; NULL: nothing */
    size_t bias_row;
    bool leaves_out;          /* may a part of them be left out that all scores of a query have? */
    uint8_t *padding_glances; /* [B, blocks], or NULL: there is no such mask */
    uint8_t *mask_glances;    /* [mask_B, mask_H, mask_tiles, blocks], each of TILE_QUERIES rows, or NULL */
    size_t mask_tiles;
    float *cosines[2], *sines[2]; /* [L or S, dims/2]: the angles of q and of k */
    float *max;        /* [B, H, L]: the final maximum and sum of each row, if the weights are wanted, */
    double *sum;       /*   or NULL */
    size_t first_task; /* among those of all passes */
    /* How the attention is cut into tasks: blocks of task_rows queries by runs of task_heads heads. */
    size_t query_blocks, task_rows, task_heads;

    /* How the pass failed, if it did: where in the order of its work, and why. Of several failures the first
     * in that order counts, whichever thread came first. */
    pthread_mutex_t failing;
    atomic_size_t failed_at; /* SIZE_MAX: it did not */
    attn_status status;
    attn_error error;
    atomic_bool beyond; /* found by a projection: a number beyond float32 */
} attn_pass;

typedef struct {
    const attn_layer *layer;
    const attn_parallel *parallel;
    attn_job *jobs;    /* [count] */
    attn_pass *passes; /* [count] */
    size_t count;
    attn_linear_part *parts; /* [ATTN_LINEARS, count] */
    char *scratch;           /* [slots, slot_bytes] */
    size_t slot_bytes;
} attn_batch;

/* t - p of key 0 and query i. */
static inline int64_t attn_distance(const attn_input *input, size_t i) {
    return (int64_t)input->key_offset - (int64_t)(input->query_offset + i);
}

static inline size_t attn_kv_head(const attn_pass *pass, size_t h) {
    const attn_config *config = &pass->layer->config;
    return h / (config->num_heads / config->num_kv_heads);
}

/* A new array of [count, width] numbers in the working memory; NULL if there is no room. */
float *attn_pass_array(attn_pass *pass, size_t count, size_t width);

/* Records that the pass fails at place `at` of the order of its work (0: as a whole), unless it failed before
 * it. Returns `status`. */
attn_status attn_pass_fail(attn_pass *pass, size_t at, attn_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
attn_status attn_pass_no_memory(attn_pass *pass);

/* The same because the control said stop. */
attn_status attn_pass_cancel(attn_pass *pass);

static inline bool attn_pass_failed(const attn_pass *pass) {
    return atomic_load_explicit(&pass->failed_at, memory_order_relaxed) != SIZE_MAX;
}

/* Is what stands at place `at` not needed any more, because the pass failed before it or the caller wants to
 * stop? */
bool attn_pass_ends(attn_pass *pass, size_t at);

#endif
