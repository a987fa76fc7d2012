// clang-format off
/* request.c: a request from its first line to the last byte of its answer. libmicrohttpd has five callbacks; the stages
 * that a request goes through in them are
 *
 *   callback                stage         when                          what is done
 *   --------------------------------------------------------------------------------------------------------------------
 *   connection_changed      -             a connection is accepted      listener.c: it is watched (connections.c)
 *   http_request_begin      READING_HEAD  the request line has come     memory; its time begins
 *   http_request_serve      READING_HEAD  the headers have come         read_head: admit() says what is wrong with them; a
 *                                                                       body that is not wanted is not waited for
 *                           READING_BODY  a piece of the body has come  read_body: keep it, or refuse it and all that follows
 *                           READING_BODY  its last byte has come        read_end: answer here, or suspend the connection and
 *                                                                       submit a job to the scheduler
 *                           COMPUTING     a worker is done with it      send_answer
 *   http_request_completed  ANSWERED      the answer has been sent, or  log it, count it, free it
 *                                         never will be
 *   connection_changed      -             the connection is closed      listener.c
 *
 * What the library leaves to us of a request: framing that two parties could read in two ways. */
// clang-format on
#include "server/http/request.h"

#include "server/clock.h"
#include "server/http/admission.h"
#include "server/http/answer.h"
#include "server/http/mhd_head.h"
#include "server/http/request_id.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/scheduler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_RESERVE ((size_t)256 * 1024) /* bytes of a body; more only as it comes ... */
#define FIRST_MAX     ((size_t)8 << 20)    /* ... or so many, while memory is plentiful */
#define SMALL_BODY    ((size_t)256 * 1024) /* bytes that take less than a millisecond to read */

/* One request as this file sees it. */
typedef struct {
    http_exchange public; /* first, so that a handler's pointer is ours too */
    request_head head;
    sched_job job;
    http_server *server;
    struct MHD_Connection *mhd;
    connection *connection;
    enum { READING_HEAD, READING_BODY, COMPUTING, ANSWERED } stage;
    bool refused;       /* the answer stands already; the rest of the body is discarded */
    bool closes;        /* the connection ends with the answer */
    bool kept;          /* the client wants the connection to live on */
    bool by_library;    /* it was refused before it got here */
    bool encoded_slash; /* with an encoded slash or NUL; the path that we get is decoded */
    uint64_t began, answered;
    size_t received;            /* bytes of its body, whether they were kept or not */
    char method[16], path[256]; /* for the log, cut */
    char request_id[REQUEST_ID_MAX + 1];
    answer_headers sent;
} request;

/* ---- Answers ---- */

static bool is_abandoned(const http_exchange *x) {
    const connection_peer peer = connection_ask_peer(((const request *)(const void *)x)->connection);
    return peer == PEER_GONE || (peer == PEER_HALF_CLOSED && sched_crowded(x->service->scheduler));
}

