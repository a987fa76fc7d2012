#include "core/kernels/transpose.h"

#include "core/kernels/four.h"

static inline void put(float *to, four x, bool add) {
    four *const place = (four *)(void *)to;
    if (add)
        x += *place;
    *place = x;
}

static inline void square(const float *from, size_t from_row, float *to, size_t to_row, bool add) {
    const four a = *(const four *)(const void *)from, b = *(const four *)(const void *)(from + from_row);
    const four c = *(const four *)(const void *)(from + 2 * from_row);
    const four d = *(const four *)(const void *)(from + 3 * from_row);
    const four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const four ef = __builtin_shufflevector(a, b, 2, 6, 3, 7), gh = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    put(to, __builtin_shufflevector(ab, cd, 0, 1, 4, 5), add);
    put(to + to_row, __builtin_shufflevector(ab, cd, 2, 3, 6, 7), add);
    put(to + 2 * to_row, __builtin_shufflevector(ef, gh, 0, 1, 4, 5), add);
    put(to + 3 * to_row, __builtin_shufflevector(ef, gh, 2, 3, 6, 7), add);
}

void attn_transpose(const float *from, size_t from_row, size_t rows, size_t columns, float *to, size_t to_row,
                    bool add) {
    const size_t whole_rows = rows - rows % FOUR, whole_columns = columns - columns % FOUR;
    for (size_t r = 0; r < whole_rows; r += FOUR)
        for (size_t c = 0; c < whole_columns; c += FOUR)
            square(from + r * from_row + c, from_row, to + c * to_row + r, to_row, add);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = r < whole_rows ? whole_columns : 0; c < columns; c++) {
            float *const place = to + c * to_row + r;
            *place = add ? *place + from[r * from_row + c] : from[r * from_row + c];
        }
}
