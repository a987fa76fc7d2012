/* layout.h: which tensors of a file are which weights of a layer. */
#ifndef ATTN_LAYOUT_H
#define ATTN_LAYOUT_H

#include "core/model/files/tensors.h"
#include "core/model/weights.h"

/* How a tensor holds its arrays, of which each has its own rows (queries have more than keys, where several
 * heads share a key). */
typedef enum {
    ATTN_STACKED,    /* [rows of the first, then of the next, ..., columns] */
    ATTN_TRANSPOSED, /* the same with rows and columns exchanged: GPT-2's Conv1D */
    ATTN_BY_HEAD,    /* as stacked, but first all rows of head 0 of the keys, then those of head 1, ... */
} attn_arrangement;

/* One tensor of a model, and the arrays that it fills: `slots` of them from `first` on. */
typedef struct {
    const char *name;
    attn_slot first;
    size_t slots;
    attn_arrangement arrangement;
    size_t ones;  /* dimensions of 1 before the others: 2 for [1, 1, E] */
    float addend; /* added to each number: 1 where a norm multiplies by 1 + weight */
} attn_source;

/* Checks that there are all `count` sources with the shapes that the configuration asks for, allocates the
 * arrays of the model that attn_slots_wanted names (of the biases only those that a source fills) and reads
 * them, as attn_weights_allocate does; the caller goes on as after that. Arrays that no source fills
 * are zero; arrays[slot] is where to write them, NULL for those that the layer does not have. Fails with
 * ATTN_BAD_MODEL or ATTN_NO_MEMORY, and the model is then as it was. */
attn_status attn_sources_load(const attn_tensors *tensors, const attn_source *sources, size_t count,
                              const attn_config *config, attn_model *model, float *arrays[ATTN_SLOTS],
                              attn_error *error);

#endif
