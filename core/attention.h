/* attention.h: one forward pass of multi-head attention, as torch.nn.MultiheadAttention computes it
 * (Vaswani et al., "Attention Is All You Need", 2017, section 3.2.2).
 *
 * The letters, here and everywhere: B batch, L query length, S key length, H heads, D head width, E embedding
 * width (E = H * D). All arrays are row-major without gaps; the last letter varies fastest. */
#ifndef ATTN_ATTENTION_H
#define ATTN_ATTENTION_H

#include "core/arena.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    size_t embed_dim;  /* E */
    size_t num_heads;  /* H, divides E */
    size_t kdim, vdim; /* width of a key and of a value as they come in; E unless said otherwise */
    bool bias;         /* are there biases on the four projections? */
    double dropout;    /* 0 <= dropout < 1; stated by the model, applied in training only, so not here */
} attn_config;

/* Weights of one layer, as torch keeps them: y = x W^T + b. Biases are NULL without config.bias. */
typedef struct {
    attn_config config;
    const float *q_weight;                          /* [E, E] */
    const float *k_weight;                          /* [E, kdim] */
    const float *v_weight;                          /* [E, vdim] */
    const float *o_weight;                          /* [E, E] */
    const float *q_bias, *k_bias, *v_bias, *o_bias; /* [E] */
} attn_layer;

/* What goes in. Query, key and value must be finite. Masks are added to the scores; minus infinity excludes,
 * which is how a boolean mask arrives; plus infinity and NaN are not allowed. */
typedef struct {
    size_t B, L, S;
    const float *query;            /* [B, L, E] */
    const float *key;              /* [B, S, kdim] */
    const float *value;            /* [B, S, vdim] */
    const float *attn_mask;        /* [mask_B, mask_H, L, S], or NULL */
    size_t mask_B, mask_H;         /* each 1 (the same for all) or B, H */
    const float *key_padding_mask; /* [B, S], or NULL */
    bool is_causal;                /* a query sees the keys at its own and earlier positions */
} attn_input;

/* Where the result goes; the caller owns the arrays. A query that may attend to nothing gets weights of zero,
 * and so an output that is the output bias alone. */
typedef struct {
    float *output;  /* [B, L, E] */
    float *weights; /* [B, H, L, S], or [B, L, S] with `average`; NULL if they are not wanted */
    bool average;   /* the mean of the weights over the heads */
} attn_output;

/* Asked between blocks of work, about every millisecond. NULL: never stop. */
typedef struct {
    bool (*should_stop)(void *context);
    void *context;
} attn_control;

/* Computes the layer in float32. Working memory comes from `work` and is released before return. The result
 * does not depend on whether weights were asked for. Fails with ATTN_NO_MEMORY or ATTN_OVER_BUDGET, with
 * ATTN_CANCELLED, and with ATTN_BAD_VALUE if a score, a weight or an output is beyond float32; the contents
 * of *output are then undefined. */
attn_status attn_forward(const attn_layer *layer, const attn_input *input, const attn_output *output,
                         attn_arena *work, const attn_control *control, attn_error *error);

/* The same pass in double precision, in plain loops: slow, obvious, the oracle for tests and for the
 * self-check. output [B, L, E], weights [B, H, L, S]; either may be NULL. Fails only with ATTN_NO_MEMORY. */
attn_status attn_reference(const attn_layer *layer, const attn_input *input, double *output, double *weights);

#endif
