/* format.h: the wire formats of attention requests and answers, one table. */
#ifndef WIRE_FORMAT_H
#define WIRE_FORMAT_H

#include "core/arena.h"
#include "server/attend/request.h"
#include "server/problem.h"
#include "server/wire/buffer.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *media_type; /* "application/json" */
    bool borrows;           /* tensors that were read may lie in the bytes of the body */

    /* Decodes `length` bytes into *request (zeroed before), whose strings and tensors live in `arena`, or
     * with `borrows` in the bytes. Fails with *p filled in, with deadline_exceeded if the control says stop.
     * NULL: this format is only written. */
    problem_code (*read)(const char *bytes, size_t length, attn_arena *arena, const attn_control *control,
                         attend_request *request, problem *p);

    /* Appends the answer. False if memory ran out (out->arena knows why), or if out->control says stop. NULL:
     * this format is only read. */
    bool (*write)(const attend_request *request, const attend_call *call, wire_buffer *out);
} wire_format;

#define FORMAT_PNG "image/png" /* its pictures have options of their own (picture/picture.h) */

/* In the order in which ties of an Accept header are broken: JSON, safetensors, PNG. */
extern const wire_format wire_formats[];
extern const size_t wire_format_count;

#endif
