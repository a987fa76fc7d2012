/* row.h: elements of an answer as a JSON array of numbers. */
#ifndef WIRE_JSON_ROW_H
#define WIRE_JSON_ROW_H

#include "server/attend/request.h"
#include "server/wire/buffer.h"

#include <stdbool.h>
#include <stddef.h>

/* Appends `count` elements from number `first` on as an array, which may be as long as all of the answer.
 * Minus infinity, for which JSON has no word, is null. False if memory ran out, or if out->control says stop.
 */
bool json_write_row(wire_buffer *out, const attend_array *array, size_t first, size_t count);

#endif
