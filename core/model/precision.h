/* precision.h: what a narrow precision of the weights does to the output. */
#ifndef ATTN_PRECISION_H
#define ATTN_PRECISION_H

#include "core/attention.h"

/* Computes a fixed probe with `narrow` and with `wide`, the same layer with its weights in float32. *error is
 * that of the output's worst column: over its rows, the root mean square of the differences, relative
 * to the root mean square of what `wide` gives, in this column or in the median one (of an even number the
 * upper) if that is larger. NaN if an output is beyond float32.
 *
 * The probe is 16 batch entries of one query after 3 of its 4 keys, causal if the layer is. One stream of
 * splitmix64(0) fills query [16, 1, E], then key [16, 4, kdim], then value [16, 4, vdim], row by row, each
 * number uniformly in [-1, 1).
 *
 * Fails only with ATTN_NO_MEMORY. */
attn_status attn_precision_error(const attn_layer *narrow, const attn_layer *wide, double *error);

#endif
