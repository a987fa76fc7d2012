/* json_number_powers.h: powers of ten for writing a float32 by Schubfach. */
#ifndef WIRE_JSON_NUMBER_POWERS_H
#define WIRE_JSON_NUMBER_POWERS_H

#include <stdint.h>

#define JSON_NUMBER_POWERS_MIN (-31)
#define JSON_NUMBER_POWERS_MAX 45

/* json_number_powers[k - JSON_NUMBER_POWERS_MIN] = g(k) = floor(10^k / 2^r) + 1, where r = floor(log2(10^k))
 * - 63, so that 2^63 <= g(k) < 2^64 (Giulietti, "The Schubfach way to render doubles", section 9.8.3, with 64
 * bits for float32). tests/server/test_json_number.c computes them again. */
extern const uint64_t json_number_powers[JSON_NUMBER_POWERS_MAX - JSON_NUMBER_POWERS_MIN + 1];

#endif
