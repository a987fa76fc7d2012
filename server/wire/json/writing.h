/* writing.h: the parts of an answer in JSON, each by the file that writes it. All append to `out`; false if
 * memory ran out, or if out->control says stop. */
#ifndef WIRE_JSON_WRITING_H
#define WIRE_JSON_WRITING_H

#include "server/attend/request.h"
#include "server/wire/buffer.h"

/* string.c: UTF-8 as a JSON string, with the escapes that RFC 8259, section 7, asks for and no others. */
bool json_write_string(wire_buffer *out, const char *text);

/* row.c: `count` elements from number `first` on as an array, which may be as long as all of the answer.
 * Minus infinity, for which JSON has no word, is null. */
bool json_write_row(wire_buffer *out, const attend_array *array, size_t first, size_t count);

/* base64.c: an array of float32 or int32 as an object with base64. */
bool json_write_base64(wire_buffer *out, const attend_array *array);

/* base64.c: the same of a tensor of a request, whose shape is complete: float32, or bool. */
bool json_write_base64_request(wire_buffer *out, const request_tensor *t);

#endif
