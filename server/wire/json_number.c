#include "server/wire/json_number.h"

#include "server/wire/json_number_powers.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Writing: Raffaello Giulietti, "The Schubfach way to render doubles" (2020), for float32 ---- */

/* digits * 10^exponent */
typedef struct {
    uint32_t digits;
    int exponent;
} decimal;

/* floor(log2(10^k)) for |k| <= 1233, by a fixed-point logarithm. */
static int floor_log2_pow10(int k) {
    return (k * 1741647) >> 19;
}

/* floor(log10(2^q)), or floor(log10(3/4 * 2^q)): the exponent of the widest decimal grid that is still finer
 * than the interval which rounds to c * 2^q; that interval is narrower below a power of two. */
static int grid_exponent(int q, bool narrow) {
    return (q * 1262611 - (narrow ? 524031 : 0)) >> 22;
}

/* g * c / 2^64, rounded to odd: the lowest bit also says whether anything was cut off, so that comparisons of
 * such values come out as those of the exact ones. `g` is too large by less than 1, which adds at most 1 to
 * the 32 bits that are tested. */
static uint32_t multiply_round_to_odd(uint64_t g, uint32_t c) {
    const unsigned __int128 product = (unsigned __int128)g * c;
    const uint32_t high = (uint32_t)(product >> 64);
    const uint32_t low = (uint32_t)((uint64_t)product >> 32);
    return high | (low > 1);
}

/* The shortest decimal inside the interval that rounds to the positive finite float32 `bits`, of those the
 * nearest to it. It may end in zeros. */
static decimal shortest_decimal(uint32_t bits) {
    const uint32_t fraction = bits & 0x7fffff;
    const int biased = (int)(bits >> 23);
    const uint32_t c = biased == 0 ? fraction : fraction | 0x800000;
    const int q = biased == 0 ? -149 : biased - 150; /* the value is c * 2^q */
    const bool narrow = fraction == 0 && biased > 1; /* the float32 below is only half as far away */

    /* Everything in quarters of 2^q, then in quarters of 10^k: the value and the ends of its interval. The
     * ends belong to it if c is even, because ties are rounded to even. */
    const int k = grid_exponent(q, narrow);
    const int shift = q + floor_log2_pow10(-k) + 1;
    const uint64_t g = json_number_powers[-k - JSON_NUMBER_POWERS_MIN];
    const uint32_t value = multiply_round_to_odd(g, (4 * c) << shift);
    const uint32_t open = c & 1;
    const uint32_t lower = multiply_round_to_odd(g, (4 * c - (narrow ? 1 : 2)) << shift) + open;
    const uint32_t upper = multiply_round_to_odd(g, (4 * c + 2) << shift) - open;

    /* At most one multiple of 10^(k+1) is inside: then no other decimal is as short. */
    const uint32_t s = value / 4;
    if (s >= 10) {
        const uint32_t tens = s / 10;
        const bool below_inside = lower <= 40 * tens;
        const bool above_inside = 40 * tens + 40 <= upper;
        if (below_inside != above_inside)
            return (decimal){tens + above_inside, k + 1};
    }
    const bool below_inside = lower <= 4 * s;
    const bool above_inside = 4 * s + 4 <= upper;
    if (below_inside != above_inside)
        return (decimal){s + above_inside, k};
    const uint32_t middle = 4 * s + 2;
    return (decimal){s + (value > middle || (value == middle && (s & 1) != 0)), k};
}

/* One digit before the point, exponent x. */
static char *write_scientific(char *out, const char *digits, int count, int x) {
    *out++ = digits[0];
    if (count > 1) {
        *out++ = '.';
        memcpy(out, digits + 1, (size_t)(count - 1));
        out += count - 1;
    }
    *out++ = 'e';
    if (x < 0) {
        *out++ = '-';
        x = -x;
    }
    if (x >= 10)
        *out++ = (char)('0' + x / 10);
    *out++ = (char)('0' + x % 10);
    return out;
}

