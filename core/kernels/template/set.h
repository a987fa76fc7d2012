/* clang-format off */
/* set.h: the inner loops, written once for vectors of any width. The file of a set defines what differs, has
 * v_load, v_store, v_sign and v_magnitude from vector.h, and then includes this; everything here is static.
 *
 *     vec                      LANES float32; + - * and / work on it
 *     LANES                    numbers in a vec
 *     PANEL_VECTORS            vectors in a row of a panel
 *     TILE_ROWS                most rows of y that are computed at once, up to 12: with PANEL_VECTORS they
 *                              fill the registers
 *     v_load(p)                LANES numbers from p on
 *     v_store(p, v)            LANES numbers to p on
 *     v_load_part(p, n)        n < LANES numbers, and zeros; touches no other
 *     v_store_part(p, v, n)    n < LANES numbers; touches no other
 *     v_all(x)                 x in every lane
 *     v_madd(a, b, c)          a * b + c
 *     v_max(a, b)              the larger one
 *     v_keep(v, x, limit)      v where x >= limit, else 0
 *     v_pick(x, limit, a, b)   a where x < limit, else b
 *     v_add_exponent(v, t)     v * 2^n, where n stands in the lowest bits of t
 *     v_sign(v, x)             v with the sign of x added to it
 *     v_magnitude(x)           x without its sign
 *     v_max_bits(a, b)         the larger ones, as the integers that their bits are; both without signs
 *     v_load_bfloat16(p)       LANES numbers, widened
 *     v_load_int8(p)           LANES numbers, widened */
/* clang-format on */
#include "core/kernels/kernels.h"

#include <float.h>
#include <string.h>

#define PANEL        (LANES * PANEL_VECTORS)
#define NEVER_INLINE __attribute__((noinline))
/* A sanitizer's checks in unrolled loops take a compiler minutes: there each function is compiled once, as it
 * is. */
#ifdef ATTN_ROLLED
#define ALWAYS_INLINE inline
#define UNROLL
#elif defined __clang__
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define UNROLL        _Pragma("clang loop unroll(full)")
#else
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define UNROLL        _Pragma("GCC unroll 64")
#endif

_Static_assert(TILE_ROWS <= 12, "tile_of in template/product.h has a case for each number of rows up to 12");

#include "core/kernels/template/exponential.h"
#include "core/kernels/template/product.h"

#include "core/kernels/template/dots.h"

#include "core/kernels/template/rows.h"
#include "core/kernels/template/softmax.h"

/* attn_kernels_NAME() of sets.h, for a CPU that fulfils the condition. */
#define DEFINE_SET(NAME, CONDITION)                                                                          \
    const attn_kernels *attn_kernels_##NAME(void) {                                                          \
        static const attn_kernels set = {                                                                    \
            .name = #NAME,                                                                                   \
            .lanes = LANES,                                                                                  \
            .panel = PANEL,                                                                                  \
            .weight_panel = PANEL,                                                                           \
            .product = {product_float32, product_bfloat16, product_int8},                                    \
            .widen = {NULL, widen_bfloat16, widen_int8},                                                     \
            .softmax_step = softmax_step,                                                                    \
            .softmax_weights = softmax_weights,                                                              \
            .dots = dots,                                                                                    \
            .largest = largest,                                                                              \
            .copy = copy,                                                                                    \
            .scale = scale,                                                                                  \
            .accumulate = accumulate,                                                                        \
            .rescale = rescale,                                                                              \
            .normalise = normalise,                                                                          \
            .exponential = exponential,                                                                      \
            .soft_cap = soft_cap,                                                                            \
        };                                                                                                   \
        return (CONDITION) ? &set : NULL;                                                                    \
    }
