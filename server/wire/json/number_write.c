#include "server/wire/json/number.h"
#include "server/wire/json/number_powers.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Hardly any branch here depends on the value: neighbours in a tensor have nothing to do with each other, so
 * such a branch would be predicted wrongly every other time, which costs more than all the arithmetic.
 * Instead, bytes are stored whether they are needed or not, and only the lengths are exact. And each step is
 * taken for a block of numbers before the next step: the processor can then work on many numbers at the same
 * time, where one long chain of operations for each would fill its window with two. */
#define BLOCK 16

/* ---- The digits: Raffaello Giulietti, "The Schubfach way to render doubles" (2020), for float32 ---- */

/* nine / 10^8 * 10^x: nine digits, of which the first is not 0; or 0 and 0. */
typedef struct {
    uint32_t nine;
    int32_t x;
} decimal;

#define ONE ((uint64_t)1 << 32) /* 1 in fixed point */

/* What `c` (below 2^24) times 2^q is in the unit 10^k, in fixed point; `unit` as in json_number_units. It is
 * too small by less than 1, or too large by less than 1/16 (of 2^-32). */
static inline uint64_t in_units(uint64_t c, uint64_t unit) {
    return (uint64_t)((unsigned __int128)(c << 36) * unit >> 64);
}

/* Half the distance to the next float32 in the same fixed point, with room for the errors of both: what lies
 * on the very end of the interval that rounds to c * 2^q is inside if c is even, because ties are rounded to
 * even. Nothing else lies so near to an end (tests/exhaustive tries all). */
static inline uint64_t reach_of(uint64_t c, uint64_t unit) {
    return (unit >> 29) + 2 - 4 * (c & 1);
}

/* digits * 10^k */
static decimal fill_nine(uint64_t digits, int k) {
    int x = k + 8;
    for (; digits < 100000000; x--)
        digits *= 10;
    return (decimal){(uint32_t)digits, x};
}

static decimal __attribute__((noinline)) shortest_subnormal(uint32_t c) {
    const uint64_t unit = json_number_units[1].unit; /* the smallest normal numbers are as far apart */
    const uint64_t value = in_units(c, unit), reach = reach_of(c, unit);
    const uint64_t tens = value / (10 * ONE) * 10, ones = value / ONE;
    const int k = json_number_units[1].x - 6;
    if (tens != 0 && value - tens * ONE <= reach)
        return fill_nine(tens, k);
    if ((tens + 10) * ONE - value <= reach)
        return fill_nine(tens + 10, k);
    return fill_nine(ones + (value - ones * ONE + (ones & 1) > ONE / 2), k);
}

/* 2^23 * 2^q, whose interval is only half as wide below as above. */
static decimal __attribute__((noinline)) shortest_power_of_two(uint32_t biased) {
    const json_number_unit u = json_number_units[biased];
    const uint64_t value = in_units(0x800000, u.unit), above = reach_of(0, u.unit),
                   below = reach_of(0, u.unit / 2);
    const uint64_t tens = value / (10 * ONE) * 10, ones = value / ONE;
    const int k = u.x - 6;
    if (value - tens * ONE <= below)
        return fill_nine(tens, k);
    if ((tens + 10) * ONE - value <= above)
        return fill_nine(tens + 10, k);
    const uint64_t rest = value - ones * ONE;
    if (rest <= below && (rest + (ones & 1) <= ONE / 2 || ONE - rest > above))
        return fill_nine(ones, k);
    if (ONE - rest <= above)
        return fill_nine(ones + 1, k);
    /* no such digit inside: one more */
    const uint64_t tenth = rest * 10 / ONE + (rest * 10 % ONE > ONE / 2);
    return fill_nine(ones * 10 + tenth, k - 1);
}

/* The shortest decimal that rounds to the float32 `bits`, which has no sign and is finite, and of those the
 * nearest. */
