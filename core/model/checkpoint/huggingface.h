/* huggingface.h: the attention layers of a checkpoint directory of Hugging Face transformers. */
#ifndef ATTN_HUGGINGFACE_H
#define ATTN_HUGGINGFACE_H

#include "core/model/files/tensors.h"
#include "core/model/registry.h"

#include <jansson.h>

/* The parts of a checkpoint directory. */
typedef struct {
    const char *where;           /* the path of its config.json, for sentences */
    const json_t *config;        /* its content */
    const attn_tensors *tensors; /* of its model.safetensors, or of the shards */
} attn_checkpoint;

/* Is this the config.json of such a directory? It then has "model_type". */
bool attn_huggingface_is(const json_t *config);

/* Loads attention layers of the checkpoint into *loaded, which is empty. With `layer` NULL all of them: as
 * NAME.0, NAME.1, ..., those of an encoder-decoder as NAME.encoder.0, ..., NAME.decoder.0, ..., NAME.cross.0,
 * ... (what the decoder attends to the encoder with). Otherwise one, as NAME: "3" or "cross.3". Other tensors
 * and keys are left alone, except for keys that would change how attention is computed: those are refused.
 * Fails with ATTN_BAD_MODEL or ATTN_NO_MEMORY. The caller frees *loaded with attn_registry_free, also after a
 * failure. */
attn_status attn_huggingface_load(const attn_checkpoint *checkpoint, const char *name, const char *layer,
                                  attn_registry *loaded, attn_error *error);

#endif
