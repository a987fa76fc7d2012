#include "core/kernels/transpose.h"

#include "core/kernels/f32x4.h"

static inline void put(float *to, f32x4 x, bool add) {
    f32x4 *const target = (f32x4 *)(void *)to;
    if (add)
        x += *target;
    *target = x;
}

static inline void square(const float *from, size_t from_row, float *to, size_t to_row, bool add) {
    const f32x4 a = *(const f32x4 *)(const void *)from, b = *(const f32x4 *)(const void *)(from + from_row);
    const f32x4 c = *(const f32x4 *)(const void *)(from + 2 * from_row);
    const f32x4 d = *(const f32x4 *)(const void *)(from + 3 * from_row);
    const f32x4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
                cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const f32x4 ef = __builtin_shufflevector(a, b, 2, 6, 3, 7),
                gh = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    put(to, __builtin_shufflevector(ab, cd, 0, 1, 4, 5), add);
    put(to + to_row, __builtin_shufflevector(ab, cd, 2, 3, 6, 7), add);
    put(to + 2 * to_row, __builtin_shufflevector(ef, gh, 0, 1, 4, 5), add);
    put(to + 3 * to_row, __builtin_shufflevector(ef, gh, 2, 3, 6, 7), add);
}

void attn_transpose(const float *from, size_t from_row, size_t rows, size_t columns, float *to, size_t to_row,
                    bool add) {
    const size_t whole_rows = rows - rows % F32X4_WIDTH, whole_columns = columns - columns % F32X4_WIDTH;
    for (size_t r = 0; r < whole_rows; r += F32X4_WIDTH)
        for (size_t c = 0; c < whole_columns; c += F32X4_WIDTH)
            square(from + r * from_row + c, from_row, to + c * to_row + r, to_row, add);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = r < whole_rows ? whole_columns : 0; c < columns; c++) {
            float *const target = to + c * to_row + r;
            *target = add ? *target + from[r * from_row + c] : from[r * from_row + c];
        }
}
