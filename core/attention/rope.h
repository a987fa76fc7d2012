/* rope.h: rotary position embedding (Su et al., "RoFormer", 2021), as the frameworks form it: the inverse
 * frequency and its product with the position are rounded to float32, then sine and cosine are taken of that
 * number. Exact angles would differ by 1e-5 at position 512 already. */
#ifndef ATTN_ROPE_H
#define ATTN_ROPE_H

#include "core/attention.h"

/* frequencies [dims/2] for a sequence whose last position is length - 1 (DYNAMIC and LONGROPE depend on it).
 * The layer has a rope. */
void attn_rope_frequencies(const attn_layer *layer, uint64_t length, float *frequencies);

/* The sines and cosines [dims/2] of one position, times rope.magnitude. */
void attn_rope_angles(const attn_rope *rope, const float *frequencies, uint64_t position, float *cosines,
                      float *sines);

/* Rotates one head, x [D], in place. */
void attn_rope_rotate(const attn_rope *rope, const float *cosines, const float *sines, float *x);

#endif
