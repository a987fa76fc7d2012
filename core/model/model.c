#include "core/model/model.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

attn_model *attn_model_new(const char *name) {
    attn_model *model = calloc(1, sizeof *model);
    if (model == NULL)
        return NULL;
    snprintf(model->name, sizeof model->name, "%s", name);
    model->holders = 1;
    return model;
}

/* Only the count of a model changes after loading, so that everybody else may have it const. */
static attn_model *own(const attn_model *model) {
    return (attn_model *)(uintptr_t)model;
}

const attn_model *attn_model_hold(const attn_model *model) {
    atomic_fetch_add_explicit(&own(model)->holders, 1, memory_order_relaxed);
    return model;
}

void attn_model_release(const attn_model *model) {
    if (model == NULL || atomic_fetch_sub_explicit(&own(model)->holders, 1, memory_order_acq_rel) > 1)
        return;
    attn_model_clear(own(model));
    free(own(model));
}

void attn_model_clear(attn_model *model) {
    attn_packed *const weights[] = {&model->layer.q_weight, &model->layer.k_weight, &model->layer.v_weight,
                                    &model->layer.o_weight};
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++)
        attn_packed_free(weights[i]);
    free(model->storage);
    model->storage = NULL;
}
