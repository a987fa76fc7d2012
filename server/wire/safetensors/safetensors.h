/* safetensors.h: attention requests and answers in the safetensors format (huggingface/safetensors, README,
 * "Format"): 8 bytes with the length N of the header, little-endian; N bytes of JSON; the data of all
 * tensors, without holes and overlaps, to the end.
 *
 * Tensors have the names of the fields. What else a request or an answer has stands in __metadata__, whose
 * values are strings: `model`, `id` and `encoding` as they are, everything else as its JSON text. */
#ifndef WIRE_SAFETENSORS_H
#define WIRE_SAFETENSORS_H

#include "core/arena.h"
#include "server/attend/request.h"
#include "server/problem.h"
#include "server/wire/buffer.h"

#include <stdbool.h>
#include <stddef.h>

#define SAFETENSORS_HEADER_MAX ((size_t)1 << 20) /* bytes; those of requests have some hundred */

/* Decodes `length` bytes into *request (zeroed before). F32 tensors that are aligned stay where they are, so
 * `bytes` must live as long as the request; everything else lives in `arena`. Fails with *p filled in, with
 * deadline_exceeded if the control (NULL: there is none) says stop. */
problem_code safetensors_read_request(const char *bytes, size_t length, attn_arena *arena,
                                      const attn_control *control, attend_request *request, problem *p);

/* Appends the answer: F32 and I32 tensors, which begin at a multiple of 64 bytes. False if memory ran out
 * (out->arena knows why), or if out->control says stop. */
bool safetensors_write_answer(const attend_request *request, const attend_call *call, wire_buffer *out);

#endif
