#include "core/model/weights.h"

#include "core/model/precision.h"
#include "core/size.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT ((size_t)64) /* one cache line, and the widest vector register */

size_t attn_slot_rows(const attn_config *config, attn_slot slot) {
    switch (slot) {
    case ATTN_Q_WEIGHT:
    case ATTN_Q_BIAS:
        return config->num_heads * config->head_dim;
    case ATTN_K_WEIGHT:
    case ATTN_V_WEIGHT:
    case ATTN_K_BIAS:
    case ATTN_V_BIAS:
    case ATTN_BIAS_K:
    case ATTN_BIAS_V:
        return config->num_kv_heads * config->head_dim;
    case ATTN_O_WEIGHT:
    case ATTN_O_BIAS:
        return config->embed_dim;
    case ATTN_Q_NORM:
    case ATTN_K_NORM:
        return config->head_dim;
    case ATTN_SINKS:
    case ATTN_SCALE:
    case ATTN_ALIBI_SLOPES:
        return config->num_heads;
    case ATTN_RELATIVE_BIAS:
        return config->relative_bias.buckets;
    case ATTN_ROPE_SHORT:
    case ATTN_ROPE_LONG:
        return config->rope.dims / 2;
    case ATTN_SLOTS:
        break;
    }
    return 0;
}

size_t attn_slot_columns(const attn_config *config, attn_slot slot) {
    switch (slot) {
    case ATTN_Q_WEIGHT:
        return config->embed_dim;
    case ATTN_K_WEIGHT:
        return config->kdim;
    case ATTN_V_WEIGHT:
        return config->vdim;
    case ATTN_O_WEIGHT:
        return config->num_heads * config->head_dim;
    case ATTN_RELATIVE_BIAS:
        return config->num_heads;
    default:
        return 1;
    }
}

void attn_slots_wanted(const attn_config *config, bool wanted[ATTN_SLOTS]) {
    const bool longrope = config->rope.style != ATTN_ROPE_NONE && config->rope.scaling == ATTN_ROPE_LONGROPE;
    for (int slot = 0; slot < ATTN_SLOTS; slot++)
        wanted[slot] = slot <= ATTN_O_WEIGHT;
    for (int slot = ATTN_Q_BIAS; slot <= ATTN_O_BIAS; slot++)
        wanted[slot] = config->bias;
    wanted[ATTN_BIAS_K] = wanted[ATTN_BIAS_V] = config->add_bias_kv;
    wanted[ATTN_Q_NORM] = wanted[ATTN_K_NORM] = config->qk_norm;
    wanted[ATTN_SINKS] = config->sinks;
    wanted[ATTN_SCALE] = config->scale_given;
    wanted[ATTN_ALIBI_SLOPES] = config->alibi;
    wanted[ATTN_RELATIVE_BIAS] = config->relative_bias.buckets != 0;
    wanted[ATTN_ROPE_SHORT] = wanted[ATTN_ROPE_LONG] = longrope;
}

/* The bytes of an array; false on overflow. */
static bool size_of(const attn_config *config, attn_slot slot, size_t *bytes) {
    const size_t factors[] = {attn_slot_rows(config, slot), attn_slot_columns(config, slot), sizeof(float)};
    return attn_multiply_all(factors, 3, bytes);
}

/* Where each array but the projections' begins in the block, and how long that is. */
static bool place_arrays(const attn_config *config, const bool wanted[ATTN_SLOTS], size_t offsets[ATTN_SLOTS],
                         size_t *block) {
    *block = 0;
    for (int slot = ATTN_Q_BIAS; slot < ATTN_SLOTS; slot++) {
        size_t array, padded;
        if (!wanted[slot])
            continue;
        if (!size_of(config, (attn_slot)slot, &array) || !attn_add(array, ALIGNMENT - 1, &padded))
            return false;
        offsets[slot] = *block;
        if (!attn_add(*block, padded & ~(ALIGNMENT - 1), block))
            return false;
    }
    return true;
}

/* Where attn_layer points to each array. */
static const size_t members[ATTN_SLOTS] = {
    [ATTN_Q_BIAS] = offsetof(attn_layer, q_bias),
    [ATTN_K_BIAS] = offsetof(attn_layer, k_bias),
    [ATTN_V_BIAS] = offsetof(attn_layer, v_bias),
    [ATTN_O_BIAS] = offsetof(attn_layer, o_bias),
    [ATTN_BIAS_K] = offsetof(attn_layer, bias_k),
    [ATTN_BIAS_V] = offsetof(attn_layer, bias_v),
    [ATTN_Q_NORM] = offsetof(attn_layer, q_norm),
    [ATTN_K_NORM] = offsetof(attn_layer, k_norm),
    [ATTN_SINKS] = offsetof(attn_layer, sinks),
    [ATTN_SCALE] = offsetof(attn_layer, scale),
    [ATTN_ALIBI_SLOPES] = offsetof(attn_layer, alibi_slopes),
    [ATTN_RELATIVE_BIAS] = offsetof(attn_layer, relative_bias),
    [ATTN_ROPE_SHORT] = offsetof(attn_layer, rope_short),
    [ATTN_ROPE_LONG] = offsetof(attn_layer, rope_long),
};

