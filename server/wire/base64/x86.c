/* Base64 with the vector instructions of x86-64, after Mula and Lemire, "Faster Base64 Encoding and Decoding
 * Using AVX2 Instructions", ACM Transactions on the Web 12(3), 2018. The names of steps are theirs. */
#include "server/wire/base64/codes.h"

#if defined __x86_64__

#include <immintrin.h>

/* What the two widths have in common: the tables, each for 16 bytes. */

/* Section 3.1: in each group of four bytes, the second, first, third and second of three. */
#define SPREAD 1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10
/* Section 3.2: what to add to a value to make it a character, for each range of values. */
#define SHIFTS 65, 71, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, -19, -16, 0, 0
/* Section 4.1: a character is of the alphabet if the bits for its lower and its upper half have none in
 * common; and what to add to a character to make it a value, for each upper half ('/' has a place of its
 * own). */
#define LOWER 0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a
#define UPPER 0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10
#define ROLLS 0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0
/* Section 4.2: three bytes of each four, the other way round. */
#define GATHER 2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1

/* ---- SSSE3: 12 bytes, 16 characters ---- */

#define SSSE3 __attribute__((target("ssse3")))

static bool has_ssse3(void) {
    return __builtin_cpu_supports("ssse3");
}

SSSE3 static inline __m128i characters_128(__m128i bytes) {
    const __m128i in = _mm_shuffle_epi8(bytes, _mm_setr_epi8(SPREAD));
    const __m128i high =
        _mm_mulhi_epu16(_mm_and_si128(in, _mm_set1_epi32(0x0fc0fc00)), _mm_set1_epi32(0x04000040));
    const __m128i low =
        _mm_mullo_epi16(_mm_and_si128(in, _mm_set1_epi32(0x003f03f0)), _mm_set1_epi32(0x01000010));
    const __m128i values = _mm_or_si128(high, low);
    const __m128i range =
        _mm_sub_epi8(_mm_subs_epu8(values, _mm_set1_epi8(51)), _mm_cmpgt_epi8(values, _mm_set1_epi8(25)));
    return _mm_add_epi8(values, _mm_shuffle_epi8(_mm_setr_epi8(SHIFTS), range));
}

SSSE3 static size_t encode_ssse3(const uint8_t *bytes, size_t count, char *text) {
    size_t at = 0;
    for (; count - at >= 16; at += 12, text += 16) /* 16 are loaded */
        _mm_storeu_si128((__m128i *)(void *)text,
                         characters_128(_mm_loadu_si128((const __m128i *)(const void *)(bytes + at))));
    return at;
}

/* The 12 bytes of 16 characters; *bad is not zero where one is none. */
SSSE3 static inline __m128i bytes_128(__m128i in, __m128i *bad) {
    const __m128i slash = _mm_set1_epi8(0x2f); /* also a mask: of an index, only bits 0 to 3 and 7 count */
    const __m128i upper = _mm_and_si128(_mm_srli_epi32(in, 4), slash), lower = _mm_and_si128(in, slash);
    *bad = _mm_and_si128(_mm_shuffle_epi8(_mm_setr_epi8(LOWER), lower),
                         _mm_shuffle_epi8(_mm_setr_epi8(UPPER), upper));
    const __m128i roll =
        _mm_shuffle_epi8(_mm_setr_epi8(ROLLS), _mm_add_epi8(_mm_cmpeq_epi8(in, slash), upper));
    const __m128i values = _mm_add_epi8(in, roll);
    const __m128i pairs = _mm_maddubs_epi16(values, _mm_set1_epi32(0x01400140));
    return _mm_shuffle_epi8(_mm_madd_epi16(pairs, _mm_set1_epi32(0x00011000)), _mm_setr_epi8(GATHER));
}

