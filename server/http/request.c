/* request.c: a request from its first line to the last byte of its answer.
 *
 * A request that costs time is suspended while a worker has it, and resumed with its answer. What the library
 * leaves to us of a request: framing that two parties could read in two ways. */
#include "server/http/request.h"

#include "server/clock.h"
#include "server/http/admission.h"
#include "server/http/mhd_head.h"
#include "server/http/request_id.h"
#include "server/log.h"
#include "server/log_path.h"
#include "server/wire/json/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_RESERVE ((size_t)256 * 1024) /* bytes of a body; more only as it comes ... */
#define AT_ONCE       ((size_t)8 << 20)    /* ... or so many, if there is memory in plenty */
#define LOOK_EVERY    1000000u             /* nanoseconds, for a client that has left */
#define SMALL_BODY    ((size_t)256 * 1024) /* bytes that take less than a millisecond to read */

/* One request as this file sees it. */
typedef struct {
    http_exchange public; /* first, so that a handler's pointer is ours too */
    sched_job job;
    http_server *server;
    struct MHD_Connection *mhd;
    connection *connection;
    enum { HEADERS, BODY, QUEUED, ANSWERED } stage;
    bool refused;    /* the answer stands already; what still comes of the body is thrown away */
    bool close;      /* after the answer */
    bool kept;       /* the client wants the connection to live on */
    bool by_library; /* it was refused before it got here */
    bool odd_path;   /* with an encoded slash or NUL; the path that we get is decoded */
    uint64_t began;
    char method[16], path[256]; /* for the log, cut */
    char request_id[REQUEST_ID_MAX + 1];
} request;

static request *request_of(http_exchange *x) {
    return (request *)(void *)x;
}

/* ---- Answers ---- */

/* The answer that needs no memory. */
static char no_memory[] = "{\"error\":\"the service could not allocate memory\",\"code\":\"out_of_memory\"}";

void http_answer_problem(http_exchange *x, const problem *p) {
    x->answer = (wire_buffer){.arena = x->small};
    x->media_type = NULL;
    x->answer_header_length = 0;
    x->answer_encoding = ENCODING_IDENTITY;
    *x->result_url = '\0';
    x->status = problem_http_status(p->code);
    if (p->code == PROBLEM_NOT_FOUND && x->show_not_found != NULL ? x->show_not_found(x, p)
                                                                  : json_write_problem(p, &x->answer))
        return;
    x->status = problem_http_status(PROBLEM_OUT_OF_MEMORY);
    x->answer = (wire_buffer){.bytes = no_memory, .length = strlen(no_memory)};
}

/* Asks the system, but not more often than is worth it. */
static bool nobody_waits(http_exchange *x, uint64_t now) {
    if (now < x->next_look)
        return false;
    x->next_look = now + LOOK_EVERY;
    const connection_state state = connection_look(request_of(x)->connection);
    return state == CONNECTION_GONE ||
           (state == CONNECTION_HALF_CLOSED && sched_crowded(x->service->scheduler));
}

bool http_should_stop(http_exchange *x) {
    if (x->stopped != HTTP_GO_ON)
        return true;
    http_stop_reason before = HTTP_GO_ON;
    const uint64_t now = clock_now();
    const http_stop_reason reason = now >= x->deadline     ? HTTP_TOO_LATE
                                    : x->service->ending   ? HTTP_ENDING
                                    : nobody_waits(x, now) ? HTTP_NOBODY_WAITS
                                                           : HTTP_GO_ON;
    if (reason == HTTP_GO_ON)
        return false;
    atomic_compare_exchange_strong(&x->stopped, &before, reason); /* another thread may have been first */
    return true;
}

static const char shutting_down[] = "the service is shutting down and computes no more requests";

void http_answer_stopped(http_exchange *x) {
    problem p;
    if (x->stopped == HTTP_NOBODY_WAITS)
        problem_set(
            &p, PROBLEM_UNAVAILABLE,
            "the client closed its side of the connection before it had its answer, and other requests wait");
    else if (x->stopped == HTTP_ENDING)
        problem_set(&p, PROBLEM_UNAVAILABLE, "%s", shutting_down);
    else
        problem_set(&p, PROBLEM_DEADLINE_EXCEEDED,
                    "the request was not answered within its deadline of %.6g ms (%s)",
                    (double)(x->deadline - x->arrived) / 1e6, x->deadline_of);
    http_answer_problem(x, &p);
}

static bool add_header(struct MHD_Response *response, const char *name, const char *value) {
    return value == NULL || *value == '\0' || MHD_add_response_header(response, name, value) == MHD_YES;
}

