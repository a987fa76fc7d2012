/* patterns.h: a layer whose heads are set by hand, so that a heat map has something to show.
 *
 * E = 128, H = 8, D = 64, no biases, not causal. A token's vector is made from the token, its predecessor and
 * its position p, all numbers exact in float32 up to position 2047:
 *
 *     0 .. 59    the token's code, 60 signs out of a hash of its UTF-8 bytes
 *     60 .. 119  the predecessor's code; zeros for the first token
 *     120, 121   p / 2048 and its square
 *     122        1 for the first token, else 0
 *     123        1
 *     124 .. 127 zeros
 *
 * The score of a query (position p) and a key (position t) is, with four numbers a head,
 *
 *     code * (token's code . code of the key's token or predecessor) - curve * (t - p - shift)^2
 *     + first * (is the key the first token?)
 *
 * which is the product of
 *
 *     q = 8 * (code * token's code, 2 * curve * (p + shift), -curve, first, -curve * (p + shift)^2)
 *     k = (token's or predecessor's code, t, t^2, is first, 1)
 *
 * divided by sqrt(D) = 8: both are linear in the vector. All terms are whole multiples of a power of two with
 * fewer than 24 bits, so float32 computes the scores exactly, in any order. Codes of two tokens agree in 60
 * signs if they are the same, and in about half of them if not: the product is 60, or near 0 with a standard
 * deviation of sqrt(60).
 *
 * The value is (token's code, p / 2048, its square, is first, 1). Of what each head h mixes, the output has
 * the code of the induction head at 0, that of the previous-token head at 60, and at 120 + h the position of
 * the keys, averaged by the weights and divided by 2048. */
#ifndef ATTN_PATTERNS_H
#define ATTN_PATTERNS_H

#include "core/model/model.h"
#include "core/status.h"

#include <jansson.h>

/* Makes the layer. Fails with ATTN_NO_MEMORY. Sets all but the name and layer.kernels, for which it
 * packs the weights, in layer.config.precision; the caller frees with attn_model_clear. */
attn_status attn_patterns_make(attn_model *model, attn_error *error);

/* What a client needs to make vectors for the layer, and what its heads show: {"vocabulary", "rule",
 * "heads"}. NULL if there is no memory; the caller frees it with json_decref. */
json_t *attn_patterns_describe(void);

#endif
