#include "server/wire/append.h"
#include "server/wire/json/number.h"
#include "server/wire/json/string.h"
#include "server/wire/oip/oip.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BLOCK ((size_t)4096) /* elements of JSON for which room is made at once */

static bool append_text(wire_buffer *out, const char *text) {
    return wire_buffer_append(out, text, strlen(text));
}

/* For short pieces. */
static bool __attribute__((format(printf, 2, 3))) append(wire_buffer *out, const char *format, ...) {
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return append_text(out, text);
}

/* ---- Which results are sent, and how ---- */

/* Does the name ask for this result: by its whole name, or by the part before its dot? */
static bool asks_for(const char *name, const char *result) {
    const size_t length = strlen(name);
    return strncmp(result, name, length) == 0 && (result[length] == '\0' || result[length] == '.');
}

static size_t size_of(const attend_result *result) {
    size_t bytes = sizeof(float); /* of an int32_t too */
    for (size_t i = 0; i < result->rank; i++)
        bytes *= result->shape[i]; /* cannot overflow: they were allocated */
    return bytes;
}

typedef struct {
    const attend_result *result;
    bool binary;
} sent_output;

/* Lists the outputs in the order in which they were asked for. */
static size_t list_outputs(const attend_call *call, const oip_options *options,
                           sent_output list[ATTEND_RESULTS_MAX]) {
    size_t count = 0;
    if (options->asked_count == 0) {
        for (; count < call->result_count; count++)
            list[count] = (sent_output){&call->results[count], options->binary_output};
        return count;
    }
    for (size_t i = 0; i < options->asked_count; i++) {
        const request_switch asked = options->asked[i].binary;
        const bool binary = asked == SWITCH_ABSENT ? options->binary_output : asked == SWITCH_ON;
        for (size_t j = 0; j < call->result_count; j++)
            if (asks_for(options->asked[i].output->name, call->results[j].name))
                list[count++] = (sent_output){&call->results[j], binary};
    }
    return count;
}

/* ---- JSON ---- */

/* Writes `count` elements from number `first` on, with commas between them, and returns the end of the text.
 * The protocol's JSON has no word for minus infinity either: it is null, as in POST /attend. */
static char *write_elements(const attend_result *result, size_t first, size_t count, char *at) {
    const float *const values = (const float *)result->data + first;
    if (!result->is_int32 && !result->may_be_minus_infinity)
        return json_write_numbers(values, count, at);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            *at++ = ',';
        if (result->is_int32)
            at += snprintf(at, JSON_NUMBER_MAX, "%d", ((const int32_t *)result->data)[first + i]);
        else if (values[i] == -INFINITY)
            at = stpcpy(at, "null");
        else
            at += json_write_number(values[i], at);
    }
    return at;
}

/* Appends ,"data":[...]: all elements in one list. */
static bool append_data(wire_buffer *out, const attend_result *result) {
    const size_t count = size_of(result) / sizeof(float);
    if (!append_text(out, ",\"data\":["))
        return false;
    for (size_t first = 0; first < count; first += BLOCK) {
        const size_t some = count - first < BLOCK ? count - first : BLOCK;
        if (!wire_buffer_reserve(out, 1 + JSON_NUMBERS_MAX(some)))
            return false;
        char *at = out->bytes + out->length;
        if (first > 0)
            *at++ = ',';
        at = write_elements(result, first, some, at);
        const size_t before = out->length;
        out->length = (size_t)(at - out->bytes);
        if (first == 0 && some < count)
            wire_buffer_expect(out, out->length - before, some, count - some, JSON_NUMBERS_MAX(BLOCK));
    }
    return append_text(out, "]");
}

/* Appends one of "outputs". */
static bool append_output(wire_buffer *out, const sent_output *output) {
    const attend_result *const result = output->result;
    if (!append(out, "{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[", result->name,
                result->is_int32 ? "INT32" : "FP32"))
        return false;
    for (size_t i = 0; i < result->rank; i++)
        if (!append(out, "%s%zu", i == 0 ? "" : ",", result->shape[i]))
            return false;
    if (!append_text(out, "]"))
        return false;
    if (output->binary ? !append(out, ",\"parameters\":{\"binary_data_size\":%zu}", size_of(result))
                       : !append_data(out, result))
        return false;
    return append_text(out, "}");
}

/* Appends ,"parameters":{...} with what belongs to no output: the seed, and the warnings, one a line, since a
 * parameter cannot be a list. */
static bool append_parameters(wire_buffer *out, const attend_call *call) {
    char lines[ATTEND_WARNINGS_MAX * 400] = "";
    const bool seed = call->input.training, warnings = call->warning_count > 0;
    if (!seed && !warnings)
        return true;
    if (!append_text(out, ",\"parameters\":{") ||
        (seed && !append(out, "\"seed\":%llu", (unsigned long long)call->input.seed)))
        return false;
    for (size_t i = 0, n = 0; i < call->warning_count && n < sizeof lines; i++)
        n += (size_t)snprintf(lines + n, sizeof lines - n, "%s%s", i == 0 ? "" : "\n", call->warnings[i]);
    if (warnings && (!append(out, "%s\"warnings\":", seed ? "," : "") || !json_write_string(out, lines)))
        return false;
    return append_text(out, "}");
}

bool oip_write_answer(const attend_request *request, const attend_call *call, const oip_options *options,
                      wire_buffer *out, size_t *json_length) {
    sent_output outputs[ATTEND_RESULTS_MAX];
    const size_t count = list_outputs(call, options, outputs);
    bool binary = false;
    *json_length = 0;
    if (!append(out, "{\"model_name\":\"%s\",\"model_version\":\"1\"", call->model->name))
        return false;
    if (request->id != NULL && (!append_text(out, ",\"id\":") || !json_write_string(out, request->id)))
        return false;
    if (!append_parameters(out, call) || !append_text(out, ",\"outputs\":["))
        return false;
    for (size_t i = 0; i < count; i++)
        if ((i > 0 && !append_text(out, ",")) || !append_output(out, &outputs[i]))
            return false;
    if (!append_text(out, "]}"))
        return false;
    const size_t end = out->length;
    for (size_t i = 0; i < count; i++) {
        if (!outputs[i].binary)
            continue;
        binary = true;
        if (!wire_append_data(out, outputs[i].result->data, size_of(outputs[i].result)))
            return false;
    }
    *json_length = binary ? end : 0;
    return true;
}
