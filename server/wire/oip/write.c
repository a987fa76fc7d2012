#include "server/wire/json/writing.h"
#include "server/wire/oip/oip.h"

#include <stdio.h>
#include <string.h>

/* ---- Which arrays are sent, and how ---- */

/* Does the name ask for this array: by its whole name, or by the part before its dot? */
static bool asks_for(const char *name, const char *array) {
    const size_t length = strlen(name);
    return strncmp(array, name, length) == 0 && (array[length] == '\0' || array[length] == '.');
}

static size_t size_of(const attend_array *array) {
    return shape_count(array->shape, array->rank) * sizeof(float); /* of an int32_t too */
}

typedef struct {
    const attend_array *array;
    bool binary;
} sent_output;

/* Lists the outputs in the order in which they were asked for. */
static size_t list_outputs(const attend_call *call, const oip_options *options,
                           sent_output list[ATTEND_ARRAYS_MAX]) {
    size_t count = 0;
    if (options->asked_count == 0) {
        for (; count < call->array_count; count++)
            list[count] = (sent_output){&call->arrays[count], options->binary_output};
        return count;
    }
    for (size_t i = 0; i < options->asked_count; i++) {
        const request_switch asked = options->asked[i].binary;
        const bool binary = asked == SWITCH_ABSENT ? options->binary_output : asked == SWITCH_ON;
        for (size_t j = 0; j < call->array_count; j++)
            if (asks_for(options->asked[i].output->name, call->arrays[j].name))
                list[count++] = (sent_output){&call->arrays[j], binary};
    }
    return count;
}

/* ---- JSON ---- */

/* Appends one of "outputs". */
static bool append_output(wire_buffer *out, const sent_output *output) {
    const attend_array *const array = output->array;
    if (!wire_append_format(out, "{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":%s", array->name,
                            array->is_int32 ? "INT32" : "FP32", shape_show(array->shape, array->rank).text))
        return false;
    if (output->binary
            ? !wire_append_format(out, ",\"parameters\":{\"binary_data_size\":%zu}", size_of(array))
            : !wire_append_text(out, ",\"data\":") ||
                  !json_write_row(out, array, 0, shape_count(array->shape, array->rank)))
        return false;
    return wire_append_text(out, "}");
}

/* Appends ,"parameters":{...} with what belongs to no output: the seed, and the warnings, one a line, since a
 * parameter cannot be a list. */
static bool append_parameters(wire_buffer *out, const attend_call *call) {
    char lines[ATTEND_WARNINGS_MAX * 400] = "";
    const bool seed = call->input.training, warnings = call->warning_count > 0;
    if (!seed && !warnings)
        return true;
    if (!wire_append_text(out, ",\"parameters\":{") ||
        (seed && !wire_append_format(out, "\"seed\":%llu", (unsigned long long)call->input.seed)))
        return false;
    for (size_t i = 0, n = 0; i < call->warning_count && n < sizeof lines; i++)
        n += (size_t)snprintf(lines + n, sizeof lines - n, "%s%s", i == 0 ? "" : "\n", call->warnings[i]);
    if (warnings &&
        (!wire_append_format(out, "%s\"warnings\":", seed ? "," : "") || !json_write_string(out, lines)))
        return false;
    return wire_append_text(out, "}");
}

bool oip_write_answer(const attend_request *request, const attend_call *call, const oip_options *options,
                      wire_buffer *out, size_t *json_length) {
    sent_output outputs[ATTEND_ARRAYS_MAX];
    const size_t count = list_outputs(call, options, outputs);
    bool binary = false;
    *json_length = 0;
    if (!wire_append_format(out, "{\"model_name\":\"%s\",\"model_version\":\"1\"", call->model->name))
        return false;
    if (request->id != NULL && (!wire_append_text(out, ",\"id\":") || !json_write_string(out, request->id)))
        return false;
    if (!append_parameters(out, call) || !wire_append_text(out, ",\"outputs\":["))
        return false;
    for (size_t i = 0; i < count; i++)
        if ((i > 0 && !wire_append_text(out, ",")) || !append_output(out, &outputs[i]))
            return false;
    if (!wire_append_text(out, "]}"))
        return false;
    const size_t end = out->length;
    for (size_t i = 0; i < count; i++) {
        if (!outputs[i].binary)
            continue;
        binary = true;
        if (!wire_append_data(out, outputs[i].array->data, size_of(outputs[i].array)))
            return false;
    }
    *json_length = binary ? end : 0;
    return true;
}
