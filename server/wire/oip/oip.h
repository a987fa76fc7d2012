/* oip.h: attention requests and answers in the Open Inference Protocol, version 2 (KServe's "V2"), with its
 * extension for binary tensors (Triton's "binary_tensor_data").
 *
 * A request is JSON, {"id"?, "parameters"?, "inputs": [...], "outputs"?: [...]}, and behind it, if a header
 * says where it ends, the raw little-endian elements of those inputs that have a binary_data_size, in their
 * order. An answer looks the same way. */
#ifndef WIRE_OIP_H
#define WIRE_OIP_H

#include "core/arena.h"
#include "server/attend/outputs.h"
#include "server/attend/request.h"
#include "server/problem.h"
#include "server/wire/buffer.h"

#include <stdbool.h>
#include <stddef.h>

#define OIP_LENGTH_HEADER "Inference-Header-Content-Length"

typedef struct {
    const char *bytes;
    size_t length;
    bool has_json_length; /* does the header say where the JSON ends? Else all of it is JSON */
    size_t json_length;
} oip_body;

/* An output that is asked for by its name. */
typedef struct {
    const attend_output *output;
    size_t whole; /* its index in attend_outputs, or that of the output it is a member of */
    request_switch binary;
} oip_asked;

/* What a request says that is not in an attend_request. */
typedef struct {
    request_whole timeout;              /* microseconds; 0 is none */
    bool binary_output;                 /* outputs are binary, unless they say otherwise themselves */
    bool borrows;                       /* tensors that were read lie in the bytes of the body */
    oip_asked asked[ATTEND_ARRAYS_MAX]; /* in the order of the request; none: all arrays are sent */
    size_t asked_count;
} oip_options;

/* Decodes a request; both structures are zeroed before. Strings and tensors live in `arena`, or with
 * options->borrows in the body. Fails with *p filled in (code, sentence, and where it applies the path and
 * the byte offset in the body), with deadline_exceeded if the control (NULL: there is none) says stop. */
problem_code oip_read_request(const oip_body *body, attn_arena *arena, const attn_control *control,
                              attend_request *request, oip_options *options, problem *p);

/* Appends the answer: the outputs that were asked for. *json_length is where its JSON ends, or 0 if no output
 * is binary. Minus infinity in JSON is null. False if memory ran out (out->arena knows why), or if
 * out->control says stop. */
bool oip_write_answer(const attend_request *request, const attend_call *call, const oip_options *options,
                      wire_buffer *out, size_t *json_length);

#endif
