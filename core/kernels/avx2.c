/* avx2.c: the set for x86-64 with AVX2 and FMA: 16 registers of 8 numbers. */
#include "core/kernels/sets.h"

#ifdef __AVX2__

#include "core/kernels/template/avx.h"

static inline vec v_madd(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}

static inline vec v_add_exponent(vec v, vec t) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(v), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
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

DEFINE_SET(avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))

#else

ATTN_NO_SET(avx2)

#endif
