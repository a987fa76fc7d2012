/* model.h: a model that can be served: one attention layer with a name.
 *
 * A model is immutable once it is loaded, and counted: it goes when the last of its holders has released it.
 */
#ifndef ATTN_MODEL_H
#define ATTN_MODEL_H

#include "core/attention.h"

#include <stdatomic.h>
#include <stddef.h>

#define ATTN_MODEL_NAME_MAX 64

typedef struct {
    char name[ATTN_MODEL_NAME_MAX + 32]; /* NAME; for layer n of a checkpoint NAME.n, of one with an encoder
                                          * and a decoder NAME.encoder.n, NAME.decoder.n and NAME.cross.n */
    const char *layout;     /* where the weights came from: "torch", "init", "patterns", "bert", ... */
    attn_layer layer;       /* owns its packed weights; its other pointers lead into `storage` */
    size_t bytes;           /* that the weights take in memory */
    double precision_error; /* what the layer's precision does to the output (precision.h); 0 for float32, NaN
                             * if the probe is beyond float32 */
    void *storage;          /* owned by the model */
    bool is_plan;           /* only shapes, and what they would take in memory: no numbers were read */
    atomic_size_t holders;
} attn_model;

/* A model called `name` without weights, which the caller holds; NULL: no memory. */
attn_model *attn_model_new(const char *name);

/* One holder more, on any thread. Returns the model. */
const attn_model *attn_model_hold(const attn_model *model);

/* One holder less, on any thread; the last one frees the model. NULL is allowed. */
void attn_model_release(const attn_model *model);

/* Frees the weights of a model; it has none then. */
void attn_model_clear(attn_model *model);

#endif
