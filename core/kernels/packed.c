#include "core/kernels/packed.h"

#include "core/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20, INT8_MAX_VALUE = 127 };

/* To nearest, ties to even. The weight is finite, and so is the result unless it is above bfloat16's largest.
 */
static uint16_t bfloat16_of(float x) {
    const uint32_t bits = attn_bits_of(x);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* The index of weight[row][column] among the numbers. */
static size_t index_of(const attn_packed *packed, size_t row, size_t column) {
    const size_t panel = packed->kernels->weight_panel;
    return (row / panel * packed->depth + column) * panel + row % panel;
}

static float *scale_of(const attn_packed *packed, size_t row, size_t column) {
    return packed->scales + column / ATTN_DEPTH * packed->scale_row + row;
}

/* `count` numbers of a row from column k on, which are all of a block: divided by their scale. */
static void pack_int8(attn_packed *packed, size_t row, size_t k, size_t count, const float *weight) {
    float scale = 0;
    for (size_t n = 0; n < count; n++)
        scale = fmaxf(scale, fabsf(weight[n]));
    scale /= INT8_MAX_VALUE;
    *scale_of(packed, row, k) = scale;
    for (size_t n = 0; n < count && scale > 0; n++)
        ((int8_t *)packed->numbers)[index_of(packed, row, k + n)] =
            (int8_t)fmaxf(-INT8_MAX_VALUE, fminf(INT8_MAX_VALUE, rintf(weight[n] / scale)));
}

static void pack_row(attn_packed *packed, size_t row, const float *weight) {
    for (size_t k = 0; k < packed->depth && packed->precision == ATTN_INT8; k += ATTN_DEPTH) {
        const size_t rest = packed->depth - k;
        pack_int8(packed, row, k, rest < ATTN_DEPTH ? rest : ATTN_DEPTH, weight + k);
    }
    for (size_t k = 0; k < packed->depth && packed->precision == ATTN_FLOAT32; k++)
        ((float *)packed->numbers)[index_of(packed, row, k)] = weight[k];
    for (size_t k = 0; k < packed->depth && packed->precision == ATTN_BFLOAT16; k++)
        ((uint16_t *)packed->numbers)[index_of(packed, row, k)] = bfloat16_of(weight[k]);
}

/* A block of zeros. Large ones are put into huge pages, if the system has any: a product with few rows spends
 * its time on reading weights, and a good part of that on looking up addresses. */
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

/* The bytes of the numbers, a multiple of 64, and with the scales behind them; false on overflow. */
static bool sizes_of(const attn_packed *packed, size_t *numbers, size_t *all) {
    const size_t panel = packed->kernels->weight_panel;
    const size_t blocks = packed->depth / ATTN_DEPTH + (packed->depth % ATTN_DEPTH > 0);
    const size_t factors[] = {packed->scale_row / panel, panel, packed->depth,
                              attn_precision_bytes(packed->precision)};
    const size_t of_scales[] = {packed->scale_row, packed->precision == ATTN_INT8 ? blocks : 0,
                                sizeof(float)};
    size_t scales;
    if (!attn_multiply_all(factors, sizeof factors / sizeof *factors, numbers) ||
        !attn_multiply_all(of_scales, sizeof of_scales / sizeof *of_scales, &scales) ||
        !attn_add(*numbers, ALIGNMENT, &(size_t){0}))
        return false;
    *numbers = attn_round_up(*numbers, ALIGNMENT);
    if (!attn_add(*numbers, scales, all) || !attn_add(*all, HUGE_PAGE, &(size_t){0}))
        return false;
    *all = attn_round_up(*all, ALIGNMENT);
    return true;
}

/* Sets all but the memory, and *numbers to the bytes of the numbers; false on overflow. */
static bool lay_out(attn_packed *packed, const attn_kernels *kernels, attn_precision precision, size_t width,
                    size_t depth, size_t *numbers) {
    *packed = (attn_packed){.kernels = kernels, .precision = precision, .width = width, .depth = depth};
    if (width > SIZE_MAX - kernels->weight_panel)
        return false;
    packed->scale_row = attn_round_up(width, kernels->weight_panel);
    return sizes_of(packed, numbers, &packed->bytes);
}

bool attn_packed_size(const attn_kernels *kernels, attn_precision precision, size_t width, size_t depth,
                      size_t *bytes) {
    attn_packed packed;
    const bool fits = lay_out(&packed, kernels, precision, width, depth, &(size_t){0});
    *bytes = packed.bytes;
    return fits;
}

bool attn_pack(attn_packed *packed, const attn_kernels *kernels, attn_precision precision, size_t width,
               size_t depth, const float *weight) {
    size_t numbers;
    attn_packed made;
    *packed = (attn_packed){0};
    if (!lay_out(&made, kernels, precision, width, depth, &numbers) ||
        (made.numbers = new_block(made.bytes)) == NULL)
        return false;
    if (precision == ATTN_INT8)
        made.scales = (float *)(void *)((char *)made.numbers + numbers);
    for (size_t row = 0; row < width; row++)
        pack_row(&made, row, weight + row * depth);
    *packed = made;
    return true;
}

void attn_packed_free(attn_packed *packed) {
    free(packed->numbers);
    *packed = (attn_packed){0};
}

float attn_packed_at(const attn_packed *packed, size_t row, size_t column) {
    const size_t at = index_of(packed, row, column);
    if (packed->precision == ATTN_FLOAT32)
        return ((const float *)packed->numbers)[at];
    if (packed->precision == ATTN_BFLOAT16)
        return attn_float_of((uint32_t)((const uint16_t *)packed->numbers)[at] << 16);
    return (float)((const int8_t *)packed->numbers)[at] * *scale_of(packed, row, column);
}

void attn_packed_numbers(const attn_packed *packed, size_t row, size_t column, size_t count, float *numbers) {
    for (size_t n = 0; n < count; n++)
        numbers[n] = attn_packed_at(packed, row, column + n);
}

const char *attn_precision_name(attn_precision precision) {
    static const char *const names[ATTN_PRECISIONS] = {"float32", "bfloat16", "int8"};
    return names[precision];
}
