#include "core/size.h"
#include "server/wire/json/writing.h"
#include "server/wire/safetensors/safetensors.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LENGTH_BYTES ((size_t)8)
#define ALIGNMENT    ((size_t)64) /* of the data, from the first byte of the answer: a cache line */

/* Appends ,"key":"value" */
static bool append_member(wire_buffer *out, const char *key, const char *value) {
    return wire_append_text(out, ",\"") && wire_append_text(out, key) && wire_append_text(out, "\":") &&
           json_write_string(out, value);
}

/* Appends the warnings as the text of a JSON list. */
static bool append_warnings(wire_buffer *out, const attend_call *call) {
    wire_buffer text = {.arena = out->arena};
    bool written = wire_append_text(&text, "[");
    for (size_t i = 0; written && i < call->warning_count; i++)
        written = (i == 0 || wire_append_text(&text, ",")) && json_write_string(&text, call->warnings[i]);
    written = written && wire_buffer_append(&text, "]", sizeof "]") /* with its NUL */ &&
              append_member(out, "warnings", text.bytes);
    attn_arena_release(out->arena, text.bytes);
    return written;
}

static bool append_metadata(const attend_request *request, const attend_call *call, wire_buffer *out) {
    char seed[32];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)call->input.seed);
    return wire_append_text(out, "{\"__metadata__\":{\"model\":") &&
           json_write_string(out, call->model->name) &&
           (request->id == NULL || append_member(out, "id", request->id)) &&
           (!call->input.training || append_member(out, "seed", seed)) &&
           (*call->result_url == '\0' || append_member(out, "result_url", call->result_url)) &&
           (call->warning_count == 0 || append_warnings(out, call)) && wire_append_text(out, "}");
}

static size_t result_bytes(const attend_array *array) {
    return shape_count(array->shape, array->rank) * sizeof(float); /* of an int32_t too */
}

/* Appends ,"name":{...} for each array; *end is how many bytes of data they have. */
static bool append_entries(const attend_call *call, wire_buffer *out, size_t *end) {
    char entry[SHAPE_MAX_RANK * 22 + 128];
    *end = 0;
    for (size_t i = 0; i < call->array_count; i++) {
        const attend_array *const array = &call->arrays[i];
        const size_t begin = *end;
        if (!attn_add(begin, result_bytes(array), end))
            return false;
        snprintf(entry, sizeof entry, "\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                 array->is_int32 ? "I32" : "F32", shape_show(array->shape, array->rank).text, begin, *end);
        if (!wire_append_text(out, ",\"") || !wire_append_text(out, array->name) ||
            !wire_append_text(out, entry))
            return false;
    }
    return wire_append_text(out, "}");
}

/* Ends the header, which begins at `start`, with spaces up to where the data begin, and fills in its length.
 */
static bool finish_header(wire_buffer *out, size_t start) {
    static const char spaces[ALIGNMENT + 1] =
        "                                                                ";
    const size_t over = (out->length - start) % ALIGNMENT;
    if (over != 0 && !wire_buffer_append(out, spaces, ALIGNMENT - over))
        return false;
    uint64_t length = out->length - start - LENGTH_BYTES;
    for (size_t i = 0; i < LENGTH_BYTES; i++, length >>= 8)
        out->bytes[start + i] = (char)(length & 0xff);
    return true;
}

bool safetensors_write_answer(const attend_request *request, const attend_call *call, wire_buffer *out) {
    const size_t start = out->length;
    size_t data;
    if (!wire_buffer_append(out, "\0\0\0\0\0\0\0", LENGTH_BYTES) || !append_metadata(request, call, out) ||
        !append_entries(call, out, &data) || !finish_header(out, start) || !wire_buffer_reserve(out, data))
        return false;
    for (size_t i = 0; i < call->array_count; i++)
        if (!wire_append_data(out, call->arrays[i].data, result_bytes(&call->arrays[i])))
            return false;
    return true;
}
