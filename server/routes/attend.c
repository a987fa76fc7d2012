/* attend.c: POST /attend, in the formats that Content-Type and Accept ask for. */
#include "server/routes/compute.h"
#include "server/routes/routes.h"

#include <string.h>

/* The model that the path or the body asks for; false, with the answer given, if they disagree. */
static bool choose_name(http_exchange *x, const attend_request *request, const char **name) {
    problem p;
    *name = x->argument != NULL ? x->argument : request->model;
    if (x->argument == NULL || request->model == NULL || strcmp(x->argument, request->model) == 0)
        return true;
    problem_set_at(&p, PROBLEM_BAD_VALUE, "model",
                   "model is '%.96s', but the path says '%.96s'; expected the same", request->model,
                   x->argument);
    http_answer_problem(x, &p);
    return false;
}

static bool read_body(http_exchange *x, attend_request *request) {
    problem p;
    if (x->in->read(x->body.bytes, x->body.length, x->arena, request, &p) == PROBLEM_NONE)
        return true;
    http_answer_problem(x, &p);
    return false;
}

/* A picture shows a part of the weights; what is asked for is made that part. */
static bool plan_picture(http_exchange *x, const attn_model *model, attend_request *request) {
    problem p;
    if (strcmp(x->out->media_type, FORMAT_PNG) != 0)
        return true;
    request->picture = &x->picture;
    if (picture_plan(&x->picture, model, request, x->arena, &p) == PROBLEM_NONE)
        return true;
    http_answer_problem(x, &p);
    return false;
}

void handle_attend(http_exchange *x) {
    computation c;
    const char *name;
    if (!compute_begin(&c, x) || !read_body(x, &c.request) || !choose_name(x, &c.request, &name))
        return;
    const attn_model *model = compute_model(&c, name, x->argument != NULL ? "" : "model");
    if (model == NULL || !plan_picture(x, model, &c.request) || !compute_run(&c, model, x->in->borrows))
        return;
    x->answer = (wire_buffer){.arena = x->arena, .control = &c.control};
    x->media_type = x->out->media_type;
    compute_end(&c, x->out->write(&c.request, &c.call, &x->answer));
}
