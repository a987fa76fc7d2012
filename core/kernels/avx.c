/* avx.c: the set for x86-64 with AVX alone: 16 registers of 8 numbers. Without FMA products and sums are
 * rounded apart, as in the generic set; without AVX2 whole numbers are taken in halves. */
#include "core/kernels/sets.h"

#ifdef __AVX__

#include "core/kernels/template/avx.h"

static inline vec v_madd(vec a, vec b, vec c) {
    return _mm256_add_ps(_mm256_mul_ps(a, b), c);
}

static inline __m128i half_of(vec v, int half) {
    return _mm_castps_si128(half ? _mm256_extractf128_ps(v, 1) : _mm256_castps256_ps128(v));
}

static inline vec of_halves(__m128i low, __m128i high) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_castsi128_ps(low)), _mm_castsi128_ps(high), 1);
}

static inline vec v_add_exponent(vec v, vec t) {
    return of_halves(_mm_add_epi32(half_of(v, 0), _mm_slli_epi32(half_of(t, 0), 23)),
                     _mm_add_epi32(half_of(v, 1), _mm_slli_epi32(half_of(t, 1), 23)));
}

static inline vec v_max_bits(vec a, vec b) {
    return of_halves(_mm_max_epi32(half_of(a, 0), half_of(b, 0)),
                     _mm_max_epi32(half_of(a, 1), half_of(b, 1)));
}

static inline vec v_load_bfloat16(const uint16_t *p) {
    const __m128i narrow = _mm_loadu_si128((const __m128i_u *)p), zeros = _mm_setzero_si128();
    return of_halves(_mm_unpacklo_epi16(zeros, narrow), _mm_unpackhi_epi16(zeros, narrow));
}

static inline vec v_load_int8(const int8_t *p) {
    const __m128i narrow = _mm_loadl_epi64((const __m128i_u *)p);
    return _mm256_cvtepi32_ps(_mm256_castps_si256(
        of_halves(_mm_cvtepi8_epi32(narrow), _mm_cvtepi8_epi32(_mm_srli_si128(narrow, 4)))));
}

#include "core/kernels/template/set.h"

DEFINE_SET(avx, __builtin_cpu_supports("avx"))

#else

ATTN_NO_SET(avx)

#endif
