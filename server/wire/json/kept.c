/* kept.c: a kept result as JSON. */
#include "server/attend/fields.h"
#include "server/wire/json/json.h"
#include "server/wire/json/writing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- The request ---- */

static bool write_fields(wire_buffer *out, const field_table *table, const void *object);

static bool write_numbers(wire_buffer *out, const request_wholes *list) {
    bool written = wire_append_text(out, "[");
    for (size_t i = 0; written && i < list->count; i++)
        written = wire_append_format(out, "%s%zu", i == 0 ? "" : ",", list->items[i]);
    return written && wire_append_text(out, "]");
}

static bool write_words(wire_buffer *out, const field *f, unsigned set) {
    bool written = wire_append_text(out, "["), first = true;
    for (size_t i = 0; written && field_word(f, i) != NULL; i++) {
        if ((set >> i & 1) == 0)
            continue;
        written = wire_append_format(out, "%s\"%s\"", first ? "" : ",", field_word(f, i));
        first = false;
    }
    return written && wire_append_text(out, "]");
}

static bool write_labels(wire_buffer *out, const request_labels *labels) {
    const char *text = labels->text;
    bool written = wire_append_text(out, "[");
    for (size_t i = 0; written && i < labels->count; i++, text += strlen(text) + 1)
        written = (i == 0 || wire_append_text(out, ",")) && json_write_string(out, text);
    return written && wire_append_text(out, "]");
}

/* Is there anything to write of this field? A switch that is off says something too. */
static bool is_there(const field *f, const void *object) {
    const void *member = (const char *)object + f->offset;
    return f->type == FIELD_SWITCH ? *(const request_switch *)member != SWITCH_ABSENT
                                   : field_asked(f, object);
}

static bool write_value(wire_buffer *out, const field *f, const void *member) {
    switch (f->type) {
    case FIELD_STRING:
        return json_write_string(out, *(char *const *)member);
    case FIELD_BOOL:
        return wire_append_text(out, "true");
    case FIELD_SWITCH:
        return wire_append_text(out, *(const request_switch *)member == SWITCH_ON ? "true" : "false");
    case FIELD_WHOLE:
        return wire_append_format(out, "%" PRIu64, ((const request_whole *)member)->value);
    case FIELD_WHOLES:
    case FIELD_PAIR:
        return write_numbers(out, member);
    case FIELD_WORD:
        return wire_append_format(out, "\"%s\"", field_word(f, *(const size_t *)member - 1));
    case FIELD_WORDS:
        return write_words(out, f, *(const unsigned *)member);
    case FIELD_LABELS:
        return write_labels(out, member);
    case FIELD_VIEW:
        return wire_append_text(out, "{") && write_fields(out, &view_fields, member) &&
               wire_append_text(out, "}");
    case FIELD_TENSOR:
    case FIELD_MASK:
        break;
    }
    return json_write_base64_request(out, member);
}

/* Appends "name":value for each field that is there, with commas between them. */
static bool write_fields(wire_buffer *out, const field_table *table, const void *object) {
    bool first = true;
    for (size_t i = 0; i < table->count; i++) {
        const field *f = &table->fields[i];
        if (!is_there(f, object))
            continue;
        if (!wire_append_format(out, "%s\"%s\":", first ? "" : ",", f->name) ||
            !write_value(out, f, (const char *)object + f->offset))
            return false;
        first = false;
    }
    return true;
}

/* The model has its name there, whether the body or the path said it, or neither; and the seed is there if
 * one was drawn. */
static bool write_request(wire_buffer *out, const kept_result *kept) {
    attend_request request = kept->request;
    char name[sizeof kept->model.name];
    memcpy(name, kept->model.name, sizeof name);
    request.model = name;
    if (kept->call.input.training)
        request.seed = (request_whole){true, kept->call.input.seed};
    return wire_append_text(out, ",\"request\":{") && write_fields(out, &request_fields, &request) &&
           wire_append_text(out, "}");
}

/* ---- The answer ---- */

/* Also appends attn_weights, behind it. */
static bool write_answer(wire_buffer *out, const kept_result *kept) {
    attend_request request = kept->request;
    attend_call call = kept->call;
    size_t count;
    const attend_array *weights = kept_weights(&kept->call, &count);
    call.array_count = 0;
    for (size_t i = 0; i < kept->call.array_count; i++) {
        const attend_array *array = &kept->call.arrays[i];
        if (array < weights || array >= weights + count)
            call.arrays[call.array_count++] = *array;
    }
    request.encoding = 1 + TENSORS_AS_BASE64;
    return wire_append_text(out, ",\"answer\":") && json_write_answer(&request, &call, out) &&
           json_write_arrays(out, weights, count, true);
}

bool json_write_kept(const kept_result *kept, time_t created, uint64_t seconds_left, wire_buffer *out) {
    const attend_request *request = &kept->request;
    char date[32];
    struct tm utc;
    gmtime_r(&created, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return wire_append_text(out, "{\"model\":") && json_write_string(out, kept->model.name) &&
           wire_append_format(out, ",\"created\":\"%s\",\"expires_in\":%" PRIu64, date, seconds_left) &&
           (!request->query_labels.present ||
            (wire_append_text(out, ",\"query_labels\":") && write_labels(out, &request->query_labels))) &&
           (!request->key_labels.present ||
            (wire_append_text(out, ",\"key_labels\":") && write_labels(out, &request->key_labels))) &&
           write_request(out, kept) && write_answer(out, kept) && wire_append_text(out, "}");
}