static inline decimal shortest_decimal(uint32_t bits) {
    static const uint32_t scale[] = {100, 10, 1};
    const uint32_t fraction = bits & 0x7fffff, biased = bits >> 23;
    const json_number_unit u = json_number_units[biased];
    if (bits - 1 < 0x7fffff)
        return shortest_subnormal(fraction);
    if (fraction == 0 && u.uneven)
        return shortest_power_of_two(biased);

    /* The widest grid of which the interval holds a point for sure has units of 10^k: of those inside, the
     * nearest is always one. The interval holds one multiple of ten units at most. If there is one, it is the
     * last one up to the upper end, and it is shorter. */
    const uint64_t value = in_units(fraction | 0x800000, u.unit), reach = reach_of(bits, u.unit);
    const uint64_t end = value + reach;
    const uint32_t tens = (uint32_t)(end >> 32) / 10;
    const uint32_t inside = end - tens * (10 * ONE) <= 2 * reach;
    const uint32_t one = (uint32_t)((value + (value >> 32 & 1) + (ONE / 2 - 1)) >> 32);
    const uint32_t digits = one ^ ((10 * tens ^ one) & -inside);
    const uint32_t more = (uint32_t)(digits >= 10000000) + (uint32_t)(digits >= 100000000);
    return (decimal){digits * scale[more], u.x + (int32_t)more};
}

/* ---- The text ---- */

/* Leaves of two times nine digits the first in n, and spells the other eight: as bytes from 0 to 9, the first
 * of them in the lowest; by three halvings at once (Paul Khuong, "How to print integers really fast", 2017).
 */
#ifdef __SSE2__
static inline void spell_two(uint32_t n[2], uint64_t digits[2]) {
    const uint32_t first = n[0] / 100000000, second = n[1] / 100000000;
    const __m128i both = _mm_set_epi64x(n[1] - 100000000 * second, n[0] - 100000000 * first);
    const __m128i high = _mm_srli_epi64(_mm_mul_epu32(both, _mm_set1_epi64x(3518437209)), 45); /* / 10000 */
    const __m128i low = _mm_sub_epi64(both, _mm_mul_epu32(high, _mm_set1_epi64x(10000)));
    const __m128i fours = _mm_or_si128(high, _mm_slli_epi64(low, 32));
    const __m128i hundreds = _mm_srli_epi16(_mm_mulhi_epu16(fours, _mm_set1_epi16(5243)), 3); /* / 100 */
    const __m128i rests = _mm_sub_epi16(fours, _mm_mullo_epi16(hundreds, _mm_set1_epi16(100)));
    const __m128i twos = _mm_or_si128(hundreds, _mm_slli_epi32(rests, 16));
    const __m128i tens = _mm_mulhi_epu16(twos, _mm_set1_epi16(6554)); /* / 10 */
    const __m128i ones = _mm_sub_epi16(twos, _mm_mullo_epi16(tens, _mm_set1_epi16(10)));
    _mm_storeu_si128((__m128i *)(void *)digits, _mm_or_si128(tens, _mm_slli_epi16(ones, 8)));
    n[0] = first;
    n[1] = second;
}
#else
static inline void spell_two(uint32_t n[2], uint64_t digits[2]) {
    for (int i = 0; i < 2; i++) {
        const uint32_t first = n[i] / 100000000, others = n[i] % 100000000;
        const uint64_t fours = others / 10000 | (uint64_t)(others % 10000) << 32;
        const uint64_t hundreds = fours * 10486 >> 20 & 0x0000007f0000007f;
        const uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
        const uint64_t tens = twos * 103 >> 10 & 0x000f000f000f000f;
        digits[i] = tens | (twos - 10 * tens) << 8;
        n[i] = first;
    }
}
#endif

/* How a number is laid out over "0.00000000000000". */
typedef struct {
    uint8_t first;       /* where its first digit goes, and eight more after it; */
    uint8_t point;       /* where the point is put over them; */
    uint8_t rest, shift; /* where the digits after the point go, the first shift/8 of the eight left out; */
    uint8_t exponent;    /* where the exponent goes; */
    uint8_t length;      /* and how many bytes of all that belong to the number */
} __attribute__((aligned(8))) layout;

/* The shorter of both for n significant digits, of which the first counts 10^x; plain if they are equally
 * long. */
