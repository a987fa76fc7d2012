/* attention.h: one forward pass of multi-head attention, as torch.nn.MultiheadAttention computes it
 * (Vaswani et al., "Attention Is All You Need", 2017, section 3.2.2), with what decoders and newer encoders
 * add.
 *
 * The letters, here and everywhere: B batch, L query length, S key length, H heads, Hkv heads of keys and
 * values (each serves H / Hkv heads of queries), D head width, E embedding width. S+ is S plus the extra keys
 * that the layer itself brings. All arrays are row-major without gaps; the last letter varies fastest.
 *
 * A query has the position p = query_offset + i, a key t = key_offset + j; extra keys have none. */
#ifndef ATTN_ATTENTION_H
#define ATTN_ATTENTION_H

#include "core/arena.h"
#include "core/kernels/packed.h"
#include "core/parallel.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rotary position embedding (Su et al., "RoFormer", 2021). Which numbers of a head form a pair: number n with
 * number n + dims/2 (as transformers has it), or 2n with 2n + 1 (as the paper has it). */
typedef enum { ATTN_ROPE_NONE, ATTN_ROPE_HALF, ATTN_ROPE_INTERLEAVED } attn_rope_style;

/* How the frequencies are changed for sequences longer than those of the training
 * (transformers, modeling_rope_utils.py). */
typedef enum {
    ATTN_ROPE_UNSCALED,
    ATTN_ROPE_LINEAR,   /* all frequencies divided by the factor */
    ATTN_ROPE_DYNAMIC,  /* NTK-aware: theta grows with the length, beyond the original one */
    ATTN_ROPE_YARN,     /* Peng et al., "YaRN", 2023 */
    ATTN_ROPE_LLAMA3,   /* low frequencies divided, high ones kept, those between interpolated */
    ATTN_ROPE_LONGROPE, /* Ding et al., "LongRoPE", 2024: two lists of divisors, by the length */
} attn_rope_scaling;

typedef struct {
    attn_rope_style style;
    attn_rope_scaling scaling;
    size_t dims; /* the first numbers of a head that are rotated; even, at most D */
    bool odd;    /* it was an odd number and was rounded up: the frequencies are those of dims - 1 */
    double theta;
    double factor;          /* of the scaling */
    double original_length; /* in positions: what the model was trained for before it was scaled */
    double magnitude;       /* sines and cosines are multiplied by it; 1 but for YaRN and LongRoPE */
    double low_frequency_factor, high_frequency_factor; /* Llama 3 */
    double beta_fast, beta_slow;                        /* YaRN */
    bool truncate;                                      /* YaRN: round the ends of the ramp outwards */
} attn_rope;

/* Learned biases by distance (Raffel et al., "T5", 2020, section 2.1). */
typedef struct {
    size_t buckets; /* 0: none */
    size_t max_distance;
    bool bidirectional; /* keys after the query have buckets of their own */
} attn_relative_bias;

typedef struct {
    size_t embed_dim;    /* E */
    size_t num_heads;    /* H */
    size_t num_kv_heads; /* Hkv, divides H; H unless said otherwise */
    size_t head_dim;     /* D; E / H unless said otherwise */
    size_t kdim, vdim;   /* width of a key and of a value as they come in; E unless said otherwise */
    bool bias;           /* are there biases on the projections? Which ones, the layer knows */
    double dropout;      /* 0 <= dropout <= 1, of the weights, in training only */
    bool add_bias_kv;    /* an extra key and value, learned */
    bool add_zero_attn;  /* an extra key and value of zeros */
    bool causal; /* a query sees keys at its own and earlier positions, unless the caller says otherwise */
    size_t sliding_window; /* W: a query sees keys with p - t < W, and |p - t| < W if not causal; 0: all */
    double softcap;        /* scores become softcap * tanh(score / softcap); 0: they stay */
    bool scale_given;      /* is the scale another than 1 / sqrt(D)? */
    bool alibi;            /* are there slopes? (Press et al., "Train Short, Test Long", 2022) */
    bool qk_norm;          /* RMS norm of each head of q and k, before rotation */
    double qk_norm_eps;
    bool sinks; /* a learned score per head, which takes part in the softmax and has no value */
    attn_rope rope;
    attn_relative_bias relative_bias;
    attn_precision precision; /* how the weights of the projections are kept in memory */
} attn_config;

