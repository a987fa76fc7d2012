/* attend.c: POST /attend. One request walks through here from its bytes to its answer, on a worker. */
#include "core/kernels/matmul.h"
#include "server/clock.h"
#include "server/request.h"
#include "server/routes/routes.h"
#include "server/wire/json.h"

#include <stdio.h>
#include <string.h>

/* The model that the path and the body ask for, or NULL with the answer given. */
static const attn_model *choose_model(http_exchange *x, const attend_request *request) {
    const attn_registry *registry = &x->service->registry;
    const char *name = x->argument != NULL ? x->argument : request->model;
    problem p;
    if (x->argument != NULL && request->model != NULL && strcmp(x->argument, request->model) != 0) {
        problem_set(&p, PROBLEM_BAD_VALUE, "model is '%.80s', but the path says '%.80s'; expected the same",
                    request->model, x->argument);
        problem_at(&p, "model");
        http_answer_problem(x, &p);
        return NULL;
    }
    if (name == NULL)
        return &registry->models[0];
    const attn_model *model = attn_registry_find(registry, name);
    if (model == NULL)
        answer_no_model(x, name, x->argument != NULL ? "" : "model");
    return model;
}

static bool should_stop(void *context) {
    return http_should_stop(context);
}

static problem_code compute(http_exchange *x, const attend_call *call, const attn_control *control,
                            problem *p) {
    attn_error error;
    const attn_status status =
        attn_forward(&call->model->layer, &call->input, &call->output, x->arena, control, &error);
    if (status == ATTN_CANCELLED)
        *p = x->stopped;
    else
        problem_from_core(p, status, &error);
    return p->code;
}

/* Writes the answer. A deadline that passes meanwhile counts too. */
static problem_code encode(http_exchange *x, const attend_request *request, const attend_call *call,
                           const attn_control *control, problem *p) {
    x->answer = (wire_buffer){.arena = x->arena, .control = control};
    const bool written = json_write_answer(request, call, &x->answer);
    x->answer.control = NULL;
    if (http_should_stop(x))
        *p = x->stopped;
    else
        problem_from_core(p, written ? ATTN_OK : attn_arena_failure(x->arena), NULL);
    return p->code;
}

static double milliseconds(uint64_t from, uint64_t to) {
    return (double)(to - from) / 1e6;
}

/* From the bytes of the body to a request that fits its model; false with the answer given. */
static bool decode(http_exchange *x, attend_request *request, attend_call *call) {
    problem p;
    if (json_read_request(x->body.bytes, x->body.length, x->arena, request, &p) != PROBLEM_NONE) {
        http_answer_problem(x, &p);
        return false;
    }
    attn_arena_release(x->arena, x->body.bytes);
    x->body = (wire_buffer){.arena = x->arena};
    const attn_model *model = choose_model(x, request);
    if (model == NULL)
        return false;
    snprintf(x->model, sizeof x->model, "%s", model->name);
    if (request_resolve(request, model, x->service->options.max_answer, x->arena, call, &p) != PROBLEM_NONE) {
        http_answer_problem(x, &p);
        return false;
    }
    return true;
}

void handle_attend(http_exchange *x) {
    const attn_control control = {should_stop, x};
    attend_request request = {0};
    attend_call call;
    problem p;
    const uint64_t began = clock_now();
    if (http_should_stop(x)) {
        http_answer_problem(x, &x->stopped);
        return;
    }
    if (!decode(x, &request, &call))
        return;
    const uint64_t parsed = clock_now();
    if (compute(x, &call, &control, &p) != PROBLEM_NONE) {
        http_answer_problem(x, &p);
        return;
    }
    const uint64_t computed = clock_now();
    if (encode(x, &request, &call, &control, &p) != PROBLEM_NONE) {
        http_answer_problem(x, &p);
        return;
    }
    x->status = 200;
    snprintf(x->timing, sizeof x->timing,
             "parse;dur=%.3f, queue;dur=%.3f, compute;dur=%.3f;desc=\"%s\", encode;dur=%.3f",
             milliseconds(began, parsed), milliseconds(x->arrived, began), milliseconds(parsed, computed),
             attn_matmul_name(), milliseconds(computed, clock_now()));
}
