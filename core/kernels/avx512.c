/* avx512.c: the set for x86-64 with AVX-512 (F, BW, DQ and VL): 32 registers of 16 numbers. */
#include "core/kernels/sets.h"

#ifdef __AVX512F__

#include <immintrin.h>

typedef __m512 vec;

#define LANES         16
#define PANEL_VECTORS 2
#define TILE_ROWS     12

static inline vec v_all(float x) {
    return _mm512_set1_ps(x);
}

#include "core/kernels/template/vector.h"

static inline vec v_load_part(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

static inline void v_store_part(float *p, vec v, size_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}

static inline vec v_madd(vec a, vec b, vec c) {
    return _mm512_fmadd_ps(a, b, c);
}

static inline vec v_max(vec a, vec b) {
    return _mm512_max_ps(a, b);
}

static inline vec v_keep(vec v, vec x, vec limit) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_GE_OQ), v);
}

static inline vec v_pick(vec x, vec limit, vec a, vec b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, limit, _CMP_LT_OQ), b, a);
}

static inline vec v_add_exponent(vec v, vec t) {
    return _mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_castps_si512(v), _mm512_slli_epi32(_mm512_castps_si512(t), 23)));
}

static inline vec v_max_bits(vec a, vec b) {
    return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}

static inline vec v_load_bfloat16(const uint16_t *p) {
    const __m256i narrow = _mm256_loadu_si256((const __m256i_u *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16));
}

static inline vec v_load_int8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i_u *)p)));
}

#include "core/kernels/template/set.h"

DEFINE_SET(avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                       __builtin_cpu_supports("fma"))

#else

ATTN_NO_SET(avx512)

#endif