/* Weights of one layer. Projections are y = x W^T + b, as torch has them, packed for the kernels that compute
 * the layer. What the configuration does not ask for is NULL; each bias can be. */
typedef struct {
    attn_config config;
    const attn_kernels *kernels;  /* those that the projections are packed for */
    attn_packed q_weight;         /* [H*D, E] */
    attn_packed k_weight;         /* [Hkv*D, kdim] */
    attn_packed v_weight;         /* [Hkv*D, vdim] */
    attn_packed o_weight;         /* [E, H*D] */
    const float *q_bias;          /* [H*D] */
    const float *k_bias, *v_bias; /* [Hkv*D] */
    const float *o_bias;          /* [E] */
    const float *bias_k, *bias_v; /* [Hkv*D]: the extra key and value of add_bias_kv */
    const float *q_norm, *k_norm; /* [D] */
    const float *sinks;           /* [H] */
    const float *scale;           /* [H]; NULL: 1 / sqrt(D) */
    const float *alibi_slopes;    /* [H] */
    const float *relative_bias;   /* [buckets, H] */
    const float *rope_short;      /* [dims/2]: LongRoPE's divisors up to the original length */
    const float *rope_long;       /* [dims/2]: and beyond it */
} attn_layer;

/* What goes in. Query, key and value must be finite. Masks are added to the scores; minus infinity excludes,
 * which is how a boolean mask arrives; plus infinity and NaN are not allowed. Nothing masks an extra key. */
typedef struct {
    size_t B, L, S;
    const float *query;                /* [B, L, E] */
    const float *key;                  /* [B, S, kdim] */
    const float *value;                /* [B, S, vdim] */
    const float *attn_mask;            /* [mask_B, mask_H, L, S], or NULL */
    size_t mask_B, mask_H;             /* each 1 (the same for all) or B, H */
    const float *key_padding_mask;     /* [B, S], or NULL */
    bool is_causal;                    /* a query sees the keys at its own and earlier positions */
    uint64_t query_offset, key_offset; /* positions of the first query and of the first key, below 2^31 */
    bool omit_extra;                   /* leave out the extra keys and the sinks */
    bool training;                     /* apply the dropout */
    uint64_t seed;                     /* of the dropout */
    const float *head_output;          /* [B, H, L, D]; if given, only the output projection is applied to it,
                                        * and of what stands above only B and L count */
} attn_input;

typedef enum { ATTN_POOL_MAX, ATTN_POOL_MEAN, ATTN_POOL_SUM } attn_pool;

/* The part of the quadratic results (weights, scores) that is wanted: these batch entries, these heads, rows
 * [row_from, row_to), columns [col_from, col_to) of S+; then, for weights with `average`, the mean over the
 * heads; then either pooling into pooled_rows x pooled_cols bins, of which bin n covers rows
 * floor(n * rows / bins) to floor((n + 1) * rows / bins), or the top_k largest of each row, or neither.
 * The caller makes sure that all is in range and no list has duplicates. */
typedef struct {
    const size_t *batch, *heads; /* NULL: all, in order */
    size_t batch_count, head_count;
    size_t row_from, row_to, col_from, col_to;
    size_t pooled_rows, pooled_cols; /* 0: no pooling; at most the rows and columns of the window */
    attn_pool pool;
    size_t top_k; /* 0: no selection; at most the columns of the window */
    bool average;
} attn_view;

/* One quadratic result, in the shape that the view gives it: [batch_count, head_count or 1, rows, cols]. With
 * top_k, values and absolute key indices [.., rows, top_k], largest first, ties to the lower index; a weight
 * of zero has the index -1. NULL: not wanted. */
typedef struct {
    float *values;
    int32_t *indices;
} attn_map;