/* The headers that not every answer has. */
static bool add_own_headers(struct MHD_Response *response, const http_exchange *x) {
    char header_length[24] = "";
    if (x->answer_header_length > 0)
        snprintf(header_length, sizeof header_length, "%zu", x->answer_header_length);
    for (const http_header *h = x->headers; h != NULL && h->name != NULL; h++)
        if (!add_header(response, h->name, h->value))
            return false;
    return add_header(response, "Inference-Header-Content-Length", header_length) &&
           add_header(response, "ETag", x->etag) && add_header(response, "X-Result-Url", x->result_url) &&
           add_header(response, "Allow", x->allow) && add_header(response, "Server-Timing", x->timing);
}

/* Does the connection end with the answer? If not, the client is told how long it may rest: one that sends
 * its next request at the moment of the end loses it. */
static bool add_connection_headers(struct MHD_Response *response, const request *r) {
    char rest[32] = "";
    const bool close = r->close || r->public.service->draining || connection_is_extra(r->connection);
    if (!close && r->kept)
        snprintf(rest, sizeof rest, "timeout=%zu", r->public.service->options.idle_timeout / 1000);
    return add_header(response, "Connection", close ? "close" : "") &&
           add_header(response, "Keep-Alive", rest);
}

/* Is it worth trying again in a moment? */
static bool is_busy(const http_exchange *x) {
    return x->status == problem_http_status(PROBLEM_QUEUE_FULL) ||
           x->status == problem_http_status(PROBLEM_UNAVAILABLE);
}

/* What kind of body it is; an answer that can have none says nothing. */
static const char *media_type_of(const http_exchange *x) {
    if (x->status == MHD_HTTP_NO_CONTENT || x->status == MHD_HTTP_NOT_MODIFIED)
        return NULL;
    return x->media_type == NULL ? "application/json" : x->media_type;
}

