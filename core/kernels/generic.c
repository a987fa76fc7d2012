/* generic.c: the set for every CPU: vectors of 16 bytes as gcc and clang write them for any target. Products
 * and sums are rounded apart, since not every CPU can fuse them. */
#include "core/kernels/sets.h"

typedef float vec __attribute__((vector_size(16)));

#define LANES         4
#define PANEL_VECTORS 2
#define TILE_ROWS     6

static inline vec v_all(float x) {
    return (vec){x, x, x, x};
}

#include "core/kernels/template/vector.h"

#include "core/kernels/template/partial.h"

static inline vec v_madd(vec a, vec b, vec c) {
    return a * b + c;
}

/* `yes` where the bits of `mask` are set, else `no`. */
static inline vec v_choose(vec_bits mask, vec yes, vec no) {
    return (vec)((mask & (vec_bits)yes) | (~mask & (vec_bits)no));
}

static inline vec v_max(vec a, vec b) {
    return v_choose((vec_bits)(a > b), a, b);
}

static inline vec v_keep(vec v, vec x, vec limit) {
    return (vec)((vec_bits)(x >= limit) & (vec_bits)v);
}

static inline vec v_pick(vec x, vec limit, vec a, vec b) {
    return v_choose((vec_bits)(x < limit), a, b);
}

static inline vec v_add_exponent(vec v, vec t) {
    return (vec)((vec_bits)v + ((vec_bits)t << 23));
}

static inline vec v_max_bits(vec a, vec b) {
    return v_choose((vec_bits)a > (vec_bits)b, a, b);
}

static inline vec v_load_bfloat16(const uint16_t *p) {
    return (vec)((vec_bits){p[0], p[1], p[2], p[3]} << 16);
}

static inline vec v_load_int8(const int8_t *p) {
    return (vec){(float)p[0], (float)p[1], (float)p[2], (float)p[3]};
}

#include "core/kernels/template/set.h"

DEFINE_SET(generic, true)
