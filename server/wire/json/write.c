#include "server/wire/json/json.h"
#include "server/wire/json/number.h"
#include "server/wire/json/writing.h"

#include <stdio.h>
#include <string.h>

/* Appends the first row; what the others will take is then known well enough to make room for all of them. */
static bool append_first_row(wire_buffer *out, const attend_array *array, size_t count) {
    const size_t before = out->length, all = shape_count(array->shape, array->rank);
    if (!json_write_row(out, array, 0, count))
        return false;
    if (count < all)
        wire_buffer_expect(out, out->length - before + 1, count, all - count, JSON_NUMBERS_MAX(count));
    return true;
}

/* Appends the elements from *next on, in the dimensions from `axis` on, as a nested array, and moves *next
 * past them. It ends at the first empty dimension. Calls itself once for each dimension, of which there are
 * at most SHAPE_MAX_RANK. */
static bool append_tensor(wire_buffer *out, const attend_array *array, size_t axis, size_t *next) {
    const size_t length = array->shape[axis];
    if (axis + 1 == array->rank) {
        const size_t first = *next;
        *next += length;
        return first == 0 ? append_first_row(out, array, length) : json_write_row(out, array, first, length);
    }
    if (!wire_append_text(out, "["))
        return false;
    for (size_t i = 0; i < length; i++)
        if ((i > 0 && !wire_append_text(out, ",")) || !append_tensor(out, array, axis + 1, next))
            return false;
    return wire_append_text(out, "]");
}

/* The length of the name of the object that an array is a member of, 0 if of none. */
static size_t object_name(const char *name) {
    const char *dot = strchr(name, '.');
    return dot == NULL ? 0 : (size_t)(dot - name);
}

bool json_write_arrays(wire_buffer *out, const attend_array *arrays, size_t count, bool base64) {
    size_t open = 0; /* length of the name of the object that is open */
    for (size_t i = 0; i < count; i++) {
        const char *name = arrays[i].name;
        const size_t object = object_name(name);
        const bool goes_on = open > 0 && open == object && memcmp(arrays[i - 1].name, name, object) == 0;
        size_t next = 0;
        if (open > 0 && !goes_on && !wire_append_text(out, "}"))
            return false;
        if (object > 0 && !goes_on &&
            (!wire_append_text(out, ",\"") || !wire_buffer_append(out, name, object) ||
             !wire_append_text(out, "\":{")))
            return false;
        if (!wire_append_text(out, object > 0 && !goes_on ? "\"" : ",\"") ||
            !wire_append_text(out, object > 0 ? name + object + 1 : name) || !wire_append_text(out, "\":") ||
            !(base64 ? json_write_base64(out, &arrays[i]) : append_tensor(out, &arrays[i], 0, &next)))
            return false;
        open = object;
    }
    return open == 0 || wire_append_text(out, "}");
}

static bool append_seed(wire_buffer *out, const attend_call *call) {
    char text[40];
    snprintf(text, sizeof text, ",\"seed\":%llu", (unsigned long long)call->input.seed);
    return !call->input.training || wire_append_text(out, text);
}

static bool append_result_url(wire_buffer *out, const attend_call *call) {
    return *call->result_url == '\0' ||
           (wire_append_text(out, ",\"result_url\":") && json_write_string(out, call->result_url));
}

static bool append_warnings(wire_buffer *out, const attend_call *call) {
    for (size_t i = 0; i < call->warning_count; i++)
        if (!wire_append_text(out, i == 0 ? ",\"warnings\":[" : ",") ||
            !json_write_string(out, call->warnings[i]))
            return false;
    return call->warning_count == 0 || wire_append_text(out, "]");
}

bool json_write_answer(const attend_request *request, const attend_call *call, wire_buffer *out) {
    if (!wire_append_text(out, "{\"model\":") || !json_write_string(out, call->model->name))
        return false;
    if (request->id != NULL && (!wire_append_text(out, ",\"id\":") || !json_write_string(out, request->id)))
        return false;
    const bool base64 = request->encoding == 1 + TENSORS_AS_BASE64;
    return json_write_arrays(out, call->arrays, call->array_count, base64) && append_seed(out, call) &&
           append_result_url(out, call) && append_warnings(out, call) && wire_append_text(out, "}");
}

bool json_write_problem(const problem *p, wire_buffer *out) {
    char offset[32];
    if (!wire_append_text(out, "{\"error\":") || !json_write_string(out, p->text) ||
        !wire_append_text(out, ",\"code\":") || !json_write_string(out, problem_name(p->code)))
        return false;
    if (p->path[0] != '\0' && (!wire_append_text(out, ",\"path\":") || !json_write_string(out, p->path)))
        return false;
    snprintf(offset, sizeof offset, ",\"offset\":%zu", p->offset);
    return (!p->has_offset || wire_append_text(out, offset)) && wire_append_text(out, "}");
}
