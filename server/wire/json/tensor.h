/* tensor.h: nested arrays of numbers or booleans, read straight into float32; objects with base64 are
 * passed on to json/base64.h. */
#ifndef WIRE_JSON_TENSOR_H
#define WIRE_JSON_TENSOR_H

#include "server/attend/fields.h"
#include "server/attend/request.h"
#include "server/wire/json/lexer.h"

/* Reads the tensor that begins here into *t (zeroed by the caller), its data from the
 * reader's arena. `f` is a FIELD_TENSOR or FIELD_MASK. Fails with the code, sentence, path and offset filled
 * in; the data then stay in the arena. */
problem_code json_read_tensor(json_reader *r, const field *f, request_tensor *t);

#endif
