/* pass.h: what one pass holds; how it fails, stops and allocates. Only files of this folder include it.
 *
 * Several passes of one layer are computed side by side: each stage is done for all of them before the next,
 * so that they share one reading of the weights and one loop over the threads. */
#ifndef ATTN_PASS_H
#define ATTN_PASS_H

#include "core/attention.h"

#include "core/kernels/linear.h"
#include "core/size.h"
#include "core/watch.h"

#include <pthread.h>
#include <stdatomic.h>

/* Queries of a tile, one in each lane of the vectors: a multiple of every set's lanes. */
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
    size_t mark;        /* of `work`, before the pass's own arrays */
    size_t value_width; /* D rounded up to whole vectors */
    size_t extra;       /* extra keys: S+ - S */
    size_t blocks;      /* of S keys */

    /* project.c */
    float *q;          /* [B, L, H*D] */
    float *k;          /* [B, Hkv, S, D] */
    float *v;          /* [B, Hkv, S, value_width], zero beyond D */
    float *extra_k;    /* [Hkv, extra, D] */
    float *extra_v;    /* [Hkv, extra, value_width] */
    bool *nonfinite_v; /* [B, Hkv, S]: whose v is beyond float32, and was set to zero; NULL: none */
    float *heads;      /* [B, L, H*D]: the attention's result; the array q, if that is not needed any more */
    atomic_bool overflowed; /* a number of v or of the output is beyond float32 */

    /* angles.c */
    float *cosines[2], *sines[2]; /* [L or S, dims/2]: of the positions of q and of k */

    /* bias.c */
    float *biases; /* [H, bias_row]: what is added to the score of query i and key j, at S - 1 + i - j; NULL:
                    * nothing */
    size_t bias_row;
    bool shifts_biases; /* may each query's biases be shifted by a number of its own? */

    /* visible.c: what masks do to each block of keys, as MASK_ flags; NULL: there is no such mask */
    uint8_t *padding_flags; /* [B, blocks] */
    uint8_t *mask_flags;    /* [mask_B, mask_H, mask_tiles, blocks], for TILE_QUERIES rows each */
    size_t mask_tiles;

    /* attend.c */
    float *max;        /* [B, H, L]: the final maximum of each row; NULL if no weights are wanted */
    double *sum;       /* [B, H, L]: and its sum */
    size_t first_task; /* among the tasks of all passes */
    size_t task_rows, task_heads; /* queries and heads of a task */
    size_t query_blocks;          /* of task_rows queries */

    /* How the pass failed, if it did. Its work has an order: 0 is the pass as a whole, then come the tasks of
     * the stage from 1 on. Of several failures the first in that order counts, whichever thread came first.
     */
    pthread_mutex_t failing;
    atomic_size_t failed_at; /* SIZE_MAX: it did not */
    attn_status status;
    attn_error error;
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

/* The head of keys and values that serves head h of the queries. */
static inline size_t attn_kv_head(const attn_pass *pass, size_t h) {
    const attn_config *config = &pass->layer->config;
    return h / (config->num_heads / config->num_kv_heads);
}

/* A new array of [count, width] numbers in the working memory; NULL if there is no room. */
float *attn_pass_array(attn_pass *pass, size_t count, size_t width);

/* Records that the pass fails at `at` in the order of its work, unless it failed before that. Returns
 * `status`. */
attn_status attn_pass_fail(attn_pass *pass, size_t at, attn_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
attn_status attn_pass_no_memory(attn_pass *pass);
attn_status attn_pass_cancel(attn_pass *pass);

static inline bool attn_pass_failed(const attn_pass *pass) {
    return atomic_load_explicit(&pass->failed_at, memory_order_relaxed) != SIZE_MAX;
}

/* Is the work at `at` no longer needed, because the pass failed before it or the caller wants to stop? */
bool attn_pass_ends(attn_pass *pass, size_t at);

/* So many steps more are done, or about to be. Cancels the pass and returns true if the watch says stop. */
bool attn_pass_stops(attn_pass *pass, attn_watch *watch, size_t steps);

#endif
