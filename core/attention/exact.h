/* exact.h: numbers of the projections in double precision, for those whose sum in float32 is beyond float32
 * on the way: then a number that is not finite stays where one should be that is. Slow, and only for these;
 * several rows at once, as what takes longest is to read the weights. */
#ifndef ATTN_EXACT_H
#define ATTN_EXACT_H

#include "core/attention/pass.h"

#define ATTN_EXACT_ROWS ((size_t)8) /* at most, at once */

/* Which of the inputs is projected. */
typedef enum { QUERY, KEY, VALUE, INPUTS } attn_projected;

/* y [rows] = number `column` of x W^T + b, for rows x[n] [depth]. Not finite if a number of x is not. */
void attn_exact_numbers(const attn_packed *weight, const float *bias, const float *const *x, size_t rows,
                        size_t column, double *y);

/* heads[n] [D] = head h of row rows[n] of the input, normed and rotated, for `count` rows. */
void attn_exact_heads(const attn_pass *pass, attn_projected which, const size_t *rows, size_t count, size_t h,
                      float *const *heads);

#endif