#define DIGITS_AND_POINT(n)     ((n) + ((n) > 1))
#define SCIENTIFIC_LENGTH(x, n) (DIGITS_AND_POINT(n) + 2 + ((x) < 0) + ((x) <= -10 || (x) >= 10))
#define PLAIN_LENGTH(x, n)      ((x) < 0 ? (n) + 1 - (x) : (n) <= (x) + 1 ? (x) + 1 : (n) + 1)
#define PLAIN(x, n)             (PLAIN_LENGTH(x, n) <= SCIENTIFIC_LENGTH(x, n))
#define SMALL(x, n)             (PLAIN(x, n) && (x) < 0)
#define LARGE(x, n)             (PLAIN(x, n) && (x) > 0)
#define BYTE(n)                 ((uint8_t)(n))
#define LAYOUT(x, n)                                                                                         \
    {                                                                                                        \
        .first = BYTE(SMALL(x, n) ? 1 - (x) : 0), .point = BYTE(LARGE(x, n) ? (x) + 1 : 1),                  \
        .rest = BYTE(SMALL(x, n)   ? 2 - (x)                                                                 \
                     : LARGE(x, n) ? (x) + 2                                                                 \
                                   : 2),                                                                     \
        .shift = BYTE(LARGE(x, n) ? ((x) < 8 ? 8 * (x) : 56) : 0),                                           \
        .exponent = BYTE(PLAIN(x, n) ? PLAIN_LENGTH(x, n) : DIGITS_AND_POINT(n)),                            \
        .length = BYTE(PLAIN(x, n) ? PLAIN_LENGTH(x, n) : SCIENTIFIC_LENGTH(x, n))                           \
    }
#define LAYOUTS(x)                                                                                           \
    {                                                                                                        \
        LAYOUT(x, 1), LAYOUT(x, 2), LAYOUT(x, 3), LAYOUT(x, 4), LAYOUT(x, 5), LAYOUT(x, 6), LAYOUT(x, 7),    \
            LAYOUT(x, 8), LAYOUT(x, 9)                                                                       \
    }

#define X_MIN (-45)
static const layout layouts[][9] = {
    LAYOUTS(-45), LAYOUTS(-44), LAYOUTS(-43), LAYOUTS(-42), LAYOUTS(-41), LAYOUTS(-40), LAYOUTS(-39),
    LAYOUTS(-38), LAYOUTS(-37), LAYOUTS(-36), LAYOUTS(-35), LAYOUTS(-34), LAYOUTS(-33), LAYOUTS(-32),
    LAYOUTS(-31), LAYOUTS(-30), LAYOUTS(-29), LAYOUTS(-28), LAYOUTS(-27), LAYOUTS(-26), LAYOUTS(-25),
    LAYOUTS(-24), LAYOUTS(-23), LAYOUTS(-22), LAYOUTS(-21), LAYOUTS(-20), LAYOUTS(-19), LAYOUTS(-18),
    LAYOUTS(-17), LAYOUTS(-16), LAYOUTS(-15), LAYOUTS(-14), LAYOUTS(-13), LAYOUTS(-12), LAYOUTS(-11),
    LAYOUTS(-10), LAYOUTS(-9),  LAYOUTS(-8),  LAYOUTS(-7),  LAYOUTS(-6),  LAYOUTS(-5),  LAYOUTS(-4),
    LAYOUTS(-3),  LAYOUTS(-2),  LAYOUTS(-1),  LAYOUTS(0),   LAYOUTS(1),   LAYOUTS(2),   LAYOUTS(3),
    LAYOUTS(4),   LAYOUTS(5),   LAYOUTS(6),   LAYOUTS(7),   LAYOUTS(8),   LAYOUTS(9),   LAYOUTS(10),
    LAYOUTS(11),  LAYOUTS(12),  LAYOUTS(13),  LAYOUTS(14),  LAYOUTS(15),  LAYOUTS(16),  LAYOUTS(17),
    LAYOUTS(18),  LAYOUTS(19),  LAYOUTS(20),  LAYOUTS(21),  LAYOUTS(22),  LAYOUTS(23),  LAYOUTS(24),
    LAYOUTS(25),  LAYOUTS(26),  LAYOUTS(27),  LAYOUTS(28),  LAYOUTS(29),  LAYOUTS(30),  LAYOUTS(31),
    LAYOUTS(32),  LAYOUTS(33),  LAYOUTS(34),  LAYOUTS(35),  LAYOUTS(36),  LAYOUTS(37),  LAYOUTS(38),
};

