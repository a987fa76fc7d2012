/* lookup.c: what a name in a path or a body stands for. */
#include "server/routes/handlers.h"

#include <stdio.h>
#include <string.h>

/* Is this model a layer of the checkpoint that was loaded as `name`? */
static bool is_layer_of(const attn_model *model, const char *name) {
    const size_t length = strlen(name);
    return strncmp(model->name, name, length) == 0 && model->name[length] == '.';
}

/* Writes the names of the layers of `name`, or of all models if `name` is NULL, as far as there is room. */
static size_t list_models(const attn_registry *registry, const char *name, char *list, size_t room) {
    size_t n = 0, count = 0;
    bool full = false;
    list[0] = '\0';
    for (size_t i = 0; i < registry->count; i++) {
        const attn_model *model = registry->models[i];
        if (name != NULL && !is_layer_of(model, name))
            continue;
        full = full || n + strlen(model->name) + sizeof ", , ..." > room;
        if (!full)
            n += (size_t)snprintf(list + n, room - n, "%s%s", count == 0 ? "" : ", ", model->name);
        count++;
    }
    if (full)
        snprintf(list + n, room - n, ", ...");
    return count;
}

static void answer_no_model(http_exchange *x, const char *name, const char *path) {
    const attn_registry *registry = &x->snapshot->models;
    problem p;
    char list[sizeof p.text - 200];
    const size_t layers = list_models(registry, name, list, sizeof list);
    if (layers > 0) {
        problem_set_at(&p, PROBLEM_NOT_FOUND, path,
                       "'%.96s' is a checkpoint of which %zu layers are served, each under its own name: %s",
                       name, layers, list);
    } else {
        list_models(registry, NULL, list, sizeof list);
        problem_set_at(&p, PROBLEM_NOT_FOUND, path, "there is no model '%.96s'; served are: %s", name, list);
    }
    http_answer_problem(x, &p);
}

const attn_model *lookup_model(http_exchange *x, const char *name, const char *path) {
    const attn_registry *registry = &x->snapshot->models;
    const attn_model *model = name == NULL ? registry->models[0] : attn_registry_find(registry, name);
    if (model == NULL)
        answer_no_model(x, name, path);
    return model;
}

void answer_no_result(http_exchange *x) {
    problem p;
    problem_set(
        &p, PROBLEM_NOT_FOUND,
        "no result is kept under this path: it may have expired (--results-ttl), made room for newer ones "
        "(--results-memory), or been deleted");
    http_answer_problem(x, &p);
}
