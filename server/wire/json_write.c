#include "core/size.h"
#include "server/wire/json.h"
#include "server/wire/json_number.h"

#include <stdio.h>
#include <string.h>

static bool append_text(wire_buffer *out, const char *text) {
    return wire_buffer_append(out, text, strlen(text));
}

/* Appends UTF-8 as a JSON string, with the escapes that RFC 8259, section 7, asks for and no others. */
static bool append_string(wire_buffer *out, const char *text) {
    static const char escaped[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    if (!append_text(out, "\""))
        return false;
    for (; *text != '\0'; text++) {
        char escape[8];
        const char *name = strchr(escaped, *text);
        size_t length = 1;
        if (name != NULL)
            length = (size_t)snprintf(escape, sizeof escape, "\\%c", names[name - escaped]);
        else if ((unsigned char)*text < 0x20)
            length = (size_t)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            escape[0] = *text;
        if (!wire_buffer_append(out, escape, length))
            return false;
    }
    return append_text(out, "\"");
}

/* Appends `data` [count] as an array. */
static bool append_row(wire_buffer *out, const float *data, size_t count) {
    size_t bytes;
    if (!attn_multiply(count, JSON_NUMBER_MAX + 1, &bytes) || !attn_add(bytes, 2, &bytes) ||
        !wire_buffer_reserve(out, bytes))
        return false;
    char *at = out->bytes + out->length;
    *at++ = '[';
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            *at++ = ',';
        at += json_write_number(data[i], at);
    }
    *at++ = ']';
    out->length = (size_t)(at - out->bytes);
    return true;
}

/* Appends *data, of `rank` dimensions, as a nested array, and moves *data past it. It ends at the first empty
 * dimension. Calls itself once for each dimension, of which there are at most REQUEST_MAX_RANK. */
static bool append_tensor(wire_buffer *out, const size_t *shape, size_t rank, const float **data) {
    if (rank == 1) {
        const float *row = *data;
        *data += shape[0];
        return append_row(out, row, shape[0]);
    }
    if (!append_text(out, "["))
        return false;
    for (size_t i = 0; i < shape[0]; i++)
        if ((i > 0 && !append_text(out, ",")) || !append_tensor(out, shape + 1, rank - 1, data))
            return false;
    return append_text(out, "]");
}

/* Appends ,"name":[...]; the first dimension, B, is left out of a result that is not batched. */
static bool append_result(wire_buffer *out, const char *name, const float *data, const size_t *shape,
                          size_t rank, bool batched) {
    const size_t left_out = batched ? 0 : 1;
    return append_text(out, ",\"") && append_text(out, name) && append_text(out, "\":") &&
           append_tensor(out, shape + left_out, rank - left_out, &data);
}

/* attn_weights: [B,H,L,S], or [B,L,S] if they are averaged. */
static bool append_weights(wire_buffer *out, const attend_call *call) {
    const attn_input *input = &call->input;
    const size_t averaged[] = {input->B, input->L, input->S};
    const size_t per_head[] = {input->B, call->model->layer.config.num_heads, input->L, input->S};
    return append_result(out, "attn_weights", call->output.weights,
                         call->output.average ? averaged : per_head, call->output.average ? 3 : 4,
                         call->batched);
}

static bool append_warnings(wire_buffer *out, const attend_call *call) {
    for (size_t i = 0; i < call->warning_count; i++)
        if (!append_text(out, i == 0 ? ",\"warnings\":[" : ",") || !append_string(out, call->warnings[i]))
            return false;
    return call->warning_count == 0 || append_text(out, "]");
}

bool json_write_answer(const attend_request *request, const attend_call *call, wire_buffer *out) {
    const size_t shape[] = {call->input.B, call->input.L, call->model->layer.config.embed_dim};
    if (!append_text(out, "{\"model\":") || !append_string(out, call->model->name))
        return false;
    if (request->id != NULL && (!append_text(out, ",\"id\":") || !append_string(out, request->id)))
        return false;
    if (!append_result(out, "output", call->output.output, shape, 3, call->batched))
        return false;
    if (call->output.weights != NULL && !append_weights(out, call))
        return false;
    return append_warnings(out, call) && append_text(out, "}");
}

bool json_write_problem(const problem *p, wire_buffer *out) {
    char offset[32];
    if (!append_text(out, "{\"error\":") || !append_string(out, p->text) || !append_text(out, ",\"code\":") ||
        !append_string(out, problem_name(p->code)))
        return false;
    if (p->path[0] != '\0' && (!append_text(out, ",\"path\":") || !append_string(out, p->path)))
        return false;
    snprintf(offset, sizeof offset, ",\"offset\":%zu", p->offset);
    return (!p->has_offset || append_text(out, offset)) && append_text(out, "}");
}