SSSE3 static size_t decode_ssse3(const char *text, size_t length, uint8_t *bytes) {
    size_t at = 0;
    for (; length - at >= 24; at += 16, bytes += 12) { /* 16 bytes are stored: 24 characters with padding */
        __m128i bad;
        const __m128i out = bytes_128(_mm_loadu_si128((const __m128i *)(const void *)(text + at)), &bad);
        if (_mm_movemask_epi8(_mm_cmpgt_epi8(bad, _mm_setzero_si128())) != 0)
            break;
        _mm_storeu_si128((__m128i *)(void *)bytes, out);
    }
    return at;
}

const base64_code base64_ssse3 = {"ssse3", has_ssse3, encode_ssse3, decode_ssse3};

/* ---- AVX2: 24 bytes, 32 characters ---- */

#define AVX2 __attribute__((target("avx2")))

static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2");
}

AVX2 static inline __m256i characters_256(__m256i bytes) {
    const __m256i in = _mm256_shuffle_epi8(bytes, _mm256_setr_epi8(SPREAD, SPREAD));
    const __m256i high = _mm256_mulhi_epu16(_mm256_and_si256(in, _mm256_set1_epi32(0x0fc0fc00)),
                                            _mm256_set1_epi32(0x04000040));
    const __m256i low = _mm256_mullo_epi16(_mm256_and_si256(in, _mm256_set1_epi32(0x003f03f0)),
                                           _mm256_set1_epi32(0x01000010));
    const __m256i values = _mm256_or_si256(high, low);
    const __m256i range = _mm256_sub_epi8(_mm256_subs_epu8(values, _mm256_set1_epi8(51)),
                                          _mm256_cmpgt_epi8(values, _mm256_set1_epi8(25)));
    return _mm256_add_epi8(values, _mm256_shuffle_epi8(_mm256_setr_epi8(SHIFTS, SHIFTS), range));
}

AVX2 static size_t encode_avx2(const uint8_t *bytes, size_t count, char *text) {
    size_t at = 0;
    for (; count - at >= 28; at += 24, text += 32) { /* 16 are loaded at 0, and 16 at 12 */
        const __m128i first = _mm_loadu_si128((const __m128i *)(const void *)(bytes + at));
        const __m128i second = _mm_loadu_si128((const __m128i *)(const void *)(bytes + at + 12));
        _mm256_storeu_si256((__m256i *)(void *)text, characters_256(_mm256_set_m128i(second, first)));
    }
    return at;
}

/* The 24 bytes of 32 characters; *bad is not zero where one is none. */
AVX2 static inline __m256i bytes_256(__m256i in, __m256i *bad) {
    const __m256i slash = _mm256_set1_epi8(0x2f); /* also a mask, as above */
    const __m256i upper = _mm256_and_si256(_mm256_srli_epi32(in, 4), slash),
                  lower = _mm256_and_si256(in, slash);
    *bad = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_setr_epi8(LOWER, LOWER), lower),
                            _mm256_shuffle_epi8(_mm256_setr_epi8(UPPER, UPPER), upper));
    const __m256i roll = _mm256_shuffle_epi8(_mm256_setr_epi8(ROLLS, ROLLS),
                                             _mm256_add_epi8(_mm256_cmpeq_epi8(in, slash), upper));
    const __m256i values = _mm256_add_epi8(in, roll);
    const __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x01400140));
    const __m256i triples = _mm256_shuffle_epi8(_mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000)),
                                                _mm256_setr_epi8(GATHER, GATHER));
    return _mm256_permutevar8x32_epi32(triples, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
}

AVX2 static size_t decode_avx2(const char *text, size_t length, uint8_t *bytes) {
    size_t at = 0;
    for (; length - at >= 48; at += 32, bytes += 24) { /* 32 bytes are stored: 48 characters with padding */
        __m256i bad;
        const __m256i out = bytes_256(_mm256_loadu_si256((const __m256i *)(const void *)(text + at)), &bad);
        if (!_mm256_testz_si256(bad, bad))
            break;
        _mm256_storeu_si256((__m256i *)(void *)bytes, out);
    }
    return at;
}

const base64_code base64_avx2 = {"avx2", has_avx2, encode_avx2, decode_avx2};

#else

typedef int base64_has_no_x86_code; /* ISO C wants a declaration in every file */

#endif
