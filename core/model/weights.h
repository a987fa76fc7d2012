/* weights.h: the eight arrays of a layer, in one block of memory. */
#ifndef ATTN_WEIGHTS_H
#define ATTN_WEIGHTS_H

#include "core/model/model.h"

/* In this order the arrays lie in memory, and so torch stacks those that it keeps as one. */
typedef enum {
    ATTN_Q_WEIGHT, /* [E, E] */
    ATTN_K_WEIGHT, /* [E, kdim] */
    ATTN_V_WEIGHT, /* [E, vdim] */
    ATTN_O_WEIGHT, /* [E, E] */
    ATTN_Q_BIAS,   /* [E], as the others below */
    ATTN_K_BIAS,
    ATTN_V_BIAS,
    ATTN_O_BIAS,
    ATTN_SLOTS,
} attn_slot;

/* The numbers of one row of an array (a bias is [E, 1]); all arrays have E rows. */
size_t attn_slot_columns(const attn_config *config, attn_slot slot);

/* Allocates one block for the weights of a layer, uninitialised, each array aligned to 64 bytes, and sets
 * model->layer, model->bytes and model->storage, which the caller frees with free(). arrays[slot] is where to
 * write, NULL for the biases of a layer without. `where` names the model in the sentence. Fails with
 * ATTN_NO_MEMORY. */
attn_status attn_weights_allocate(const char *where, const attn_config *config, attn_model *model,
                                  float *arrays[ATTN_SLOTS], attn_error *error);

#endif
