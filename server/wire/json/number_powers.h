/* number_powers.h: powers of two and ten, for reading and writing a float32. */
#ifndef WIRE_JSON_NUMBER_POWERS_H
#define WIRE_JSON_NUMBER_POWERS_H

#include <stdint.h>

/* floor(log10(2^q)) for |q| <= 1700, by a fixed-point logarithm. */
static inline int json_number_log10(int q) {
    return (q * 1262611) >> 22;
}

/* For each biased exponent of a finite float32, in whose binade the numbers are 2^q apart (q = biased - 150):
 * `unit` is floor(2^q / 10^k * 2^60) + 1, where k = floor(log10(2^q)), so that 2^60 < unit < 2^64 (cf. g in
 * Giulietti, "The Schubfach way to render doubles", section 9.8.3); `x` is k + 6, the exponent of the first
 * of seven digits in that unit; `uneven` says whether it may matter for the power of two itself that the
 * float32 below it is only half as far away as the one above. The first row is all 0: it serves for the
 * number 0 only. tests/server/wire/json/test_number.c computes them again. */
typedef struct {
    uint64_t unit;
    int32_t x;
    int32_t uneven;
} json_number_unit;

extern const json_number_unit json_number_units[255];

/* 10^k as a double, the nearest. */
#define JSON_NUMBER_TENS_MAX 64
extern const double json_number_tens[2 * JSON_NUMBER_TENS_MAX + 1]; /* [k + JSON_NUMBER_TENS_MAX] */

#endif
