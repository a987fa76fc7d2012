/* json.h: attention requests and answers as JSON (RFC 8259).
 *
 * Tensors are nested arrays, or objects with base64 (base64.c). They are read straight into float32 and
 * written straight from it: no tree. */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "core/arena.h"
#include "server/attend/kept_copy.h"
#include "server/wire/buffer.h"

#include <stdint.h>
#include <time.h>

/* Decodes `length` bytes of JSON into *request, whose strings and tensors live in `arena`. The schema is the
 * table in attend/fields.h; null means absent. Fails with *p filled in (code, sentence, and where it applies
 * the path and the byte offset), with deadline_exceeded if the control (NULL: there is none) says stop. */
problem_code json_read_request(const char *text, size_t length, attn_arena *arena,
                               const attn_control *control, attend_request *request, problem *p);

/* Appends {"model", "id"?, the arrays in their order, "seed"?, "result_url"?, "warnings"?} to `out`. Every
 * number has the fewest digits that read back to the same float32; minus infinity is null. False if memory
 * ran out (out->arena knows why), or if out->control says stop. */
bool json_write_answer(const attend_request *request, const attend_call *call, wire_buffer *out);

/* Appends ,"name":[...] for each array (or an object, in base64), and one object for neighbours with a name
 * before the dot. False as above. */
bool json_write_arrays(wire_buffer *out, const attend_array *arrays, size_t count, bool base64);

/* Appends {"error", "code", "path"?, "offset"?}. False if memory ran out. */
bool json_write_problem(const problem *p, wire_buffer *out);

/* Appends {"model", "created", "expires_in", "query_labels"?, "key_labels"?, "request", "answer",
 * "attn_weights"?}. `request` can be sent again as it stands: it has every field that asks for something,
 * tensors as objects with base64. `answer` is the answer with its tensors in that form, but for attn_weights,
 * which stand beside it whether the answer had them or not. False if memory ran out, or if out->control says
 * stop. */
bool json_write_kept(const kept_result *kept, time_t created, uint64_t seconds_left, wire_buffer *out);

#endif
