/* avx2.c: the set for x86-64 with AVX2 and FMA: 16 registers of 8 numbers. */
#include "core/kernels/kernels.h"

#ifdef __AVX2__

#include <immintrin.h>
#include <string.h>

typedef __m256 vec;

#define LANES         8
#define PANEL_VECTORS 2
#define TILE_ROWS     6

static inline vec v_load(const float *p) {
    return _mm256_loadu_ps(p);
}

static inline void v_store(float *p, vec v) {
    _mm256_storeu_ps(p, v);
}

static inline vec v_load_part(const float *p, size_t n) {
    float all[LANES] = {0};
    memcpy(all, p, n * sizeof *p);
    return v_load(all);
}

static inline void v_store_part(float *p, vec v, size_t n) {
    float all[LANES];
    v_store(all, v);
    memcpy(p, all, n * sizeof *p);
}

static inline vec v_all(float x) {
    return _mm256_set1_ps(x);
}

static inline vec v_madd(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}

static inline vec v_max(vec a, vec b) {
    return _mm256_max_ps(a, b);
}

static inline vec v_keep(vec v, vec x, vec limit) {
    return _mm256_and_ps(v, _mm256_cmp_ps(x, limit, _CMP_GE_OQ));
}

static inline vec v_pick(vec x, vec limit, vec a, vec b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, limit, _CMP_LT_OQ));
}

static inline vec v_add_exponent(vec v, vec t) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(v), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}

static inline vec v_sign(vec v, vec x) {
    return _mm256_or_ps(v, _mm256_and_ps(x, v_all(-0.0f)));
}

static inline vec v_magnitude(vec x) {
    return _mm256_andnot_ps(v_all(-0.0f), x);
}

static inline vec v_max_bits(vec a, vec b) {
    return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}

static inline vec v_load_bfloat16(const uint16_t *p) {
    const __m128i narrow = _mm_loadu_si128((const __m128i_u *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(narrow), 16));
}

static inline vec v_load_int8(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i_u *)p)));
}

#include "core/kernels/template/set.h"

const attn_kernels *attn_kernels_avx2(void) {
    static const attn_kernels set = {SET_FIELDS("avx2")};
    return &set;
}

#else

const attn_kernels *attn_kernels_avx2(void) {
    return NULL;
}

#endif
