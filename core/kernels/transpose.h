/* transpose.h: rows become columns. */
#ifndef ATTN_TRANSPOSE_H
#define ATTN_TRANSPOSE_H

#include <stdbool.h>
#include <stddef.h>

/* from [rows, columns], its rows from_row apart, goes to `to` [columns, rows], whose rows are to_row apart;
 * with `add`, it is added there. */
void attn_transpose(const float *from, size_t from_row, size_t rows, size_t columns, float *to, size_t to_row,
                    bool add);

#endif
