#include "server/routes/compute.h"

#include "core/kernels/matmul.h"
#include "server/clock.h"
#include "server/routes/routes.h"

#include <stdio.h>
#include <string.h>

#define COMPRESS_FROM                                                                                        \
    ((size_t)1 << 20) /* bytes of an answer; smaller ones only if the request was compressed */

static bool should_stop(void *context) {
    return http_should_stop(context);
}

/* Answers with why the work was stopped, or else with `p`. */
static bool fail(computation *c, const problem *p) {
    http_answer_problem(c->x, http_should_stop(c->x) ? &c->x->stopped : p);
    return false;
}

bool compute_begin(computation *c, http_exchange *x) {
    problem p = {.code = PROBLEM_NONE};
    *c = (computation){.x = x, .control = {should_stop, x}, .began = clock_now()};
    if (http_should_stop(x))
        return fail(c, &p);
    if (x->body_encoding != ENCODING_IDENTITY &&
        !compress_inflate(&x->body, x->body_encoding, x->service->options.max_body, &c->control, &p))
        return fail(c, &p);
    return true;
}

const attn_model *compute_model(computation *c, const char *name, const char *path) {
    const attn_registry *registry = &c->x->service->registry;
    const attn_model *model = name == NULL ? &registry->models[0] : attn_registry_find(registry, name);
    if (model == NULL)
        answer_no_model(c->x, name, path);
    return model;
}

bool compute_run(computation *c, const attn_model *model, bool keeps_body) {
    http_exchange *x = c->x;
    attn_error error;
    problem p;
    if (!keeps_body) {
        attn_arena_release(x->arena, x->body.bytes);
        x->body = (wire_buffer){.arena = x->arena};
    }
    memcpy(x->model, model->name, sizeof x->model);
    if (request_resolve(&c->request, model, x->service->options.max_answer, x->arena, &c->call, &p) !=
        PROBLEM_NONE)
        return fail(c, &p);
    c->parsed = clock_now();
    const attn_status status =
        attn_forward(&model->layer, &c->call.input, &c->call.output, x->arena, &c->control, &error);
    c->computed = clock_now();
    return status == ATTN_OK || (problem_from_core(&p, status, &error), fail(c, &p));
}

static double milliseconds(uint64_t from, uint64_t to) {
    return (double)(to - from) / 1e6;
}

void compute_end(computation *c, bool written) {
    http_exchange *x = c->x;
    problem p;
    /* A picture is compressed already. */
    const bool compresses = x->takes_encoding != ENCODING_IDENTITY && c->request.picture == NULL &&
                            (x->body_encoding != ENCODING_IDENTITY || x->answer.length >= COMPRESS_FROM);
    x->answer.control = NULL;
    if (written && compresses) {
        written = compress_deflate(&x->answer, x->takes_encoding, &c->control);
        x->answer_encoding = x->takes_encoding;
    }
    /* A deadline that passes meanwhile counts too. */
    if (!written || http_should_stop(x)) {
        problem_from_core(&p, written ? ATTN_CANCELLED : attn_arena_failure(x->arena), NULL);
        fail(c, &p);
        return;
    }
    x->status = 200;
    snprintf(x->timing, sizeof x->timing,
             "parse;dur=%.3f, queue;dur=%.3f, compute;dur=%.3f;desc=\"%s\", encode;dur=%.3f",
             milliseconds(c->began, c->parsed), milliseconds(x->arrived, c->began),
             milliseconds(c->parsed, c->computed), attn_matmul_name(),
             milliseconds(c->computed, clock_now()));
}
