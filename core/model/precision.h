/* precision.h: what a narrow precision of the weights does to the output. */
#ifndef ATTN_PRECISION_H
#define ATTN_PRECISION_H

#include "core/attention.h"

/* Computes a fixed probe with `narrow` and with `wide`, the same layer with its weights in float32. *error
 * becomes the largest difference between the outputs, relative to the largest output of `wide`; NaN if an
 * output is beyond float32.
 *
 * The probe is one batch entry of 16 queries and 16 keys, causal if the layer is. One stream of splitmix64(0)
 * fills query [16, E], then key [16, kdim], then value [16, vdim], row by row, each number uniformly in [-1,
 * 1).
 *
 * Fails only with ATTN_NO_MEMORY. */
attn_status attn_precision_error(const attn_layer *narrow, const attn_layer *wide, double *error);

#endif