static char *write_plain(char *out, const char *digits, int count, int x) {
    const int whole = x + 1; /* digits before the point */
    if (whole <= 0) {
        *out++ = '0';
        *out++ = '.';
        memset(out, '0', (size_t)-whole);
        memcpy(out - whole, digits, (size_t)count);
        return out - whole + count;
    }
    if (count <= whole) {
        memcpy(out, digits, (size_t)count);
        memset(out + count, '0', (size_t)(whole - count));
        return out + whole;
    }
    memcpy(out, digits, (size_t)whole);
    out[whole] = '.';
    memcpy(out + whole + 1, digits + whole, (size_t)(count - whole));
    return out + count + 1;
}

static char *write_decimal(char *out, decimal d) {
    char room[10]; /* a uint32_t has no more digits */
    char *digits = room + sizeof room;
    while (d.digits % 10 == 0) {
        d.digits /= 10;
        d.exponent++;
    }
    for (; d.digits != 0; d.digits /= 10)
        *--digits = (char)('0' + d.digits % 10);
    const int count = (int)(room + sizeof room - digits);
    const int x = d.exponent + count - 1;

    const int scientific_length = count + (count > 1) + 1 + (x < 0) + (x >= 10 || x <= -10 ? 2 : 1);
    const int plain_length = x < 0 ? count + 1 - x : count <= x + 1 ? x + 1 : count + 1;
    return scientific_length < plain_length ? write_scientific(out, digits, count, x)
                                            : write_plain(out, digits, count, x);
}

size_t json_write_number(float value, char *text) {
    uint32_t bits;
    char *out = text;
    memcpy(&bits, &value, sizeof bits);
    const bool negative = bits >> 31 != 0;
    bits &= 0x7fffffff;
    if (negative)
        *out++ = '-';
    if (bits != 0)
        return (size_t)(write_decimal(out, shortest_decimal(bits)) - text);
    *out++ = '0';
    if (negative) {
        *out++ = '.';
        *out++ = '0';
    }
    return (size_t)(out - text);
}

/* ---- Reading ---- */

/* A number as it stands in the text: its digits without sign and point, times 10^exponent. */
typedef struct {
    bool negative;
    const char *first, *last; /* from the first digit to after the last; there may be a point between them */
    size_t count;             /* of these digits */
    uint64_t mantissa;        /* they as a number, modulo 2^64 */
    int64_t exponent;
} number_text;

#define MANTISSA_DIGITS 19 /* always fit into 64 bits */

static inline bool is_digit(const char *at, const char *end) {
    return at < end && (unsigned char)(*at - '0') < 10;
}

/* Reads digits on to *mantissa; returns the first byte that is not a digit. */
static inline const char *read_digits(const char *at, const char *end, uint64_t *mantissa) {
    uint64_t m = *mantissa;
    while (is_digit(at, end))
        m = 10 * m + (uint64_t)(*at++ - '0');
    *mantissa = m;
    return at;
}

/* Reads what follows the 'e', and adds it to *exponent; *next as in json_read_number. The number stops
 * growing at 10^15: far from where an int64_t ends, and more than the digits of any text in memory make up
 * for. */
static bool read_exponent(const char *at, const char *end, int64_t *exponent, const char **next) {
    const bool negative = at < end && *at == '-';
    int64_t magnitude = 0;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    const char *first = at;
    for (; is_digit(at, end); at++)
        if (magnitude < 1000000000000000)
            magnitude = 10 * magnitude + (*at - '0');
    *exponent += negative ? -magnitude : magnitude;
    *next = at;
    return at > first;
}

/* Takes a number apart by the grammar; false if it is none. *next as in json_read_number. */
static inline bool split_number(const char *at, const char *end, number_text *n, const char **next) {
    n->negative = at < end && *at == '-';
    at += n->negative;
    n->first = *next = at;
    n->mantissa = 0;
    n->exponent = 0;
    if (!is_digit(at, end))
        return false;
    at = *at == '0' ? at + 1 : read_digits(at, end, &n->mantissa);
    n->count = (size_t)(at - n->first);
    if (at < end && *at == '.') {
        const char *fraction = at + 1;
        at = *next = read_digits(fraction, end, &n->mantissa);
        if (at == fraction)
            return false;
        n->count += (size_t)(at - fraction);
        n->exponent = -(int64_t)(at - fraction);
    }
    n->last = *next = at;
    if (at < end && (*at == 'e' || *at == 'E'))
        return read_exponent(at + 1, end, &n->exponent, next);
    return true;
}