/* Hands the answer to the library. The bytes stay ours until the request is completed. */
static enum MHD_Result send_answer(request *r) {
    http_exchange *x = &r->public;
    problem p;
    if (x->status == 0) { /* a handler that could not write its document */
        problem_set(&p, PROBLEM_OUT_OF_MEMORY, "the service could not allocate memory");
        http_answer_problem(x, &p);
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(x->answer.length, x->answer.bytes, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    if (add_header(response, "Server", "attend-server/" ATTEND_VERSION) &&
        add_header(response, "Content-Type", media_type_of(x)) &&
        add_header(response, "Content-Encoding", encoding_name(x->answer_encoding)) &&
        add_header(response, "Vary", x->route != NULL && x->route->work != NULL ? "Accept-Encoding" : "") &&
        add_header(response, "X-Request-Id", r->request_id) && add_own_headers(response, x) &&
        add_header(response, "Retry-After", is_busy(x) ? "1" : "") && add_connection_headers(response, r))
        result = MHD_queue_response(r->mhd, (unsigned)x->status, response);
    MHD_destroy_response(response);
    r->stage = ANSWERED;
    connection_sending(r->connection);
    return result;
}

/* Has the path, before its query, an encoded slash or NUL? */
static bool is_odd(const char *uri) {
    for (; *uri != '\0' && *uri != '?'; uri++)
        if (strncasecmp(uri, "%2f", 3) == 0 || strncmp(uri, "%00", 3) == 0)
            return true;
    return false;
}

/* ---- The life of a request ---- */

void *http_request_begin(void *context, const char *uri, struct MHD_Connection *mhd) {
    http_server *server = context;
    request *r = calloc(1, sizeof *r);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (r == NULL || info == NULL || info->socket_context == NULL) {
        free(r);
        return NULL;
    }
    r->public.service = server->service;
    r->public.arena = attn_arena_new(&server->service->budget);
    r->public.small = attn_arena_new(NULL);
    r->public.body.arena = r->public.arena;
    if (r->public.arena == NULL || r->public.small == NULL) {
        attn_arena_free(r->public.arena);
        attn_arena_free(r->public.small);
        free(r);
        return NULL;
    }
    r->server = server;
    r->mhd = mhd;
    r->connection = info->socket_context;
    r->began = clock_now();
    r->odd_path = is_odd(uri);
    log_path(uri, r->path, sizeof r->path);
    connection_begin(r->connection);
    atomic_fetch_add(&server->active, 1);
    return r;
}

/* A body that nobody will read is not kept. */
static bool takes_body(const http_exchange *x) {
    return x->route != NULL && x->route->work != NULL && strcmp(x->route->method, "POST") == 0;
}

/* Bytes that a body gets before any has come. Each time that it grows later it may have to be moved, on the
 * thread that serves everybody; so it gets all of its length, if that is not much and there is plenty: what
 * is announced and never sent must not take more than a quarter of the memory for all. */
static size_t first_room(const http_exchange *x) {
    const attn_budget *budget = &x->service->budget;
    const size_t used = atomic_load(&budget->used), most = budget->limit / 4;
    const size_t wanted = x->expected_body < AT_ONCE ? x->expected_body : AT_ONCE;
    if (!takes_body(x))
        return 0;
    return (used <= most && wanted <= most - used) || wanted < FIRST_RESERVE ? wanted : FIRST_RESERVE;
}

static enum MHD_Result take_headers(request *r, const char *url, const char *method, const char *version) {
    http_exchange *x = &r->public;
    request_head head;
    problem p;
    const bool known = http_read_head(r->mhd, x->small, method, url, version, &head);
    head.odd_path = r->odd_path;
    head.extra = connection_is_extra(r->connection);
    r->stage = BODY;
    snprintf(r->method, sizeof r->method, "%s", method);
    r->kept =
        head.http_1_0 ? head_lists(head.connection, "keep-alive") : !head_lists(head.connection, "close");
    request_id_choose(head.request_id, r->request_id);
    connection_name(r->connection, r->request_id);
    if (!known)
        problem_from_core(&p, ATTN_NO_MEMORY, NULL);
    else if (admit(&head, &x->service->options, x, &p) == PROBLEM_NONE) {
        if (wire_buffer_grow(&x->body, first_room(x)))
            return MHD_YES;
        problem_from_core(&p, attn_arena_failure(x->arena), NULL);
    }
    r->refused = true;
    r->close = p.code == PROBLEM_BAD_REQUEST || p.code == PROBLEM_UNAVAILABLE;
    http_answer_problem(x, &p);
    /* A body that has not been read is not waited for: the answer goes out now, and the connection ends.
     * Without one the library calls again, and the connection lives on. */
    if (!head.transfer_encoding && head.content_length == NULL)
        return MHD_YES;
    if (connection_complete(r->connection))
        connection_linger(r->connection);
    r->close = true;
    return send_answer(r);
}

/* Memory for a body is taken as it comes, twice as much each time, but not beyond the length that was
 * announced. */
static bool make_room(http_exchange *x, size_t count) {
    const wire_buffer *body = &x->body;
    if (count <= body->capacity - body->length || x->expected_body <= body->capacity)
        return true;
    const size_t doubled = 2 * (body->length + count);
    return wire_buffer_grow(&x->body, doubled < x->expected_body ? doubled : x->expected_body);
}

/* The library takes no answer in the middle of a body; the rest is read and thrown away. A client that is too
 * slow even for that gets this answer instead of 408, which would name the wrong reason. */
static void refuse_body(request *r, const problem *p) {
    http_exchange *x = &r->public;
    wire_buffer whole = {.arena = x->small};
    char head[512];
    r->refused = true;
    attn_arena_release(x->arena, x->body.bytes);
    x->body = (wire_buffer){.arena = x->arena};
    http_answer_problem(x, p);
    const int length = snprintf(head, sizeof head,
                                "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                                "X-Request-Id: %s\r\n%sConnection: close\r\n\r\n",
                                x->status, MHD_get_reason_phrase_for((unsigned)x->status), x->answer.length,
                                r->request_id, is_busy(x) ? "Retry-After: 1\r\n" : "");
    if (wire_buffer_append(&whole, head, (size_t)length) &&
        wire_buffer_append(&whole, x->answer.bytes, x->answer.length))
        connection_answer(r->connection, whole.bytes, whole.length);
}

static void take_body(request *r, const char *bytes, size_t count) {
    http_exchange *x = &r->public;
    problem p;
    const size_t limit = r->server->service->options.max_body;
    if (r->refused || !takes_body(x))
        return;
    if (count > limit - x->body.length)
        problem_set(&p, PROBLEM_TOO_LARGE, "the body is larger than the %zu bytes that --max-body allows",
                    limit);
    else if (make_room(x, count) && wire_buffer_append(&x->body, bytes, count))
        return;
    else
        problem_from_core(&p, attn_arena_failure(x->arena), NULL);
    refuse_body(r, &p);
}

/* From here on the request is the loop's, which may be through with it before this returns. */
static void resume(request *r) {
    http_loop *loop = r->server->loop;
    MHD_resume_connection(r->mhd);
    http_loop_wake(loop);
}

static request *request_of_job(sched_job *job) {
    return (request *)(void *)((char *)job - offsetof(request, job));
}

static bool prepare_job(sched_job *job) {
    request *r = request_of_job(job);
    http_exchange *x = &r->public;
    if (!x->route->work->prepare(x)) {
        resume(r);
        return false;
    }
    job->deadline = x->deadline; /* the body may have lowered it */
    job->group = x->group;
    job->rows = x->rows;
    job->is_small = x->is_small;
    return true;
}

static void compute_jobs(sched_job *const *jobs, size_t count) {
    http_exchange *xs[SCHED_TOGETHER];
    for (size_t i = 0; i < count; i++)
        xs[i] = &request_of_job(jobs[i])->public;
    xs[0]->route->work->compute(xs, count);
}

static void finish_job(sched_job *job) {
    request *r = request_of_job(job);
    r->public.route->work->finish(&r->public);
    resume(r);
}

static void expire_job(sched_job *job) {
    request *r = request_of_job(job);
    http_answer_stopped(&r->public);
    resume(r);
}

static const sched_steps steps = {prepare_job, compute_jobs, finish_job, expire_job};

/* The last byte has come. */
static enum MHD_Result take_end(request *r) {
    http_exchange *x = &r->public;
    problem p;
    if (!connection_complete(r->connection))
        return MHD_NO;
    if (r->refused)
        return send_answer(r);
    x->arrived = clock_now();
    x->deadline = x->arrived + x->time_allowed;
    if (x->route->work == NULL) {
        x->route->handle(x);
        return send_answer(r);
    }
    if (x->service->ending) {
        problem_set(&p, PROBLEM_UNAVAILABLE, "%s", shutting_down);
        http_answer_problem(x, &p);
        return send_answer(r);
    }
    /* Suspended before it is handed over: a worker may be done with it before this function returns. */
    r->stage = QUEUED;
    r->job = (sched_job){.steps = &steps,
                         .deadline = x->deadline,
                         /* what has nothing to compute is done in its first part, which may be long */
                         .is_small = x->route->work->compute != NULL &&
                                     x->body_encoding == ENCODING_IDENTITY && x->body.length <= SMALL_BODY};
    MHD_suspend_connection(r->mhd);
    if (sched_submit(x->service->scheduler, &r->job))
        return MHD_YES;
    problem_set(&p, PROBLEM_QUEUE_FULL, "--max-queue %zu requests wait already; try again later",
                x->service->options.max_queue);
    http_answer_problem(x, &p);
    resume(r);
    return MHD_YES;
}

/* A request for which http_request_begin() had no memory. */
static enum MHD_Result refuse_without_memory(struct MHD_Connection *mhd) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(no_memory), no_memory, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_NO;
    if (response != NULL && add_header(response, "Content-Type", "application/json") &&
        add_header(response, "Connection", "close"))
        result = MHD_queue_response(mhd, (unsigned)problem_http_status(PROBLEM_OUT_OF_MEMORY), response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result http_request_serve(void *context, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *bytes, size_t *count,
                                   void **state) {
    request *r = *state;
    (void)context;
    if (r == NULL)
        return refuse_without_memory(mhd);
    if (r->stage == HEADERS)
        return take_headers(r, url, method, version);
    if (*count > 0) {
        take_body(r, bytes, *count);
        *count = 0;
        return MHD_YES;
    }
    return r->stage == QUEUED ? send_answer(r) : take_end(r);
}

/* The status of the answer that was queued, 0 if there is none. */
static int queued_status(struct MHD_Connection *mhd) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_HTTP_STATUS);
    return info == NULL ? 0 : (int)info->http_status;
}

/* How it ended, if not well. */
static const char *ending(const request *r, enum MHD_RequestTerminationCode how, connection_end why) {
    if (r->by_library)
        return " (refused by libmicrohttpd)";
    switch (why) {
    case CONNECTION_LATE:
        return " (timed out)";
    case CONNECTION_SLOW:
        return " (the client takes its answer too slowly (--write-timeout))";
    case CONNECTION_CUT:
        return " (cut off: --drain-timeout)";
    case CONNECTION_GOES_ON:
    case CONNECTION_UNNEEDED:
        break;
    }
    return how == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "" : " (the client left)";
}

static void log_request(const request *r, const char *end) {
    const http_exchange *x = &r->public;
    log_line(LOG_INFO, "%s %s %d %.2fms id=%s%s%s out=%zu%s%s%s", *r->method ? r->method : "-", r->path,
             x->status, (double)(clock_now() - r->began) / 1e6, *r->request_id ? r->request_id : "-",
             *x->model ? " model=" : "", x->model, x->answer.length, *x->timing ? " " : "", x->timing, end);
}

void http_request_completed(void *context, struct MHD_Connection *mhd, void **state,
                            enum MHD_RequestTerminationCode how) {
    request *r = *state;
    (void)context;
    if (r == NULL)
        return;
    *state = NULL;
    if (r->public.status == 0) {
        r->public.status = queued_status(mhd);
        r->by_library = r->public.status != 0;
    }
    const connection_end why = connection_idle(r->connection);
    if (why == CONNECTION_LATE && !r->refused)
        r->public.status = problem_http_status(PROBLEM_UPLOAD_TIMEOUT); /* as connections.c told the client */
    log_request(r, ending(r, how, why));
    http_server *server = r->server;
    attn_arena_free(r->public.arena);
    attn_arena_free(r->public.small);
    free(r);
    atomic_fetch_sub(&server->active, 1);
}
