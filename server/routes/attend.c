/* attend.c: POST /attend, in the formats that Content-Type and Accept ask for. */
#include "server/picture/map.h"
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

static bool read_body(computation *c) {
    http_exchange *x = c->x;
    problem p;
    return x->in->read(x->body.bytes, x->body.length, x->arena, &c->control, &c->request, &p) ==
               PROBLEM_NONE ||
           compute_fail(c, &p);
}

/* A picture shows a part of the weights; what is asked for is made that part, unless all of it is to be kept.
 */
static bool plan_picture(http_exchange *x, const attn_model *model, attend_request *request) {
    problem p;
    if (strcmp(x->out->media_type, FORMAT_PNG) != 0)
        return true;
    request->picture = &x->picture;
    const problem_code code = request->keep ? picture_map_check(&x->picture, model, request, x->arena, &p)
                                            : picture_plan(&x->picture, model, request, x->arena, &p);
    if (code == PROBLEM_NONE)
        return true;
    http_answer_problem(x, &p);
    return false;
}

static const attn_model *read_request(computation *c) {
    http_exchange *x = c->x;
    const char *name;
    if (!read_body(c) || !choose_name(x, &c->request, &name))
        return NULL;
    const attn_model *model = compute_model(c, name, x->argument != NULL ? "" : "model");
    c->keeps_body = x->in->borrows;
    return model != NULL && plan_picture(x, model, &c->request) ? model : NULL;
}

/* A picture of weights that are kept is drawn from those. False, with the answer given, on failure. */
static bool show_kept(computation *c, attend_call *shown) {
    problem p;
    *shown = c->call;
    if (!c->request.keep || c->request.picture == NULL)
        return true;
    return picture_map_show(c->request.picture, &c->request, &c->call, &c->control, c->x->arena, shown, &p) ==
               PROBLEM_NONE ||
           compute_fail(c, &p);
}

static bool write_answer(computation *c) {
    attend_call shown;
    c->x->media_type = c->x->out->media_type;
    return show_kept(c, &shown) && c->x->out->write(&c->request, &shown, &c->x->answer);
}

static bool prepare(http_exchange *x) {
    return compute_prepare(x, read_request, write_answer);
}

const http_work attend_work = {prepare, compute_together, compute_finish};
