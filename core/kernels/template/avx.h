/* avx.h: what the sets avx and avx2 have in common: vectors of 8 numbers in 16 registers. */
#include <immintrin.h>

typedef __m256 vec;

#define LANES         8
#define PANEL_VECTORS 2
#define TILE_ROWS     6

static inline vec v_all(float x) {
    return _mm256_set1_ps(x);
}

#include "core/kernels/template/vector.h"

static inline vec v_max(vec a, vec b) {
    return _mm256_max_ps(a, b);
}

static inline vec v_keep(vec v, vec x, vec limit) {
    return _mm256_and_ps(v, _mm256_cmp_ps(x, limit, _CMP_GE_OQ));
}

static inline vec v_pick(vec x, vec limit, vec a, vec b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, limit, _CMP_LT_OQ));
}

#include "core/kernels/template/partial.h"
