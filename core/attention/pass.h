/* pass.h: what the stages of one forward pass share. Only files of this folder include it.
 *
 * The projected tensors keep their heads side by side in a row, [B, L, H, D] = [B, L, H*D], so a head is a
 * matrix whose rows are H*D apart, and nothing is ever transposed. */
#ifndef ATTN_PASS_H
#define ATTN_PASS_H

#include "core/attention.h"

#include "core/attention/collect.h"
#include "core/attention/positions.h"

/* Rows that are worked on between two looks at the caller's should_stop. They depend on the shapes of this
 * request alone, never on threads or company: OpenBLAS chooses its inner loop, and so the bits, by the
 * shapes. */
#define PROJECTION_ROWS ((size_t)256)
#define SCORE_ROWS      ((size_t)64)
#define SCORE_NUMBERS   ((size_t)1 << 18) /* in a block of scores, unless one row alone has more */
#define MIX_KEYS        ((size_t)256)     /* keys that are mixed in float32; blocks are added in double */
#define EXTRA_MOST      2                 /* extra keys of a layer: bias_k, then the zero key */

typedef struct {
    const attn_layer *layer;
    const attn_input *input;
    const attn_output *output;
    const attn_control *control;
    attn_arena *work;
    attn_error *error;
    size_t q_width, kv_width; /* H*D, Hkv*D */
    size_t extra;             /* extra keys: S+ - S */
    float *q;                 /* [B, L, H*D] */
    float *k, *v;             /* [B, S, Hkv*D] */
    float *extra_k, *extra_v; /* [extra, Hkv*D] */
    float *head_output;       /* [B, L, H*D]: what the heads say, side by side */
    uint32_t *buckets;        /* [L + S - 1]: the relative bias's bucket of each distance, or NULL */
    size_t block_rows;        /* most rows of a block */
    float *scores;            /* [block rows, columns of a block], then the weights */
    float *raw;   /* [block rows, S+]: all scores before the masks, or NULL if they are not wanted */
    float *mixed; /* [block rows, D]: the values of some keys, mixed */
    double *sums; /* [block rows, D] */
    attn_collector collector;
    bool
        *spoiled; /* [B, S, Hkv]: where a value is beyond float32, and was replaced by zeros; NULL: nowhere */
} attn_pass;

/* Some query rows of one head, and the keys that at least one of them may see by its position. The columns of
 * the block are those keys, and then the extra ones. */
typedef struct {
    size_t b, h;
    size_t first, rows;
    attn_range keys;
    size_t columns;
} attn_block;

static inline size_t attn_kv_head(const attn_pass *pass, size_t h) {
    const attn_config *config = &pass->layer->config;
    return h / (config->num_heads / config->num_kv_heads);
}

/* A new array of [count, width] numbers in the working memory; NULL if there is no room. */
float *attn_pass_array(attn_pass *pass, size_t count, size_t width);

/* Does the caller want to stop? */
bool attn_pass_stopped(const attn_pass *pass);

attn_status attn_pass_no_memory(const attn_pass *pass);
attn_status attn_pass_cancelled(const attn_pass *pass);

/* project.c: q, k, v and the extra keys of the pass, from its input: projected, normed, rotated. */
attn_status attn_project_inputs(attn_pass *pass);

/* project.c: the output, from pass->head_output. */
attn_status attn_project_output(attn_pass *pass);

/* score.c: prepares what depends on distances only. */
attn_status attn_score_prepare(attn_pass *pass);

/* score.c: the block's scores before the masks into pass->scores, and those of all keys into pass->raw if
 * they are wanted. */
void attn_score_block(const attn_pass *pass, const attn_block *block);

/* score.c: masks row `n` of the block: what it may not see becomes minus infinity. Fails with ATTN_BAD_VALUE
 * if a score that counts is beyond float32. */
attn_status attn_score_mask_row(const attn_pass *pass, const attn_block *block, size_t n);

#endif
