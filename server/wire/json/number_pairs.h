/* number_pairs.h: the part of json/number_read.c that needs SSE2, which every x86-64 has.
 *
 * Numbers like 0.30471708 and -1.0399841, which is nearly all that tensors consist of, are read in pairs. */
#ifndef WIRE_JSON_NUMBER_PAIRS_H
#define WIRE_JSON_NUMBER_PAIRS_H

#include <emmintrin.h>

/* One digit, a point and more digits: the constants for such a number without a sign, and with one. A sign is
 * not worth a branch, since half of the branches would go the wrong way first. */
typedef struct {
    uint32_t text_mask, text;     /* where in the first four bytes are sign and point; they */
    uint32_t others_mask, others; /* which of the first bytes are no digits */
    int16_t tens[8];     /* what each of the first eight bytes counts in its pair: sign and point nothing, */
    int16_t hundreds[8]; /* what each pair counts in its four, */
    double scale[2];     /* and each eight in the number */
    double sign[2];      /* the sign bit (one is used) */
} form;

static const form __attribute__((aligned(64))) forms[2] = {
    {.text_mask = 0x0000ff00,
     .text = '.' << 8,
     .others_mask = 7,
     .others = 2,
     .tens = {1, 0, 10, 1, 10, 1, 10, 1},
     .hundreds = {100, 1, 100, 1, 100, 1, 100, 1},
     .scale = {1e-6, 1e-14},
     .sign = {0.0, 0.0}},
    {.text_mask = 0x00ff00ff,
     .text = '.' << 16 | '-',
     .others_mask = 15,
     .others = 5,
     .tens = {0, 1, 0, 1, 10, 1, 10, 1},
     .hundreds = {10, 1, 100, 1, 100, 1, 100, 1},
     .scale = {1e-5, 1e-13},
     .sign = {-0.0, -0.0}},
};

/* Sixteen bytes from [32 - n] on: all bits set in the first n, none in the others. */
#define EIGHT_ONES -1, -1, -1, -1, -1, -1, -1, -1
static const char __attribute__((aligned(64)))
first_bytes[48] = {EIGHT_ONES, EIGHT_ONES, EIGHT_ONES, EIGHT_ONES};

static inline __m128i load_sixteen(const void *at) {
    return _mm_loadu_si128((const __m128i *)at);
}

static inline uint32_t mask_of(__m128i bytes) {
    return (uint32_t)_mm_movemask_epi8(bytes);
}

typedef struct {
    __m128i digits; /* sixteen bytes from the number's first on, less '0'; after its end they are 0 */
    const form *form;
    size_t length;
} token;

/* False unless such a number stands here, and a comma after it. Where the number ends is found twice: the
 * place of the comma alone says where the next one begins, as early as possible, because everything else
 * waits for that. */
static inline bool find_token(const char *at, char lead, token *t, size_t *length) {
    const __m128i zero = _mm_set1_epi8('0'), nines = _mm_set1_epi8(0x7f - 9), comma = _mm_set1_epi8(',');
    const __m128i low = load_sixteen(at);
    /* No digit is what is above 9 after the subtraction: then adding 0x7f - 9 makes it 0x80 or more. */
    const __m128i digits = _mm_sub_epi8(low, zero);
    uint32_t commas = mask_of(_mm_cmpeq_epi8(low, comma)), others = mask_of(_mm_adds_epu8(digits, nines));
    if (commas == 0) { /* longer than float32 need be; so are most numbers then */
        const __m128i high = load_sixteen(at + 16);
        commas = mask_of(_mm_cmpeq_epi8(high, comma)) << 16;
        others |= mask_of(_mm_adds_epu8(_mm_sub_epi8(high, zero), nines)) << 16;
        if (commas == 0)
            return false;
    }
    *length = (size_t)__builtin_ctz(commas);
    const form *const f = &forms[others & 1];
    uint32_t first;
    memcpy(&first, at, sizeof first);
    if ((others & f->others_mask) != f->others || (first & f->text_mask) != f->text || at[-1] != lead)
        return false;
    t->form = f;
    t->length = (size_t)__builtin_ctz(others ^ f->others);
    t->digits = _mm_and_si128(digits, load_sixteen(first_bytes + 32 - t->length));
    return t->length == *length;
}

/* The first sixteen digits, four by four. */
static inline __m128i fours_of(token t) {
    const __m128i none = _mm_setzero_si128();
    const __m128i low = _mm_madd_epi16(_mm_unpacklo_epi8(t.digits, none), load_sixteen(t.form->tens));
    const __m128i high = _mm_madd_epi16(_mm_unpackhi_epi8(t.digits, none), _mm_set1_epi32(10 | 1 << 16));
    return _mm_madd_epi16(_mm_packs_epi32(low, high), load_sixteen(t.form->hundreds));
}

/* Makes doubles of both numbers, with an error of a few units in the last place, and rounds them to float32.
 * False if one is within 2^20 units of halfway between two float32: that is, if the 29 bits that a float32
 * does not have are 2^28, give or take so many. From the seventeenth byte on digits are left out, which makes
 * a number too small by less than 10^-13: no more than those 2^20 units, if it is not less than 10^-3. */
static inline bool round_pair(token a, token b, float *values) {
    const __m128i eights =
        _mm_madd_epi16(_mm_packs_epi32(fours_of(a), fours_of(b)), _mm_set1_epi32(10000 | 1 << 16));
    const __m128d of_a = _mm_mul_pd(_mm_cvtepi32_pd(eights), _mm_loadu_pd(a.form->scale));
    const __m128d of_b =
        _mm_mul_pd(_mm_cvtepi32_pd(_mm_unpackhi_epi64(eights, eights)), _mm_loadu_pd(b.form->scale));
    const __m128d d = _mm_add_pd(_mm_unpacklo_pd(of_a, of_b), _mm_unpackhi_pd(of_a, of_b));

    const __m128i below = _mm_and_si128(_mm_castpd_si128(d), _mm_set1_epi64x(0x1fffffff));
    const __m128i distance = _mm_srli_epi32(_mm_sub_epi32(below, _mm_set1_epi64x(0x10000000 - 0x100000)), 21);
    if ((_mm_movemask_epi8(_mm_cmpeq_epi32(distance, _mm_setzero_si128())) & 0x0101) != 0)
        return false;
    if ((a.length > 16 || b.length > 16) && _mm_movemask_pd(_mm_cmplt_pd(d, _mm_set1_pd(1e-3))) != 0)
        return false;
    const __m128d signs = _mm_unpacklo_pd(_mm_loadu_pd(a.form->sign), _mm_loadu_pd(b.form->sign));
    _mm_storel_pi((__m64 *)values, _mm_cvtpd_ps(_mm_or_pd(d, signs)));
    return true;
}

/* Reads such numbers from the run, as long as there are two of them. */
static inline void read_fractions(run *r) {
    const char *at = r->at;
    float *values = r->values;
    const size_t step = r->step;
    while (at <= r->limit && r->values_end - values >= 2) {
        token a, b;
        size_t first, second;
        if (!find_token(at, r->lead, &a, &first) || !find_token(at + first + step, r->lead, &b, &second))
            break;
        if (!round_pair(a, b, values))
            break;
        at += first + second + 2 * step;
        values += 2;
    }
    r->at = at;
    r->values = values;
}

#endif
