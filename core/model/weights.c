#include "core/model/weights.h"

#include "core/size.h"

#include <stdlib.h>

#define ALIGNMENT ((size_t)64) /* one cache line, and the widest vector register */

size_t attn_slot_columns(const attn_config *config, attn_slot slot) {
    switch (slot) {
    case ATTN_Q_WEIGHT:
    case ATTN_O_WEIGHT:
        return config->embed_dim;
    case ATTN_K_WEIGHT:
        return config->kdim;
    case ATTN_V_WEIGHT:
        return config->vdim;
    default:
        return 1;
    }
}

/* Where each array begins in the block, and how long that is; *bytes counts only the arrays. */
static bool place_arrays(const attn_config *config, size_t slots, size_t offsets[ATTN_SLOTS], size_t *block,
                         size_t *bytes) {
    *block = *bytes = 0;
    for (size_t slot = 0; slot < slots; slot++) {
        const size_t factors[] = {config->embed_dim, attn_slot_columns(config, (attn_slot)slot),
                                  sizeof(float)};
        size_t array, padded;
        if (!attn_multiply_all(factors, 3, &array) || !attn_add(array, ALIGNMENT - 1, &padded))
            return false;
        offsets[slot] = *block;
        if (!attn_add(*block, padded & ~(ALIGNMENT - 1), block) || !attn_add(*bytes, array, bytes))
            return false;
    }
    return true;
}

attn_status attn_weights_allocate(const char *where, const attn_config *config, attn_model *model,
                                  float *arrays[ATTN_SLOTS], attn_error *error) {
    const size_t slots = config->bias ? ATTN_SLOTS : ATTN_Q_BIAS;
    size_t offsets[ATTN_SLOTS], block, bytes;
    char *storage = NULL;
    if (place_arrays(config, slots, offsets, &block, &bytes))
        storage = aligned_alloc(ALIGNMENT, block);
    if (storage == NULL)
        return attn_fail(error, ATTN_NO_MEMORY,
                         "%s: no memory for the weights of embed_dim %zu, kdim %zu, vdim %zu", where,
                         config->embed_dim, config->kdim, config->vdim);
    for (size_t slot = 0; slot < ATTN_SLOTS; slot++)
        arrays[slot] = slot < slots ? (float *)(void *)(storage + offsets[slot]) : NULL;
    model->storage = storage;
    model->bytes = bytes;
    model->layer = (attn_layer){
        .config = *config,
        .q_weight = arrays[ATTN_Q_WEIGHT],
        .k_weight = arrays[ATTN_K_WEIGHT],
        .v_weight = arrays[ATTN_V_WEIGHT],
        .o_weight = arrays[ATTN_O_WEIGHT],
        .q_bias = arrays[ATTN_Q_BIAS],
        .k_bias = arrays[ATTN_K_BIAS],
        .v_bias = arrays[ATTN_V_BIAS],
        .o_bias = arrays[ATTN_O_BIAS],
    };
    return ATTN_OK;
}
