/* attend.c: POST /attend, in the formats that Content-Type and Accept ask for. */
#include "server/picture/picture.h"
#include "server/routes/compute.h"
#include "server/routes/handlers.h"

#include <string.h>

static bool is_picture(const http_exchange *x) {
    return strcmp(x->answer_type, FORMAT_PNG) == 0;
}

static problem_code refuse(const char *name, const char *why, problem *p) {
    return problem_set_at(p, PROBLEM_BAD_VALUE, name, "the query parameter '%.60s' %s", name, why);
}

problem_code picture_query(http_exchange *x, const request_head *head, problem *p) {
    picture_options *o = x->route_data = attn_arena_alloc(x->small, sizeof *o);
    if (o == NULL)
        return problem_from_core(p, attn_arena_failure(x->small), NULL);
    *o = (picture_options){.head_count = 0};
    if (head->parameter_count > HEAD_PARAMETERS)
        return refuse(head->parameters[HEAD_PARAMETERS - 1].name, "is one of more than a picture has", p);
    for (size_t i = 0; i < head->parameter_count; i++) {
        const char *name = head->parameters[i].name, *value = head->parameters[i].value;
        for (size_t j = 0; j < i; j++)
            if (strcmp(name, head->parameters[j].name) == 0)
                return refuse(name, "is there twice", p);
        if (picture_read_parameter(name, value == NULL ? "" : value, o, p) != PROBLEM_NONE)
            return p->code;
    }
    return PROBLEM_NONE;
}

problem_code attend_query(http_exchange *x, const request_head *head, problem *p) {
    if (is_picture(x))
        return picture_query(x, head, p);
    if (head->parameter_count == 0)
        return PROBLEM_NONE;
    return problem_set_at(p, PROBLEM_UNKNOWN_FIELD, head->parameters[0].name,
                          "the query parameter '%.60s' is unknown here; head, batch, cell and scale go with "
                          "Accept: image/png",
                          head->parameters[0].name);
}

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

/* A picture shows a part of the weights; what is asked for is made that part, unless all of it is to be kept.
 * False, with the answer given, on failure. */
static bool plan_picture(computation *c, const attn_model *model) {
    const picture_options *picture = c->query;
    attend_request *request = &c->request;
    problem p;
    if (!is_picture(c->x))
        return true;
    request->picture = picture;
    const problem_code code = request->keep ? picture_map_check(picture, model, request, c->x->arena, &p)
                                            : picture_plan(picture, model, request, c->x->arena, &p);
    if (code != PROBLEM_NONE)
        http_answer_problem(c->x, &p);
    return code == PROBLEM_NONE;
}

static const attn_model *read_request(computation *c) {
    http_exchange *x = c->x;
    const wire_format *format = media_format(x->body_type);
    const char *name;
    problem p;
    if (format->read(x->body.bytes, x->body.length, x->arena, &c->control, &c->request, &p) != PROBLEM_NONE) {
        compute_fail(c, &p);
        return NULL;
    }
    if (!choose_name(x, &c->request, &name))
        return NULL;
    const attn_model *model = lookup_model(x, name, x->argument != NULL ? "" : "model");
    c->keeps_body = format->borrows;
    return model != NULL && plan_picture(c, model) ? model : NULL;
}

/* A picture of weights that are kept is drawn from those. False, with the answer given, on failure. */
static bool show_kept(computation *c, attend_call *shown) {
    problem p;
    *shown = c->call;
    if (!c->request.keep || c->request.picture == NULL ||
        picture_map_show(c->request.picture, &c->request, &c->call, &c->control, c->x->arena, shown, &p) ==
            PROBLEM_NONE)
        return true;
    compute_fail(c, &p);
    return false;
}

static bool write_answer(computation *c) {
    attend_call shown;
    c->x->media_type = c->x->answer_type;
    return show_kept(c, &shown) && media_format(c->x->answer_type)->write(&c->request, &shown, &c->x->answer);
}

static bool prepare(http_exchange *x, sched_job *job) {
    return compute_prepare(x, job, read_request, write_answer);
}

const http_work attend_work = {prepare, compute_together, compute_finish};
