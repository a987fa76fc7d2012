/* exact.h: numbers of the projections that are not finite, computed again in double precision: their sum may
 * have been beyond float32 only on the way. Slow, and rarely needed. */
#ifndef ATTN_EXACT_H
#define ATTN_EXACT_H

#include "core/attention/pass.h"

/* Which of the inputs is projected. */
typedef enum { QUERY, KEY, VALUE, INPUTS } attn_projected;

/* Computes again what is beyond float32 in head h of rows [row, row + rows) of q, k or v; `heads` are these
 * rows, `width` apart. A row's head is computed whole and by itself, so that its bits do not depend on other
 * rows. False if a number stays beyond float32. */
bool attn_exact_heads(attn_pass *pass, attn_projected which, size_t row, size_t rows, size_t h, float *heads,
                      size_t width);

/* Computes again what is beyond float32 in columns [column, column + columns) of rows [row, row + rows) of
 * the output, each number by itself. Sets pass->overflowed if one stays beyond float32. */
void attn_exact_outputs(attn_pass *pass, size_t row, size_t rows, size_t column, size_t columns);

#endif
