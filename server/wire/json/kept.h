/* kept.h: a kept result as JSON. */
#ifndef WIRE_JSON_KEPT_H
#define WIRE_JSON_KEPT_H

#include "server/attend/kept.h"
#include "server/wire/buffer.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Appends {"model", "created", "expires_in", "query_labels"?, "key_labels"?, "request", "answer",
 * "attn_weights"?}. `request` can be sent again as it stands: it has every field that asks for something,
 * tensors as objects with base64. `answer` is the answer with its tensors in that form, but for attn_weights,
 * which stand beside it whether the answer had them or not. False if memory ran out, or if out->control says
 * stop. */
bool json_write_kept(const kept_result *kept, time_t created, uint64_t seconds_left, wire_buffer *out);

#endif
