/* json_number.h: float32 as decimal text, both ways, exactly. */
#ifndef WIRE_JSON_NUMBER_H
#define WIRE_JSON_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

#define JSON_NUMBER_MAX 16 /* the longest number is 15 bytes: -1.17549435e-38 */

/* Writes the finite `value` to `text` (JSON_NUMBER_MAX bytes of room) and returns the number of bytes,
 * without a NUL: the fewest digits that read back to the same float32, of those the nearest to it, plain or
 * with an exponent, whichever has fewer characters (plain on a tie). Whole numbers have no ".0", but negative
 * zero is
 * "-0.0". */
size_t json_write_number(float value, char *text);

typedef enum { JSON_NUMBER_OK, JSON_NUMBER_NOT_A_NUMBER, JSON_NUMBER_TOO_LARGE } json_number_status;

/* Reads a number of the JSON grammar (RFC 8259, section 6) that begins at `text` and ends before `end`, and
 * rounds it once to the nearest float32, ties to even. *next is where the number ends, or, when it is not a
 * number, the first byte that cannot be part of it. JSON_NUMBER_TOO_LARGE: it is beyond float32. */
json_number_status json_read_number(const char *text, const char *end, float *value, const char **next);

#endif