/* Beyond so many significant digits only it matters whether any other is not 0. A point halfway between two
 * float32 is a multiple of 2^-150 below 2^-125, or c * 2^(q-1) with c < 2^25 above: written out, none has
 * more than 113 significant digits. So if a number is cut after 128 digits, no halfway point lies between
 * what is left and the next decimal of 128 digits, and one digit '1' in place of all that was cut rounds
 * alike. */
#define EXACT_DIGITS 128

/* Exact, for numbers of any length: strtof rounds correctly, given a NUL-terminated copy of the digits. The
 * copy has no point, so that the locale (the service never calls setlocale) could not change its meaning. */
static float read_exactly(const number_text *n) {
    char copy[EXACT_DIGITS + 1 + sizeof "e-2147483648"];
    size_t kept = 0;
    int64_t cut = 0;
    bool sticky = false;
    for (const char *at = n->first; at < n->last; at++) {
        if (*at == '.' || (kept == 0 && *at == '0'))
            continue;
        if (kept < EXACT_DIGITS) {
            copy[kept++] = *at;
        } else {
            cut++;
            sticky |= *at != '0';
        }
    }
    if (kept == 0)
        return 0;
    int64_t exponent = n->exponent + cut;
    if (sticky) {
        copy[kept++] = '1';
        exponent--;
    }
    /* The number is at least 10^(magnitude-1), and less than 10^magnitude; float32 rounds to 0 from 7e-46
     * down, and ends at 3.4e38. */
    const int64_t magnitude = exponent + (int64_t)kept;
    if (magnitude < -45)
        return 0;
    if (magnitude > 39)
        return HUGE_VALF;
    snprintf(copy + kept, sizeof copy - kept, "e%d", (int)exponent);
    return strtof(copy, NULL);
}

#define POWER_MAX 22 /* up to here a double holds 10^k exactly */
static const double powers[POWER_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                             1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                             1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Rounds mantissa * 10^exponent to a float32 by way of a double; false if that might not be the right one.
 *
 * The double comes from at most three operations (conversion, two multiplications or divisions), each with a
 * relative error of at most 2^-53: together less than 4 units in its last place. So it is only the double's
 * rounding that counts, unless it lies that close to halfway between two float32: that is, unless the 29 bits
 * that float32 does not have are 2^28, give or take 4. Subnormal numbers have their halfway points elsewhere.
 */
static inline bool read_quickly(uint64_t mantissa, int64_t exponent, float *value) {
    *value = 0;
    if (mantissa == 0)
        return true;
    if (exponent < -2 * POWER_MAX || exponent > 2 * POWER_MAX)
        return false;
    double d = (double)mantissa;
    if (exponent < 0) {
        if (exponent < -POWER_MAX) {
            d /= powers[POWER_MAX];
            exponent += POWER_MAX;
        }
        d /= powers[-exponent];
    } else {
        if (exponent > POWER_MAX) {
            d *= powers[POWER_MAX];
            exponent -= POWER_MAX;
        }
        d *= powers[exponent];
    }
    if (!(d >= FLT_MIN && d <= FLT_MAX))
        return false;
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    const uint32_t below = bits & 0x1fffffff;
    *value = (float)d;
    return below - (0x10000000 - 4) > 8;
}

json_number_status json_read_number(const char *text, const char *end, float *value, const char **next) {
    number_text n;
    float magnitude;
    if (!split_number(text, end, &n, next))
        return JSON_NUMBER_NOT_A_NUMBER;
    if (n.count > MANTISSA_DIGITS || !read_quickly(n.mantissa, n.exponent, &magnitude))
        magnitude = read_exactly(&n);
    *value = n.negative ? -magnitude : magnitude;
    return magnitude <= FLT_MAX ? JSON_NUMBER_OK : JSON_NUMBER_TOO_LARGE;
}
