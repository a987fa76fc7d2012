/* number.h: float32 as decimal text, both ways, exactly. */
#ifndef WIRE_JSON_NUMBER_H
#define WIRE_JSON_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

#define JSON_NUMBER_MAX 16 /* no number is longer than 14 bytes: -1.1754944e-38 */

/* Writes the finite `value` to `text` (JSON_NUMBER_MAX bytes of room) and returns the number of bytes,
 * without a NUL: the fewest digits that read back to the same float32, of those the nearest to it, plain or
 * with an exponent, whichever has fewer characters (plain on a tie). Whole numbers have no ".0", but negative
 * zero is "-0.0". */
size_t json_write_number(float value, char *text);

/* What json_write_numbers needs: room for each number and a comma, and some more, because it stores whole
 * words. */
#define JSON_NUMBER_SLACK       8
#define JSON_NUMBERS_MAX(count) ((count) * (JSON_NUMBER_MAX + 1) + JSON_NUMBER_SLACK)

/* Writes `values` [count], all finite, like json_write_number, with commas between them, and returns the end
 * of the text. Bytes after it are overwritten: there must be room for JSON_NUMBERS_MAX(count) bytes. Much
 * faster than a number at a time. */
char *json_write_numbers(const float *values, size_t count, char *text);

typedef enum { JSON_NUMBER_OK, JSON_NUMBER_NOT_A_NUMBER, JSON_NUMBER_TOO_LARGE } json_number_status;

/* Reads a number of the JSON grammar (RFC 8259, section 6) that begins at `text` and ends before `end`, and
 * rounds it once to the nearest float32, ties to even. *next is where the number ends, or, when it is not a
 * number, the first byte that cannot be part of it. JSON_NUMBER_TOO_LARGE: it is beyond float32. */
json_number_status json_read_number(const char *text, const char *end, float *value, const char **next);

/* Reads numbers as above, with a comma or a comma and a space between them, the first of which begins at
 * *text, to `values`, at most `room` (not 0) of them. Stops where anything else comes, and a little before
 * `end`. Returns how many it read; if any, *text is right after the last, whatever comes there. 0 does not
 * mean that there is no number. Much faster than a number at a time. */
size_t json_read_numbers(const char **text, const char *end, float *values, size_t room);

#endif
