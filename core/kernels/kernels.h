/* kernels.h: the inner loops, one set for each kind of CPU, behind a table of function pointers.
 *
 * A set is chosen once, at the start, and never by the shape of what is computed. Within a set each number of
 * a result is made by the same operations in the same order, whatever tile it falls into: so it has the same
 * bits however many rows are computed together. avx512, avx2 and neon have these bits in common, as each sum
 * is the same chain of fused multiplications and additions. Between other sets only the error bound holds. */
#ifndef ATTN_KERNELS_H
#define ATTN_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A float32 as the bits of IEEE 754 that it is, and back. */
static inline uint32_t attn_bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float attn_float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The bits of infinity; those of NaN, without the sign, are above it. */
#define ATTN_INFINITE ((uint32_t)0x7f800000)

/* How the numbers of packed weights are kept. */
typedef enum { ATTN_FLOAT32, ATTN_BFLOAT16, ATTN_INT8, ATTN_PRECISIONS } attn_precision;

/* The bytes of a number; a constant in the kernels, also before the compiler optimises. */
static inline __attribute__((always_inline)) size_t attn_precision_bytes(attn_precision precision) {
    return precision == ATTN_FLOAT32 ? sizeof(float) : precision == ATTN_BFLOAT16 ? sizeof(uint16_t) : 1;
}

/* The most that one call of `product` sums over: sums are taken in blocks of at most this many, each from
 * zero, and the blocks are added in ascending order. One long chain of float32 additions loses accuracy. */
#define ATTN_DEPTH ((size_t)256)

/* The chains in which a softmax sums the exponentials of a tile. */
#define ATTN_SOFT_CHAINS 4

/* y [rows, columns] = a [rows, depth] b [depth, columns], or y += it. Every array is of float32 but for b,
 * whose numbers have the precision of the function. `columns` is a multiple of the set's `lanes`, and of its
 * `panel` if b is narrow; depth <= ATTN_DEPTH; the arrays do not overlap.
 *
 * - a[m][k] is a[m * a_row + k * a_step]. a_step is 1, or, if b is not narrow, a_row.
 * - b[k][n] is b[(n / panel) * b_panel + k * b_row + n % panel], with the set's `panel`.
 * - y[m][n] is y[m * y_row + n]. */
typedef struct {
    size_t rows, columns, depth;
    const float *a;
    size_t a_row, a_step;
    const void *b;
    size_t b_row, b_panel;
    const float *b_scale; /* [columns], or NULL: each sum is multiplied by its column's */
    const float *bias;    /* [columns], or NULL: added last */
    float *y;
    size_t y_row;
    bool add;            /* y += the product, instead of y = */
    const void *b_after; /* the panel that will be read after these, to be prefetched; or NULL */
} attn_product;

/* The scores of some keys and of `lanes` * n queries side by side, on their way through the softmax:
 * tile [keys, width], width a multiple of the set's `lanes`. */
typedef struct {
    float *tile;
    size_t keys, width;
    float *max;  /* [width]: the largest score of each query so far; -infinity at the beginning */
    double *sum; /* [width]: the sum of exp(score - max) so far; 0 at the beginning */
    /* [width], out: exp(old max - max), by which earlier sums and mixed values are multiplied */
    float *factor;
} attn_soft_tile;

typedef struct attn_kernels {
    const char *name; /* "avx512": what --cpu takes and Server-Timing says */
    size_t lanes;     /* numbers of a vector: every width is rounded up to a multiple of it */
    size_t panel;     /* columns of a panel of packed weights, a multiple of lanes */
    void (*product[ATTN_PRECISIONS])(const attn_product *p);
    /* The columns of a panel of packed weights, and what multiplies with them: NULL if that is `product`, and
     * weight_panel the same as `panel`. Else it takes float32 only, and whole panels. */
    size_t weight_panel;
    void (*weight_product)(const attn_product *p);
    /* to [count] = from, in float32, count a multiple of lanes; NULL for float32. */
    void (*widen[ATTN_PRECISIONS])(size_t count, const void *from, float *to);
    /* Takes the maximum with the tile's, replaces the tile by exp(score - max) (0 for -infinity, also where
     * all are), and updates sum: by the float32 sums of the keys j, j + ATTN_SOFT_CHAINS .. in ascending
     * order, of which neighbours are added, and then those. No score is NaN or +infinity. */
    void (*softmax_step)(const attn_soft_tile *t);
    /* tile [keys, width] of scores becomes weights: exp(score - max[q]) / sum[q], 0 where sum is 0. */
    void (*softmax_weights)(const attn_soft_tile *t);
    /* y[j] = q [depth] . k[j] for `keys` rows of k, k_row apart: the scores of one query. Each has the bits
     * that `product` gives it, in blocks of ATTN_DEPTH. */
    void (*dots)(size_t keys, size_t depth, const float *q, const float *k, size_t k_row, float *y);
    /* The largest |x[n]|, as the bits of a float32, which grow with it: at least ATTN_INFINITE if one of them
     * is infinity or NaN. No numbers: 0. */
    uint32_t (*largest)(const float *x, size_t count);
    /* to [rows, columns] = from, whose rows are to_row and from_row apart; returns the largest |x|. */
    uint32_t (*copy)(size_t rows, size_t columns, const float *from, size_t from_row, float *to,
                     size_t to_row);
    /* x[n] *= factor; returns the largest |x| after that. */
    uint32_t (*scale)(float *x, size_t count, float factor);
    /* sums[n] += x[n], or with `add` false = x[n]. */
    void (*accumulate)(const float *x, size_t count, double *sums, bool add);
    /* Each row of x and of sums, both [rows, columns] or NULL, times its factor. */
    void (*rescale)(size_t rows, size_t columns, const float *factors, float *x, double *sums);
    /* to[n] = (sums[n] + x[n]) * share, summed in double precision; x or sums may be NULL, for zeros. */
    void (*normalise)(size_t count, const float *x, const double *sums, double share, float *to);
    /* x[n] = exp(x[n]) for n < count, x <= 88.7; the error bound stands in template/exponential.h. */
    void (*exponential)(float *x, size_t count);
    /* x[n] = cap * tanh(x[n] / cap), likewise. */
    void (*soft_cap)(float *x, size_t count, float cap);
} attn_kernels;

/* Are all `count` numbers finite? */
static inline bool attn_all_finite(const attn_kernels *kernels, const float *x, size_t count) {
    return kernels->largest(x, count) < ATTN_INFINITE;
}

#endif
