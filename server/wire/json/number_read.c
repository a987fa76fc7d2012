#include "server/wire/json/number.h"
#include "server/wire/json/number_powers.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Three ways to read a number, each for what the one before it leaves: many numbers of the form 0.12345 at
 * once; one number of which enough bytes are there to be looked at together; any number at all. */

/* ---- Rounding ---- */

/* Rounds to a float32 a number of which `d` is within 2^-38 of its size; false if that does not say which
 * one, because halfway between two float32 lies so near. Subnormal numbers have their halfway points at other
 * places; the conversion knows. */
static inline bool round_safely(double d, float *value) {
    if (d > FLT_MAX)
        return false;
    const float low = (float)(d - d * 0x1p-38), high = (float)(d + d * 0x1p-38);
    *value = low;
    return low == high && high <= FLT_MAX;
}

/* ---- Any number ---- */

/* A number as it stands in the text: its digits without sign and point, times 10^exponent. */
typedef struct {
    bool negative;
    const char *first, *last; /* from the first digit to after the last; there may be a point between them */
    int64_t exponent;
    uint64_t mantissa; /* the first 18 or 19 digits, from the first that is not 0; the others, */
    int64_t others;    /* so many, are left out */
} number_text;

static inline bool is_digit(const char *at, const char *end) {
    return at < end && (unsigned char)(*at - '0') < 10;
}