/* The packed weight of a projection. */
static attn_packed *packed_of(attn_layer *layer, int slot) {
    attn_packed *const weights[] = {&layer->q_weight, &layer->k_weight, &layer->v_weight, &layer->o_weight};
    return weights[slot];
}

static attn_status no_memory(const char *where, const attn_config *config, attn_error *error) {
    return attn_fail(error, ATTN_NO_MEMORY,
                     "%s: no memory for the weights of embed_dim %zu, kdim %zu, vdim %zu", where,
                     config->embed_dim, config->kdim, config->vdim);
}

static bool allocate_projections(const attn_config *config, float *arrays[ATTN_SLOTS]) {
    size_t bytes;
    for (int slot = 0; slot <= ATTN_O_WEIGHT; slot++)
        if (!size_of(config, (attn_slot)slot, &bytes) || (arrays[slot] = malloc(bytes)) == NULL)
            return false;
    return true;
}

attn_status attn_weights_allocate(const char *where, const attn_config *config, const bool wanted[ATTN_SLOTS],
                                  attn_model *model, float *arrays[ATTN_SLOTS], attn_error *error) {
    size_t offsets[ATTN_SLOTS], block;
    for (int slot = 0; slot < ATTN_SLOTS; slot++)
        arrays[slot] = NULL;
    model->layer = (attn_layer){.config = *config, .kernels = model->layer.kernels};
    model->storage = NULL;
    if (!place_arrays(config, wanted, offsets, &block) ||
        (model->storage = aligned_alloc(ALIGNMENT, block + ALIGNMENT)) == NULL ||
        (!model->is_plan && !allocate_projections(config, arrays))) {
        attn_weights_discard(arrays, model);
        return no_memory(where, config, error);
    }
    model->bytes = block;
    for (int slot = ATTN_Q_BIAS; slot < ATTN_SLOTS; slot++) {
        if (wanted[slot])
            arrays[slot] = (float *)(void *)((char *)model->storage + offsets[slot]);
        memcpy((char *)&model->layer + members[slot], &arrays[slot], sizeof arrays[slot]);
    }
    return ATTN_OK;
}

/* Packs the projections, and, if `wide` is not NULL, its projections in float32 besides. */
static bool pack_all(float *arrays[ATTN_SLOTS], attn_model *model, attn_layer *wide) {
    attn_layer *layer = &model->layer;
    const attn_config *config = &layer->config;
    for (int slot = 0; slot <= ATTN_O_WEIGHT; slot++) {
        const size_t rows = attn_slot_rows(config, (attn_slot)slot),
                     columns = attn_slot_columns(config, (attn_slot)slot);
        attn_packed *packed = packed_of(layer, slot);
        if (!attn_pack(packed, layer->kernels, config->precision, rows, columns, arrays[slot]) ||
            (wide != NULL &&
             !attn_pack(packed_of(wide, slot), layer->kernels, ATTN_FLOAT32, rows, columns, arrays[slot])))
            return false;
        model->bytes += packed->bytes;
        free(arrays[slot]);
        arrays[slot] = NULL;
    }
    return true;
}

/* Adds what packing would take; false on overflow. */
static bool plan_all(attn_model *model) {
    const attn_config *config = &model->layer.config;
    size_t bytes = 0;
    bool fits = true;
    for (int slot = 0; slot <= ATTN_O_WEIGHT; slot++)
        fits =
            fits &&
            attn_packed_size(model->layer.kernels, config->precision, attn_slot_rows(config, (attn_slot)slot),
                             attn_slot_columns(config, (attn_slot)slot), &bytes) &&
            attn_add(model->bytes, bytes, &model->bytes);
    return fits;
}

size_t attn_weights_while_loading(const attn_config *config) {
    size_t sum = 0;
    for (int slot = 0; slot <= ATTN_O_WEIGHT; slot++)
        sum += attn_slot_rows(config, (attn_slot)slot) * attn_slot_columns(config, (attn_slot)slot) *
               sizeof(float);
    return config->precision == ATTN_FLOAT32 ? sum : 2 * sum;
}

static void free_packed(attn_layer *layer) {
    for (int slot = 0; slot <= ATTN_O_WEIGHT; slot++)
        attn_packed_free(packed_of(layer, slot));
}

attn_status attn_weights_pack(const char *where, float *arrays[ATTN_SLOTS], attn_model *model,
                              attn_error *error) {
    attn_layer wide = model->layer;
    const bool is_narrow = model->layer.config.precision != ATTN_FLOAT32;
    attn_status status = ATTN_OK;
    model->precision_error = 0;
    if (model->is_plan)
        status = plan_all(model) ? ATTN_OK : ATTN_NO_MEMORY;
    else if (!pack_all(arrays, model, is_narrow ? &wide : NULL))
        status = ATTN_NO_MEMORY;
    else if (is_narrow)
        status = attn_precision_error(&model->layer, &wide, &model->precision_error);
    free_packed(&wide);
    if (status == ATTN_OK)
        return ATTN_OK;
    attn_weights_discard(arrays, model);
    return no_memory(where, &model->layer.config, error);
}

void attn_weights_discard(float *arrays[ATTN_SLOTS], attn_model *model) {
    for (int slot = 0; slot <= ATTN_O_WEIGHT; slot++)
        free(arrays[slot]);
    attn_model_clear(model);
}
