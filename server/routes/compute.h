/* compute.h: the steps of an attention request on the workers, the same for every route and wire format. A
 * route brings how its requests are read and its answers written, and is otherwise made of what is here:
 *
 *     static bool prepare(http_exchange *x, sched_job *job) {
 *         return compute_prepare(x, job, read_request, write_answer);
 *     }
 *     const http_work my_work = {prepare, compute_together, compute_finish}; */
#ifndef ROUTES_COMPUTE_H
#define ROUTES_COMPUTE_H

#include "core/attention.h"
#include "server/attend/request.h"
#include "server/http/route.h"

#include <stdint.h>

typedef struct computation computation;

/* Reads the body into c->request, and sets c->keeps_body. Returns the model, or NULL with the answer given.
 */
typedef const attn_model *compute_read(computation *c);

/* Writes c->call to x->answer. False: memory ran out, or the answer's control said stop. */
typedef bool compute_write(computation *c);

/* What is known of a request between its steps, as x->route_data; in its arena. */
struct computation {
    http_exchange *x;
    compute_write *write;
    attn_control control; /* says when the deadline has passed or the client has left */
    attend_request request;
    attend_call call;
    void *query;        /* what the route's http_query left as x->route_data */
    void *route_data;   /* the route's own */
    bool keeps_body;    /* the request has pointers into the body, which is released otherwise */
    size_t together;    /* requests that were computed together, this one included */
    attn_status status; /* of the computing ... */
    attn_error error;   /* ... if it is not ATTN_OK */
    uint64_t began, prepared, started, computed, resumed; /* for the timings */
};

/* A new computation of the exchange, in its arena, as x->route_data. NULL with the answer given. */
computation *compute_new(http_exchange *x);

/* Memory that lives as long. NULL with the answer given. */
void *compute_allocate(http_exchange *x, size_t bytes);

/* http_work's `prepare`: inflates the body if it is compressed, reads it, and checks it against the model. */
bool compute_prepare(http_exchange *x, sched_job *job, compute_read *read, compute_write *write);

/* http_work's `compute`: one pass for all of these requests, which are for the same model. */
void compute_together(http_exchange *const *xs, size_t count);

/* Answers with why the work was stopped, or else with `p`. */
void compute_fail(computation *c, const problem *p);

/* The answer is complete. A client may take long to read it: so all other memory of the request is released,
 * and what the answer's buffer has too much. x->route_data is gone. */
void compute_release(http_exchange *x);

/* http_work's `finish`: keeps the result, if that was asked for, writes the answer, and closes it. */
void compute_finish(http_exchange *x);

/* The answer has been `written` to x->answer (false: memory ran out, or the control said stop): compresses it
 * where the caller takes that, and sets the status. */
void compute_close(computation *c, bool written);

#endif
