/* model.h: a model that can be served, and the ways to get one.
 *
 * A model is one attention layer with a name. It is immutable once loaded. */
#ifndef ATTN_MODEL_H
#define ATTN_MODEL_H

#include "core/attention.h"
#include "core/model/warnings.h"
#include "core/status.h"

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
} attn_model;

/* The models of one service, in the order in which they were asked for. */
typedef struct {
    attn_model *models;
    size_t count;
    const attn_kernels *kernels; /* that all models are packed for; NULL: the best of this CPU */
    attn_precision precision;    /* of models whose configuration does not say */
    attn_warnings warnings;      /* about all models that were loaded */
} attn_registry;

/* Loads `[NAME=]SPEC` (README, "Models") and appends what it holds to the registry: one model, or one for
 * each layer of a checkpoint, or on failure none. SPEC is a model directory (with
 * #PREFIX behind it: the tensors whose names begin so, of a state_dict with others), a Hugging Face directory
 * (with #n or #encoder.n behind it: that layer alone, as NAME), a .safetensors file, "init:..." or
 * "builtin:...".
 * Fails with ATTN_BAD_MODEL (one line that names the file, the tensor, what was expected and what was found;
 * also if a name is taken) or ATTN_NO_MEMORY. Pointers to the registry's models are good until the next load.
 */
attn_status attn_registry_load(attn_registry *registry, const char *named_spec, attn_error *error);

/* The model called `name`, or NULL. */
const attn_model *attn_registry_find(const attn_registry *registry, const char *name);

/* Frees all models and warnings; the registry is then empty, and stays with its kernels and precision. */
void attn_registry_free(attn_registry *registry);

#endif
