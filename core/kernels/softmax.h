/* softmax.h: from one row of scores to one row of weights. */
#ifndef ATTN_SOFTMAX_H
#define ATTN_SOFTMAX_H

#include <stdbool.h>
#include <stddef.h>

/* Adds up to two mask rows (each NULL or [n]) to `scores` [n]. A key that a mask excludes with minus infinity
 * gets minus infinity, whatever its score was (NaN included); so does one whose finite sum reaches it.
 * Returns false if a score that counts is NaN or minus infinity before the masks: it has overflowed, and must
 * not pass for excluded. */
bool attn_mask_row(float *scores, size_t n, const float *mask, const float *padding);

/* scores [n] become exp(s - max) / sum; all zero if every score is minus infinity. *sink (NULL: none) takes
 * part in the maximum and in the sum, and has no weight. The sum, of exp(s - *max), is kept in double
 * precision; it is 0 if there is nothing to sum. Returns false if a score was NaN or plus infinity. */
bool attn_softmax_row(float *scores, size_t n, const float *sink, float *max, double *sum);

/* Are all `count` numbers finite? */
bool attn_all_finite(const float *numbers, size_t count);

#endif