/* Some numbers about each row of weights, before dropout; each may be asked for alone. A row that may attend
 * to nothing has 0, argmax -1. */
typedef struct {
    float *max;      /* [B, H, L] */
    int32_t *argmax; /* [B, H, L]: the lowest key index with the largest weight */
    float *first;    /* [B, H, L]: the weight of key 0 */
    float *self;     /* [B, H, L]: of the key at the query's position */
    float *previous; /* [B, H, L]: of the key one position before */
    float *received; /* [B, H, S+]: the sum over all queries */
} attn_stats;

/* Where the results go; the caller owns the arrays, and NULL is for what is not wanted, but for the output. A
 * query that may attend to nothing gets weights of zero, and so an output that is the output bias alone. */
typedef struct {
    float *output;      /* [B, L, E] */
    float *q;           /* [B, H, L, D], as it enters the product: normed and rotated */
    float *k, *v;       /* [B, Hkv, S+, D], likewise */
    float *lse;         /* [B, H, L]: the natural logarithm of the softmax's denominator; may be -infinity */
    float *entropy;     /* [B, H, L], in nats, of the weights over the keys, before dropout */
    float *head_output; /* [B, H, L, D] */
    attn_stats stats;
    attn_map weights; /* after dropout */
    attn_map scores;  /* before all masks */
    attn_view view;   /* of weights and scores; need not be set if neither is wanted */
} attn_output;

/* Asked between blocks of work, about every millisecond, by any thread that computes. NULL: never stop. */
typedef struct {
    bool (*should_stop)(void *context);
    void *context;
} attn_control;

/* One pass among several that are computed together. */
typedef struct {
    const attn_input *input;
    const attn_output *output;
    attn_arena *work;
    const attn_control *control; /* may be NULL */
    attn_status status;          /* out */
    attn_error error;            /* out, if status is not ATTN_OK */
} attn_job;

/* S+: the keys of a request and the extra ones of the layer. */
size_t attn_keys_with_extra(const attn_config *config, size_t S, bool omit_extra);

/* Keys [from, to), indices into S. */
typedef struct {
    size_t from, to;
} attn_range;

/* The keys that query i may see for causality and window. Both ends grow with i. */
attn_range attn_visible_keys(const attn_config *config, const attn_input *input, size_t i);

/* The view of everything: all batch entries, heads, rows and columns. */
attn_view attn_view_all(const attn_config *config, const attn_input *input);

/* Computes the layer in float32. Working memory comes from `work` and is released before return; it does not
 * grow with L * S, but for a byte for each 32 x 256 entries of a mask. No result depends on which others were
 * asked for. Fails with ATTN_NO_MEMORY or ATTN_OVER_BUDGET, with ATTN_CANCELLED, and with ATTN_BAD_VALUE if a
 * number that is part of a result is beyond float32; the contents of *output are then undefined. */
attn_status attn_forward(const attn_layer *layer, const attn_input *input, const attn_output *output,
                         attn_arena *work, const attn_control *control, attn_error *error);

/* Computes several passes of one layer, whose rows share one reading of the weights, without padding; free
 * threads of `parallel` (NULL: none) help. Each job fails or succeeds by itself, as attn_forward would have
 * it, with the same bits. Each job's own working memory comes from its arena, what they share from the first
 * one's. */
void attn_forward_batch(const attn_layer *layer, attn_job *jobs, size_t count, const attn_parallel *parallel);

/* The same pass in double precision, in plain loops: slow, obvious, the oracle for tests and for the
 * self-check. Each array may be NULL. */
typedef struct {
    double *output;      /* [B, L, E] */
    double *weights;     /* [B, H, L, S+], before dropout */
    double *scores;      /* [B, H, L, S+] */
    double *lse;         /* [B, H, L] */
    double *head_output; /* [B, H, L, D], without dropout as the output */
} attn_reference_output;

/* Fails only with ATTN_NO_MEMORY. Dropout is not applied. */
attn_status attn_reference(const attn_layer *layer, const attn_input *input,
                           const attn_reference_output *output);

#endif
