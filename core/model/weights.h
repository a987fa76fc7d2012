/* weights.h: the arrays of a layer: the weights of the four projections, which are packed once they are read,
 * and all others, in one block of memory. */
#ifndef ATTN_WEIGHTS_H
#define ATTN_WEIGHTS_H

#include "core/model/model.h"
#include "core/status.h"

/* In the order in which torch stacks arrays that it keeps as one. */
typedef enum {
    ATTN_Q_WEIGHT,      /* [H*D, E] */
    ATTN_K_WEIGHT,      /* [Hkv*D, kdim] */
    ATTN_V_WEIGHT,      /* [Hkv*D, vdim] */
    ATTN_O_WEIGHT,      /* [E, H*D] */
    ATTN_Q_BIAS,        /* [H*D] */
    ATTN_K_BIAS,        /* [Hkv*D] */
    ATTN_V_BIAS,        /* [Hkv*D] */
    ATTN_O_BIAS,        /* [E] */
    ATTN_BIAS_K,        /* [Hkv*D]: the extra key */
    ATTN_BIAS_V,        /* [Hkv*D]: and its value */
    ATTN_Q_NORM,        /* [D] */
    ATTN_K_NORM,        /* [D] */
    ATTN_SINKS,         /* [H] */
    ATTN_SCALE,         /* [H] */
    ATTN_ALIBI_SLOPES,  /* [H] */
    ATTN_RELATIVE_BIAS, /* [buckets, H] */
    ATTN_ROPE_SHORT,    /* [dims/2] */
    ATTN_ROPE_LONG,     /* [dims/2] */
    ATTN_SLOTS,
} attn_slot;

/* The shape of an array; one with a single dimension has 1 column. */
size_t attn_slot_rows(const attn_config *config, attn_slot slot);
size_t attn_slot_columns(const attn_config *config, attn_slot slot);

/* Which arrays a layer with this configuration has; with config->bias, all four biases of the projections. */
void attn_slots_wanted(const attn_config *config, bool wanted[ATTN_SLOTS]);

/* Allocates the wanted arrays of a layer, uninitialised. Sets model->layer but for its kernels, model->bytes
 * and model->storage. arrays[slot] is where to write, NULL for those not wanted: the weights of the
 * projections each in a block of its own, which lives until attn_weights_pack; the others, aligned to 64
 * bytes, in model->storage. `where` names the model in the sentence. Fails with ATTN_NO_MEMORY. The caller
 * goes on to attn_weights_pack or attn_weights_discard. A plan gets no projections, and attn_weights_pack
 * only adds to model->bytes what they would take. */
attn_status attn_weights_allocate(const char *where, const attn_config *config, const bool wanted[ATTN_SLOTS],
                                  attn_model *model, float *arrays[ATTN_SLOTS], attn_error *error);

/* Ends the loading of a layer whose arrays have been written: packs the weights of the projections for
 * model->layer.kernels in the precision of the configuration and frees each array as soon as it is packed, so
 * that hardly anything is held twice; sets model->precision_error. Fails with ATTN_NO_MEMORY, and has then
 * freed all. The caller frees with attn_model_clear. */
attn_status attn_weights_pack(const char *where, float *arrays[ATTN_SLOTS], attn_model *model,
                              attn_error *error);

/* What loading a layer takes beside the memory that it keeps, at most: the projections as they are read, and
 * once more if they are to be narrower, to tell the difference. */
size_t attn_weights_while_loading(const attn_config *config);

/* Frees all that attn_weights_allocate has allocated. */
void attn_weights_discard(float *arrays[ATTN_SLOTS], attn_model *model);

#endif