/* The bytes of the answer stay ours until the request is completed. */
static enum MHD_Result queue_answer(struct MHD_Connection *mhd, const http_exchange *x,
                                    const answer_ending *ending, answer_headers *list) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(x->answer.length, x->answer.bytes, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_YES;
    answer_list_headers(x, ending, list);
    for (size_t i = 0; i < list->count && result == MHD_YES; i++)
        result = MHD_add_response_header(response, list->headers[i].name, list->headers[i].value);
    if (result == MHD_YES)
        result = MHD_queue_response(mhd, (unsigned)x->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Hands the answer to the library. A client is told how long its connection may rest: one that sends its next
 * request at the moment of the end loses it. */
static enum MHD_Result send_answer(request *r) {
    http_exchange *x = &r->public;
    const answer_ending ending = {
        .request_id = r->request_id,
        .closes = r->closes || x->service->draining || connection_is_extra(r->connection),
        .is_kept = r->kept,
        .idle_seconds = x->service->options.idle_timeout / 1000,
    };
    problem p;
    if (x->status == 0) { /* a handler that could not write its document */
        problem_set(&p, PROBLEM_OUT_OF_MEMORY, "the service could not allocate memory");
        http_answer_problem(x, &p);
    }
    const enum MHD_Result result = queue_answer(r->mhd, x, &ending, &r->sent);
    r->stage = ANSWERED;
    r->answered = clock_now();
    connection_sending(r->connection);
    return result;
}

size_t http_write_late(const void *context, const void *late, char *text, size_t size) {
    const http_server *server = context;
    const request *r = late;
    char id[REQUEST_ID_MAX + 1];
    http_exchange x = {.status = problem_http_status(PROBLEM_UPLOAD_TIMEOUT)};
    const http_exchange *answer = r != NULL && r->refused ? &r->public : &x;
    x.answer = (wire_buffer){.bytes = (char *)(uintptr_t)server->late, .length = strlen(server->late)};
    if (r != NULL) {
        x.header_count = r->public.fixed_headers;
        memcpy(x.headers, r->public.headers, x.header_count * sizeof *x.headers);
    }
    request_id_choose(r == NULL ? NULL : r->request_id, id);
    return answer_write(answer, &(answer_ending){.request_id = id, .closes = true},
                        MHD_get_reason_phrase_for((unsigned)answer->status), text, size);
}

/* Has the path, before its query, an encoded slash or NUL? */
static bool has_encoded_slash(const char *uri) {
    for (; *uri != '\0' && *uri != '?'; uri++)
        if (strncasecmp(uri, "%2f", 3) == 0 || strncmp(uri, "%00", 3) == 0)
            return true;
    return false;
}

/* ---- Its head ---- */

void *http_request_begin(void *context, const char *uri, struct MHD_Connection *mhd) {
    http_server *server = context;
    request *r = calloc(1, sizeof *r);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (r == NULL || info == NULL || info->socket_context == NULL) {
        free(r);
        return NULL;
    }
    http_exchange *x = &r->public;
    x->service = server->service;
    x->arena = attn_arena_new(&server->service->budget);
    x->small = attn_arena_new(NULL);
    x->body.arena = x->arena;
    x->is_abandoned = is_abandoned;
    if (x->arena == NULL || x->small == NULL) {
        attn_arena_free(x->arena);
        attn_arena_free(x->small);
        free(r);
        return NULL;
    }
    r->server = server;
    r->mhd = mhd;
    r->connection = info->socket_context;
    r->began = clock_now();
    r->encoded_slash = has_encoded_slash(uri);
    http_log_path(server->routes, uri, r->path, sizeof r->path);
    connection_begin(r->connection);
    atomic_fetch_add(&server->active, 1);
    return r;
}

/* A body that nobody will read is not kept. */
static bool takes_body(const http_exchange *x) {
    return x->route != NULL && x->route->work != NULL && strcmp(x->route->method, "POST") == 0;
}

/* Bytes that a body gets before any has come. Each time that it grows later it may have to be moved, on the
 * thread that serves everybody; so it gets all of its length, if that is not much and memory is plentiful:
 * what is announced and never sent must not take more than a quarter of the memory for all. */
static size_t first_room(const http_exchange *x) {
    const attn_budget *budget = &x->service->budget;
    const size_t used = atomic_load(&budget->used), quarter = budget->limit / 4;
    const size_t wanted = x->expected_body < FIRST_MAX ? x->expected_body : FIRST_MAX;
    if (!takes_body(x))
        return 0;
    return (used <= quarter && wanted <= quarter - used) || wanted < FIRST_RESERVE ? wanted : FIRST_RESERVE;
}

/* What is wrong with the head; PROBLEM_NONE: the body is waited for. */
static problem_code check_head(request *r, bool complete, problem *p) {
    http_exchange *x = &r->public;
    if (!complete)
        return problem_from_core(p, ATTN_NO_MEMORY, NULL);
    const problem_code code = admit(&r->head, r->server->routes, &x->service->options, x, p);
    if (code == PROBLEM_NONE && !wire_buffer_grow(&x->body, first_room(x)))
        return problem_from_core(p, attn_arena_failure(x->arena), NULL);
    return code;
}

static enum MHD_Result read_head(request *r, const char *url, const char *method, const char *version) {
    http_exchange *x = &r->public;
    request_head *head = &r->head;
    problem p;
    x->snapshot = snapshot_take(&x->service->served);
    const bool complete = http_read_head(r->mhd, x->small, method, url, version, head);
    head->encoded_slash = r->encoded_slash;
    head->extra = connection_is_extra(r->connection);
    r->stage = READING_BODY;
    snprintf(r->method, sizeof r->method, "%s", method);
    r->kept =
        head->http_1_0 ? head_lists(head->connection, "keep-alive") : !head_lists(head->connection, "close");
    request_id_choose(head->request_id, r->request_id);
    const problem_code code = check_head(r, complete, &p);
    connection_identify(r->connection, code == PROBLEM_NONE ? r : NULL, r->request_id);
    if (code == PROBLEM_NONE)
        return MHD_YES;
    r->refused = true;
    r->closes = code == PROBLEM_BAD_REQUEST || code == PROBLEM_UNAVAILABLE;
    http_answer_problem(x, &p);
    /* A body that has not been read is not waited for: the answer goes out now, and the connection ends.
     * Without one the library calls again, and the connection lives on. */
    if (!head->transfer_encoding && head->content_length == NULL)
        return MHD_YES;
    if (connection_end_reading(r->connection))
        connection_linger(r->connection);
    r->closes = true;
    return send_answer(r);
}

/* ---- Its body ---- */

/* Memory for a body is taken as it comes, twice as much each time, but not beyond the length that was
 * announced. */
static bool make_room(http_exchange *x, size_t count) {
    const wire_buffer *body = &x->body;
    if (count <= body->capacity - body->length || x->expected_body <= body->capacity)
        return true;
    const size_t doubled = 2 * (body->length + count);
    return wire_buffer_grow(&x->body, doubled < x->expected_body ? doubled : x->expected_body);
}

/* The library takes no answer in the middle of a body; the rest is read and discarded. A client that is too
 * slow even for that gets this answer instead of 408, which would name the wrong reason. */
static void refuse_body(request *r, const problem *p) {
    http_exchange *x = &r->public;
    connection_identify(r->connection, NULL, r->request_id);
    attn_arena_release(x->arena, x->body.bytes);
    x->body = (wire_buffer){.arena = x->arena};
    http_answer_problem(x, p);
    r->refused = true;
    connection_identify(r->connection, r, r->request_id);
}

static void read_body(request *r, const char *bytes, size_t count) {
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

/* ---- Its steps ---- */

/* From here on the request is the loop's, which may be done with it before this returns. */
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
    if (!x->route->work->prepare(x, job)) {
        resume(r);
        return false;
    }
    job->deadline = x->deadline; /* the body may have lowered it */
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

static const sched_steps job_steps = {prepare_job, compute_jobs, finish_job, expire_job};

/* Suspended before it is submitted: a worker may be done with it before this function returns. */
static enum MHD_Result submit(request *r) {
    http_exchange *x = &r->public;
    problem p;
    r->stage = COMPUTING;
    r->job = (sched_job){.steps = &job_steps,
                         .deadline = x->deadline,
                         /* what has nothing to compute is done in its first step, which may be long */
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

static enum MHD_Result read_end(request *r) {
    http_exchange *x = &r->public;
    if (!connection_end_reading(r->connection))
        return MHD_NO;
    if (r->refused)
        return send_answer(r);
    x->arrived = clock_now();
    x->deadline = x->arrived + x->time_allowed;
    if (x->route->work != NULL && !x->service->ending)
        return submit(r);
    if (x->route->work == NULL) {
        x->route->handle(x);
    } else {
        x->stopped = HTTP_ENDING;
        http_answer_stopped(x);
    }
    return send_answer(r);
}

/* A request for which http_request_begin() had no memory. */
static enum MHD_Result refuse_without_memory(struct MHD_Connection *mhd) {
    http_exchange x = {.status = 0};
    answer_headers sent;
    http_answer_no_memory(&x);
    return queue_answer(mhd, &x, &(answer_ending){.closes = true}, &sent);
}

enum MHD_Result http_request_serve(void *context, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *bytes, size_t *count,
                                   void **state) {
    request *r = *state;
    (void)context;
    if (r == NULL)
        return refuse_without_memory(mhd);
    if (r->stage == READING_HEAD)
        return read_head(r, url, method, version);
    if (*count > 0) {
        r->received += *count;
        read_body(r, bytes, *count);
        *count = 0;
        return MHD_YES;
    }
    return r->stage == COMPUTING ? send_answer(r) : read_end(r);
}

/* ---- Its end ---- */

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

static void log_request(request *r, uint64_t duration, const char *end) {
    const http_exchange *x = &r->public;
    const http_header *logged = &x->logged;
    const bool has = logged->name != NULL;
    char *timings = r->sent.timings;
    if (*timings == '\0') /* else it has been sent */
        answer_write_timings(&x->timings, timings);
    log_line(LOG_INFO, "%s %s %d %.2fms id=%s%s%s%s%s out=%zu%s%s%s", *r->method ? r->method : "-", r->path,
             x->status, (double)duration / 1e6, *r->request_id ? r->request_id : "-", has ? " " : "",
             has ? logged->name : "", has ? "=" : "", has ? logged->value : "", x->answer.length,
             *timings ? " " : "", timings, end);
}

static void count_request(const request *r, uint64_t now) {
    const http_exchange *x = &r->public;
    const http_timings *t = &x->timings;
    const bool has_body = r->stage == ANSWERED && strcmp(r->method, "HEAD") != 0;
    metrics_count(x->service->metrics,
                  &(metrics_request){.route = x->route,
                                     .method = r->method,
                                     .status = x->status,
                                     .refused = x->code,
                                     .duration = now - r->began,
                                     .stages = {[STAGE_PARSE] = t->parse,
                                                [STAGE_QUEUE] = t->queue,
                                                [STAGE_COMPUTE] = t->compute,
                                                [STAGE_ENCODE] = t->encode,
                                                [STAGE_SEND] = r->stage == ANSWERED ? now - r->answered : 0},
                                     .bytes_in = r->received,
                                     .bytes_out = has_body ? x->answer.length : 0,
                                     .batch = t->batch});
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
    if (why == CONNECTION_LATE && !r->refused) {
        r->public.code = PROBLEM_UPLOAD_TIMEOUT; /* as the client was told */
        r->public.status = problem_http_status(r->public.code);
    }
    const uint64_t now = clock_now();
    log_request(r, now - r->began, ending(r, how, why));
    count_request(r, now);
    http_server *server = r->server;
    attn_arena_free(r->public.arena);
    attn_arena_free(r->public.small);
    snapshot_release(r->public.snapshot);
    free(r);
    atomic_fetch_sub(&server->active, 1);
}