static const char exponents[][4] = {
    "e-45", "e-44", "e-43", "e-42", "e-41", "e-40", "e-39", "e-38", "e-37", "e-36", "e-35", "e-34",
    "e-33", "e-32", "e-31", "e-30", "e-29", "e-28", "e-27", "e-26", "e-25", "e-24", "e-23", "e-22",
    "e-21", "e-20", "e-19", "e-18", "e-17", "e-16", "e-15", "e-14", "e-13", "e-12", "e-11", "e-10",
    "e-9",  "e-8",  "e-7",  "e-6",  "e-5",  "e-4",  "e-3",  "e-2",  "e-1",  "e0",   "e1",   "e2",
    "e3",   "e4",   "e5",   "e6",   "e7",   "e8",   "e9",   "e10",  "e11",  "e12",  "e13",  "e14",
    "e15",  "e16",  "e17",  "e18",  "e19",  "e20",  "e21",  "e22",  "e23",  "e24",  "e25",  "e26",
    "e27",  "e28",  "e29",  "e30",  "e31",  "e32",  "e33",  "e34",  "e35",  "e36",  "e37",  "e38",
};

static inline void store_eight(char *out, uint64_t bytes) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    bytes = __builtin_bswap64(bytes);
#endif
    memcpy(out, &bytes, sizeof bytes);
}

/* Writes the digits `first` and `others`; returns the end. Stores up to 21 bytes. */
static inline char *lay_out(char *out, uint32_t first, uint64_t others, int x) {
    /* Zeros at the end, in whole bytes: as seen from the end, a digit's lowest bit is one of the first four
     * of its byte, and the bit that stands for the first digit is one of the last four of the byte before. */
    const uint64_t reversed = __builtin_bswap64(others) | (uint64_t)1 << 63;
    const int zeros = (__builtin_ctzll(reversed) + 4) >> 3;
    const layout *const l = &layouts[x - X_MIN][8 - zeros];
    const uint64_t text = others | 0x3030303030303030;
    memcpy(out, "0.00000000000000", 16);
    out[l->first] = (char)('0' + first);
    store_eight(out + l->first + 1, text);
    out[l->point] = '.';
    store_eight(out + l->rest, text >> l->shift);
    memcpy(out + l->exponent, exponents[x - X_MIN], sizeof exponents[0]);
    return out + l->length;
}

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Writes `values` [n], n up to BLOCK, with a comma after each. */
static inline char *write_block(const float *values, size_t n, char *out) {
    uint32_t nine[BLOCK + 1];
    uint64_t digits[BLOCK + 1];
    int32_t x[BLOCK];
    for (size_t i = 0; i < n; i++) {
        const decimal d = shortest_decimal(bits_of(values[i]) & 0x7fffffff);
        nine[i] = d.nine;
        x[i] = d.x;
    }
    nine[n] = 0;
    for (size_t i = 0; i < n; i += 2)
        spell_two(nine + i, digits + i);
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = bits_of(values[i]);
        *out = '-';
        out = lay_out(out + (bits >> 31), nine[i], digits[i], x[i]);
        if (bits == 0x80000000) { /* -0 would lose its sign on the way through some parsers */
            memcpy(out, ".0", 2);
            out += 2;
        }
        *out++ = ',';
    }
    return out;
}

/* Only 0 and 1, as in masks, and where one must not look? Then that is all to be written. */
static inline bool write_bits(const float *values, char *out) {
    uint32_t others = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        const uint32_t bits = bits_of(values[i]);
        others |= bits & -(uint32_t)(bits != 0x3f800000);
    }
    if (others != 0)
        return false;
    for (size_t i = 0; i < BLOCK; i++) {
        out[2 * i] = (char)('0' + (bits_of(values[i]) >> 29)); /* of 0x3f800000 that is 1 */
        out[2 * i + 1] = ',';
    }
    return true;
}

char *json_write_numbers(const float *values, size_t count, char *text) {
    char *out = text;
    for (size_t begin = 0; begin < count; begin += BLOCK) {
        const size_t n = count - begin < BLOCK ? count - begin : BLOCK;
        if (n == BLOCK && write_bits(values + begin, out))
            out += 2 * BLOCK;
        else
            out = write_block(values + begin, n, out);
    }
    return count == 0 ? out : out - 1;
}

size_t json_write_number(float value, char *text) {
    char room[JSON_NUMBERS_MAX(1)];
    const size_t length = (size_t)(json_write_numbers(&value, 1, room) - room);
    memcpy(text, room, length);
    return length;
}
