/* registry.h: the models of one service, found by name. load.h fills it. */
#ifndef ATTN_REGISTRY_H
#define ATTN_REGISTRY_H

#include "core/model/model.h"
#include "core/model/warnings.h"
#include "core/status.h"

/* In the order in which they were asked for. A model stays where it is as long as somebody holds it: who goes
 * on with one after the registry is gone, or has it in two registries, calls attn_model_hold. */
typedef struct {
    attn_model **models; /* each held by the registry */
    size_t count;
    const attn_kernels *kernels; /* that all models are packed for; NULL: the best of this CPU */
    attn_precision precision;    /* of models whose configuration does not say */
    bool is_plan;                /* its models become plans */
    attn_warnings warnings;      /* about all models that were loaded */
} attn_registry;

/* Appends a model called `name`, with the registry's kernels and precision and no weights; sets *model.
 * Fails with ATTN_NO_MEMORY. */
attn_status attn_registry_add(attn_registry *registry, const char *name, attn_model **model,
                              attn_error *error);

/* Appends a model that another registry has too. Fails with ATTN_NO_MEMORY. */
attn_status attn_registry_share(attn_registry *registry, const attn_model *model, attn_error *error);

/* Moves all models and warnings of `from` to the end of the registry. Fails with ATTN_BAD_MODEL if a name is
 * taken, or with ATTN_NO_MEMORY; nothing has moved then. */
attn_status attn_registry_move(attn_registry *registry, attn_registry *from, attn_error *error);

/* The model called `name`, or NULL. */
const attn_model *attn_registry_find(const attn_registry *registry, const char *name);

/* Releases all models and frees the warnings; the registry is then empty, and stays with its kernels and
 * precision. */
void attn_registry_free(attn_registry *registry);

#endif
