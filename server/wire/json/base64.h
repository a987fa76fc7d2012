/* base64.h: a tensor as {"shape":[2,10,512],"dtype":"float32","data":"<base64, little-endian>"}. */
#ifndef WIRE_JSON_BASE64_H
#define WIRE_JSON_BASE64_H

#include "server/attend/fields.h"
#include "server/attend/request.h"
#include "server/wire/buffer.h"
#include "server/wire/json/lexer.h"

/* Reads the object that begins here into *t (zeroed by the caller), its data from the
 * reader's arena. `f` is a FIELD_TENSOR or FIELD_MASK. Fails with the code, sentence, path and offset filled
 * in; the data then stay in the arena. */
problem_code json_read_base64(json_reader *r, const field *f, request_tensor *t);

/* Appends such an object, of float32 or int32. False if memory ran out, or if out->control says stop. */
bool json_write_base64(wire_buffer *out, const attend_array *array);

/* The same of a tensor of a request, whose shape is complete: float32, or bool. */
bool json_write_base64_request(wire_buffer *out, const request_tensor *t);

#endif
