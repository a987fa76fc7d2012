/* exact.h: numbers of the projections in double precision, for those whose sum in float32 is beyond float32
 * on the way: then a number that is not finite stays where one should be that is. Slow, and only for these;
 * several rows at once, as what takes longest is to read the weights. */
#ifndef ATTN_EXACT_H
#define ATTN_EXACT_H

#include "core/attention/pass.h"

/* Which of the inputs is projected. */
typedef enum { QUERY, KEY, VALUE, INPUTS } attn_projected;

/* Head h of rows [row, row + rows), which stands at `heads`, rows `width` apart: where it is beyond float32
 * it is made again, as it may be so only on the way. Each head of a row by itself, so that its bits do not
 * depend on others. False if one stays beyond float32. */
bool attn_exact_heads(attn_pass *pass, attn_projected which, size_t row, size_t rows, size_t h, float *heads,
                      size_t width);

/* Columns [column, column + columns) of rows [row, row + rows) of the output, likewise; pass->overflowed if
 * one stays beyond float32. */
void attn_exact_outputs(attn_pass *pass, size_t row, size_t rows, size_t column, size_t columns);

#endif