/* Reads digits on to the mantissa; returns the first byte that is not a digit. */
static const char *read_digits(const char *at, const char *end, number_text *n) {
    for (; is_digit(at, end); at++)
        if (n->mantissa < 1000000000000000000)
            n->mantissa = 10 * n->mantissa + (uint64_t)(*at - '0');
        else
            n->others++;
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
static bool split_number(const char *at, const char *end, number_text *n, const char **next) {
    *n = (number_text){.negative = at < end && *at == '-'};
    at += n->negative;
    n->first = *next = at;
    if (!is_digit(at, end))
        return false;
    at = *at == '0' ? at + 1 : read_digits(at, end, n);
    if (at < end && *at == '.') {
        const char *fraction = at + 1;
        at = *next = read_digits(fraction, end, n);
        if (at == fraction)
            return false;
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

/* Rounds by way of a double; false if that might not be the right one. Leaving out digits makes the mantissa
 * too small by less than 10^-17 of it, and the conversion, the power and the product are each off by at most
 * 2^-53. */
static bool read_quickly(const number_text *n, float *value) {
    const int64_t exponent = n->exponent + n->others;
    if (exponent < -JSON_NUMBER_TENS_MAX || exponent > JSON_NUMBER_TENS_MAX)
        return false;
    return round_safely((double)n->mantissa * json_number_tens[exponent + JSON_NUMBER_TENS_MAX], value);
}

static json_number_status read_any(const char *text, const char *end, float *value, const char **next) {
    number_text n;
    float magnitude;
    if (!split_number(text, end, &n, next))
        return JSON_NUMBER_NOT_A_NUMBER;
    if (!read_quickly(&n, &magnitude))
        magnitude = read_exactly(&n);
    *value = n.negative ? -magnitude : magnitude;
    return magnitude <= FLT_MAX ? JSON_NUMBER_OK : JSON_NUMBER_TOO_LARGE;
}

/* ---- One number, with bytes to look ahead at ---- */

#define AHEAD 80 /* bytes that must be there, whether they belong to the number or not */

static inline uint64_t load_eight(const char *at) {
    uint64_t bytes;
    memcpy(&bytes, at, sizeof bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    bytes = __builtin_bswap64(bytes);
#endif
    return bytes;
}

#define EACH(byte) (0x0101010101010101 * (uint64_t)(byte))

/* Which of eight bytes are no digits: bit i for the byte at[i]. What is above 9 after the exclusive or
 * carries into its highest bit, and no further; the multiplication collects these bits. */
static inline uint32_t others_of_eight(const char *at) {
    const uint64_t digits = load_eight(at) ^ EACH('0');
    const uint64_t high = (((digits & EACH(0x7f)) + EACH(0x76)) | digits) & EACH(0x80);
    return (uint32_t)((high >> 7) * 0x0102040810204080 >> 56);
}

/* Which of the 32 bytes from `at` on are no digits. */
static inline uint32_t others_of_window(const char *at) {
    return others_of_eight(at) | others_of_eight(at + 8) << 8 | others_of_eight(at + 16) << 16 |
           others_of_eight(at + 24) << 24;
}

/* The number whose eight decimal digits are bytes from 0 to 9, the first of them in the lowest; by three
 * doublings at once (Daniel Lemire, "Number parsing at a gigabyte per second", 2021, section 5). */
static inline uint32_t number_of_eight(uint64_t digits) {
    const uint64_t twos = digits * 10 + (digits >> 8), each = 0x000000ff000000ff;
    return (uint32_t)(((twos & each) * (100 + (1000000ull << 32)) +
                       (twos >> 16 & each) * (1 + (10000ull << 32))) >>
                      32);
}

/* The first `count` of the eight digits at `at`, with zeros in place of the others. */
static inline double first_digits(const char *at, size_t count) {
    const uint64_t digits = load_eight(at) - EACH('0');
    return number_of_eight(count >= 8 ? digits : digits & (((uint64_t)1 << 8 * count) - 1));
}

/* Reads an exponent of one or two digits that begins at `at`; false if it is not of that form. Without
 * branches: in neighbouring numbers it has nothing in common. */
static inline bool read_short_exponent(const char *at, int *exponent, const char **next) {
    const bool negative = *at == '-';
    at += negative | (*at == '+');
    const unsigned first = (unsigned char)(at[0] - '0'), second = (unsigned char)(at[1] - '0');
    const int two = second < 10;
    const int magnitude = (int)(first + (9 * first + second) * (unsigned)two);
    *exponent = (magnitude ^ -(int)negative) + negative;
    *next = at + 1 + two;
    return (first < 10) & (!two | ((unsigned char)(at[2] - '0') >= 10));
}

/* Reads a number of at most 8 digits before the point and 2 in the exponent, as json_read_number does; *plain
 * says that it has no exponent. False: it is another kind, or none, or too near to halfway between two
 * float32, or too large. */
static inline bool read_one(const char *at, float *value, const char **next, bool *plain) {
    const uint32_t negative = *at == '-';
    at += negative;
    const uint32_t others = others_of_window(at);
    if (others == 0)
        return false;
    const size_t whole = (size_t)__builtin_ctz(others);
    if (whole == 0 || whole > 8 || (whole > 1 && *at == '0'))
        return false;
    double d = whole == 1 ? (uint32_t)(*at - '0')
                          : number_of_eight((load_eight(at) - EACH('0')) << (64 - 8 * whole));
    const char *stop = at + whole;
    if (*stop == '.') {
        const uint32_t after = others & (others - 1);
        const size_t count = after == 0 ? 0 : (size_t)__builtin_ctz(after) - whole - 1;
        if (count == 0)
            return false;
        d += first_digits(stop + 1, count) * 1e-8;
        if (count > 8)
            d += first_digits(stop + 9, count - 8) * 1e-16;
        if (count > 16 && d < 1e-4) /* what is left out must be less than 2^-39 of it */
            return false;
        stop += 1 + count;
    }
    *plain = (*stop | 0x20) != 'e';
    if (!*plain) {
        int exponent;
        if (!read_short_exponent(stop + 1, &exponent, &stop) || exponent < -JSON_NUMBER_TENS_MAX ||
            exponent > JSON_NUMBER_TENS_MAX)
            return false;
        d *= json_number_tens[exponent + JSON_NUMBER_TENS_MAX];
    }
    float magnitude;
    if (!round_safely(d, &magnitude))
        return false;
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    bits |= negative << 31;
    memcpy(value, &bits, sizeof bits);
    *next = stop;
    return true;
}

json_number_status json_read_number(const char *text, const char *end, float *value, const char **next) {
    bool plain;
    if (end - text >= AHEAD && read_one(text, value, next, &plain))
        return JSON_NUMBER_OK;
    return read_any(text, end, value, next);
}

/* ---- Many numbers ---- */

/* A run of numbers, each `step` bytes after the end of the one before, and right after the byte `lead`: 1 and
 * a comma, or 2 and a space. */
typedef struct {
    const char *at;             /* the next number begins here */
    const char *limit;          /* up to here, AHEAD bytes can be looked at */
    float *values, *values_end; /* the next goes to *values */
    size_t step;
    char lead;
} run;

/* Reads whole numbers of one digit, as in masks. */
static inline void read_single_digits(run *r) {
    while (r->at <= r->limit && r->values < r->values_end && r->at[-1] == r->lead &&
           is_digit(r->at, r->at + 1) && r->at[1] == ',') {
        *r->values++ = (float)(*r->at - '0');
        r->at += 1 + r->step;
    }
}

#ifdef __SSE2__
#include "server/wire/json/number_pairs.h"
#else
/* Each number by itself, then. */
static inline void read_fractions(run *r) {
    (void)r;
}
#endif

size_t json_read_numbers(const char **text, const char *end, float *values, size_t room) {
    if (end - *text < AHEAD)
        return 0;
    run r = {.at = *text, .limit = end - AHEAD, .values = values, .values_end = values + room};
    const char *stop = NULL;
    bool plain = false;
    while (r.at <= r.limit && read_one(r.at, r.values, &stop, &plain)) {
        *text = stop;
        r.values++;
        if (*stop != ',' || r.values == r.values_end)
            break;
        r.lead = stop[1] == ' ' ? ' ' : ',';
        r.step = r.lead == ' ' ? 2 : 1;
        r.at = stop + r.step;
        float *const before = r.values;
        if (plain) { /* most numbers are like the one before */
            read_single_digits(&r);
            read_fractions(&r);
        }
        if (r.values > before)
            *text = r.at - r.step;
        if (r.values == r.values_end || r.at[-1] != r.lead)
            break;
    }
    return (size_t)(r.values - values);
}
