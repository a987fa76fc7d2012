/* models.c: what is served. */
#include "server/routes/routes.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static json_t *describe(const attn_model *model) {
    const attn_config *c = &model->layer.config;
    const json_int_t E = (json_int_t)c->embed_dim, H = (json_int_t)c->num_heads;
    const json_int_t kdim = (json_int_t)c->kdim, vdim = (json_int_t)c->vdim;
    json_t *shape =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "name", model->name, "embed_dim", E, "kdim", kdim,
                  "vdim", vdim, "num_heads", H, "num_kv_heads", H, "head_dim", E / H);
    json_t *rest =
        json_pack("{s:b, s:f, s:s, s:s, s:I}", "bias", (int)c->bias, "dropout", c->dropout, "precision",
                  "float32", "layout", model->layout, "bytes", (json_int_t)model->bytes);
    if (rest == NULL || json_object_update(shape, rest) != 0) {
        json_decref(shape);
        shape = NULL;
    }
    json_decref(rest);
    return shape;
}

/* The answer is this document, whose reference is taken over; NULL means that memory ran out. */
static void answer_document(http_exchange *x, json_t *document) {
    char *text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(document);
    x->answer.arena = x->small;
    if (text != NULL && wire_buffer_append(&x->answer, text, strlen(text)))
        x->status = 200;
    free(text);
}

void handle_models(http_exchange *x) {
    const attn_registry *registry = &x->service->registry;
    json_t *list = json_array();
    for (size_t i = 0; i < registry->count; i++)
        if (json_array_append_new(list, describe(&registry->models[i])) != 0) {
            json_decref(list);
            list = NULL;
            break;
        }
    answer_document(x, json_pack("{s:s, s:o}", "default", registry->models[0].name, "models", list));
}

void handle_model(http_exchange *x) {
    const attn_model *model = attn_registry_find(&x->service->registry, x->argument);
    if (model == NULL)
        answer_no_model(x, x->argument, "");
    else
        answer_document(x, describe(model));
}

void answer_no_model(http_exchange *x, const char *name, const char *path) {
    const attn_registry *registry = &x->service->registry;
    problem p;
    char list[300] = "";
    size_t n = 0;
    for (size_t i = 0; i < registry->count; i++) {
        if (n + strlen(registry->models[i].name) + 6 > sizeof list) {
            snprintf(list + n, sizeof list - n, ", ...");
            break;
        }
        n +=
            (size_t)snprintf(list + n, sizeof list - n, "%s%s", i == 0 ? "" : ", ", registry->models[i].name);
    }
    problem_set(&p, PROBLEM_NOT_FOUND, "there is no model '%.80s'; served are: %s", name, list);
    problem_at(&p, path);
    http_answer_problem(x, &p);
}
