#include "core/model/registry.h"

#include "core/size.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for `more` models at the end; false: no memory. */
static bool grow(attn_registry *registry, size_t more) {
    size_t count, bytes;
    attn_model **models = NULL;
    if (attn_add(registry->count, more, &count) && attn_multiply(count, sizeof(attn_model *), &bytes))
        models = realloc(registry->models, bytes);
    if (models == NULL)
        return false;
    registry->models = models;
    return true;
}

attn_status attn_registry_add(attn_registry *registry, const char *name, attn_model **model,
                              attn_error *error) {
    if (!grow(registry, 1) || (*model = attn_model_new(name)) == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "no memory for model \"%s\"", name);
    (*model)->layer.kernels = registry->kernels;
    (*model)->layer.config.precision = registry->precision;
    (*model)->is_plan = registry->is_plan;
    registry->models[registry->count++] = *model;
    return ATTN_OK;
}

attn_status attn_registry_share(attn_registry *registry, const attn_model *model, attn_error *error) {
    if (!grow(registry, 1))
        return attn_fail(error, ATTN_NO_MEMORY, "no memory for a list of more models");
    registry->models[registry->count++] = (attn_model *)(uintptr_t)attn_model_hold(model);
    return ATTN_OK;
}

attn_status attn_registry_move(attn_registry *registry, attn_registry *from, attn_error *error) {
    for (size_t i = 0; i < from->count; i++)
        if (attn_registry_find(registry, from->models[i]->name) != NULL)
            return attn_fail(error, ATTN_BAD_MODEL,
                             "model name \"%s\" is taken by an earlier model: give another with NAME=SPEC",
                             from->models[i]->name);
    if (!grow(registry, from->count))
        return attn_fail(error, ATTN_NO_MEMORY, "no memory for a list of more models");
    memcpy(registry->models + registry->count, from->models, from->count * sizeof *from->models);
    registry->count += from->count;
    from->count = 0;
    attn_warnings_move(&registry->warnings, &from->warnings);
    return ATTN_OK;
}

const attn_model *attn_registry_find(const attn_registry *registry, const char *name) {
    for (size_t i = 0; i < registry->count; i++)
        if (strcmp(registry->models[i]->name, name) == 0)
            return registry->models[i];
    return NULL;
}

void attn_registry_free(attn_registry *registry) {
    for (size_t i = 0; i < registry->count; i++)
        attn_model_release(registry->models[i]);
    free(registry->models);
    attn_warnings_free(&registry->warnings);
    *registry = (attn_registry){.kernels = registry->kernels, .precision = registry->precision};
}
