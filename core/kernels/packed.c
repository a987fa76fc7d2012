#include "core/kernels/packed.h"

#include "core/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20, INT8_MAX_VALUE = 127 };

static size_t size_of(attn_precision precision) {
    return precision == ATTN_FLOAT32 ? sizeof(float) : precision == ATTN_BFLOAT16 ? sizeof(uint16_t) : 1;
}

/* To nearest, ties to even. The weight is finite, and so is the result unless it is above bfloat16's largest.
 */
static uint16_t bfloat16_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float of_bfloat16(uint16_t narrow) {
    const uint32_t bits = (uint32_t)narrow << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Where the number of weight[row][column] stands. */
static size_t place(const attn_packed *packed, size_t row, size_t column) {
    const size_t panel = packed->kernels->weight_panel;
    return (row / panel * packed->depth + column) * panel + row % panel;
}

static void pack_row(attn_packed *packed, size_t row, const float *weight) {
    float scale = 0;
    if (packed->precision == ATTN_INT8) {
        for (size_t k = 0; k < packed->depth; k++)
            scale = fmaxf(scale, fabsf(weight[k]));
        scale /= INT8_MAX_VALUE;
        packed->scales[row] = scale;
    }
    for (size_t k = 0; k < packed->depth; k++) {
        const size_t at = place(packed, row, k);
        if (packed->precision == ATTN_FLOAT32)
            ((float *)packed->numbers)[at] = weight[k];
        else if (packed->precision == ATTN_BFLOAT16)
            ((uint16_t *)packed->numbers)[at] = bfloat16_of(weight[k]);
        else if (scale > 0)
            ((int8_t *)packed->numbers)[at] =
                (int8_t)fmaxf(-INT8_MAX_VALUE, fminf(INT8_MAX_VALUE, rintf(weight[k] / scale)));
    }
}

/* Zeros. Large blocks lie in huge pages, if the system has some to give: reading them is what takes the time
 * of a product with few rows, and looking up addresses a good part of that. */
static void *new_block(size_t bytes) {
    const bool large = bytes >= 2 * (size_t)HUGE_PAGE;
    const size_t alignment = large ? HUGE_PAGE : ALIGNMENT;
    void *block = aligned_alloc(alignment, bytes > 0 ? bytes : alignment);
    if (block == NULL)
        return NULL;
    if (large)
        (void)madvise(block, bytes, MADV_HUGEPAGE);
    return memset(block, 0, bytes);
}

bool attn_pack(attn_packed *packed, const attn_kernels *kernels, attn_precision precision, size_t width,
               size_t depth, const float *weight) {
    *packed = (attn_packed){0};
    const size_t panels = width / kernels->weight_panel + (width % kernels->weight_panel > 0);
    const size_t factors[] = {panels, kernels->weight_panel, depth, size_of(precision)};
    size_t numbers, bytes;
    if (!attn_multiply_all(factors, sizeof factors / sizeof *factors, &numbers) ||
        !attn_add(numbers, ALIGNMENT, &bytes))
        return false;
    bytes = numbers = numbers + (ALIGNMENT - numbers % ALIGNMENT) % ALIGNMENT;
    const size_t scales = precision == ATTN_INT8 ? panels * kernels->weight_panel * sizeof(float) : 0;
    if (!attn_add(numbers, scales, &bytes) || !attn_add(bytes, HUGE_PAGE, &(size_t){0}))
        return false;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *block = new_block(bytes);
    if (block == NULL)
        return false;
    *packed = (attn_packed){kernels, precision, width, depth, block, NULL, bytes};
    if (precision == ATTN_INT8)
        packed->scales = (float *)(void *)((char *)block + numbers);
    for (size_t row = 0; row < width; row++)
        pack_row(packed, row, weight + row * depth);
    return true;
}

void attn_packed_free(attn_packed *packed) {
    free(packed->numbers);
    *packed = (attn_packed){0};
}

float attn_packed_at(const attn_packed *packed, size_t row, size_t column) {
    const size_t at = place(packed, row, column);
    if (packed->precision == ATTN_FLOAT32)
        return ((const float *)packed->numbers)[at];
    if (packed->precision == ATTN_BFLOAT16)
        return of_bfloat16(((const uint16_t *)packed->numbers)[at]);
    return (float)((const int8_t *)packed->numbers)[at] * packed->scales[row];
}

const char *attn_precision_name(attn_precision precision) {
    static const char *const names[ATTN_PRECISIONS] = {"float32", "bfloat16", "int8"};
    return names[precision];
}
