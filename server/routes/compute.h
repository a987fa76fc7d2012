/* compute.h: the way of one attention request through a worker, the same for every route and wire format:
 *
 *     if (compute_begin(&c, x) && ...read into c.request... && compute_run(&c, model))
 *         compute_end(&c, ...write to x->answer...);
 *
 * A function that returns false has answered the request with what is wrong. */
#ifndef ROUTES_COMPUTE_H
#define ROUTES_COMPUTE_H

#include "core/attention.h"
#include "server/http.h"
#include "server/request.h"

#include <stdint.h>

typedef struct {
    http_exchange *x;
    attn_control control; /* says when the deadline has passed or the client has left */
    attend_request request;
    attend_call call;
    uint64_t began, parsed, computed; /* for Server-Timing */
} computation;

/* Begins: inflates the body, if it is compressed. */
bool compute_begin(computation *c, http_exchange *x);

/* The model called `name`, or the default for NULL. NULL with the answer given: 404, with `path` as the place
 * where the name stood. */
const attn_model *compute_model(computation *c, const char *name, const char *path);

/* Checks the request against the model, and computes it. The body is released before, unless `keeps_body`. */
bool compute_run(computation *c, const attn_model *model, bool keeps_body);

/* The answer has been `written` to x->answer (false: memory ran out, or the control said stop): compresses it
 * where the caller takes that, and sets the status and Server-Timing. */
void compute_end(computation *c, bool written);

#endif
