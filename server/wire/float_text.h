/* float_text.h: float32 as decimal text, both ways, exactly. */
#ifndef WIRE_FLOAT_TEXT_H
#define WIRE_FLOAT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define FLOAT_TEXT_MAX 16 /* the longest number is 15 bytes: -1.17549435e-38 */

/* Writes the finite `value` to `text` (FLOAT_TEXT_MAX bytes of room) and returns the number of bytes, without
 * a NUL: the fewest digits that read back to the same float32, of those the nearest to it, plain or with an
 * exponent, whichever has fewer characters (plain on a tie). Whole numbers have no ".0", but negative zero is
 * "-0.0". */
size_t float_text_write(float value, char *text);

typedef enum { FLOAT_TEXT_OK, FLOAT_TEXT_NOT_A_NUMBER, FLOAT_TEXT_TOO_LARGE } float_text_status;

/* Reads a number of the JSON grammar (RFC 8259, section 6) that begins at `text` and ends before `end`, and
 * rounds it once to the nearest float32, ties to even. *next is where the number ends, or, when it is not a
 * number, the first byte that cannot be part of it. FLOAT_TEXT_TOO_LARGE: it is beyond float32. */
float_text_status float_text_read(const char *text, const char *end, float *value, const char **next);

#endif
