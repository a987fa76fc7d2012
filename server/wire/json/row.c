/* row.c: elements of an answer as a JSON array of numbers. */
#include "server/wire/json/number.h"
#include "server/wire/json/writing.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define BLOCK ((size_t)4096) /* elements for which room is made at once */

/* Writes a whole number, of at most 11 bytes, and returns how many they are. */
static size_t write_int(int32_t value, char *text) {
    char digits[10];
    size_t count = 0, length = 0;
    uint32_t left = value < 0 ? 0 - (uint32_t)value : (uint32_t)value;
    do
        digits[count++] = (char)('0' + left % 10);
    while ((left /= 10) != 0);
    if (value < 0)
        text[length++] = '-';
    while (count > 0)
        text[length++] = digits[--count];
    return length;
}

/* The first of `values` [count] that is minus infinity, or count. */
static size_t find_minus_infinity(const float *values, size_t count) {
    size_t i = 0;
    while (i < count && values[i] != -INFINITY)
        i++;
    return i;
}

/* Writes `values` [count], with commas between them, which are finite or minus infinity: JSON has no word for
 * that, and it is null. JSON_NUMBERS_MAX(count) bytes of room. */
static char *write_or_null(const float *values, size_t count, char *at) {
    for (size_t i = 0; i < count;) {
        if (i > 0)
            *at++ = ',';
        const size_t run = find_minus_infinity(values + i, count - i);
        i += run;
        if (run > 0) {
            at = json_write_numbers(values + i - run, run, at);
        } else {
            memcpy(at, "null", 4);
            at += 4;
            i++;
        }
    }
    return at;
}

/* Writes `count` elements from number `first` on, with commas between them. */
static char *write_elements(const attend_array *array, size_t first, size_t count, char *at) {
    if (!array->is_int32) {
        const float *const values = (const float *)array->data + first;
        return array->may_be_minus_infinity ? write_or_null(values, count, at)
                                            : json_write_numbers(values, count, at);
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            *at++ = ',';
        at += write_int(((const int32_t *)array->data)[first + i], at);
    }
    return at;
}

bool json_write_row(wire_buffer *out, const attend_array *array, size_t first, size_t count) {
    const size_t before = out->length;
    size_t done = 0, some;
    do {
        some = count - done < BLOCK ? count - done : BLOCK;
        if (!wire_buffer_reserve(out, 2 + JSON_NUMBERS_MAX(some)))
            return false;
        char *at = out->bytes + out->length;
        *at++ = done == 0 ? '[' : ',';
        at = write_elements(array, first + done, some, at);
        done += some;
        if (done == count)
            *at++ = ']';
        out->length = (size_t)(at - out->bytes);
        if (done == BLOCK && done < count)
            wire_buffer_expect(out, out->length - before, done, count - done, JSON_NUMBERS_MAX(BLOCK));
    } while (done < count);
    return true;
}
