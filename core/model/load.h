/* load.h: from `[NAME=]SPEC` to models. */
#ifndef ATTN_LOAD_H
#define ATTN_LOAD_H

#include "core/model/registry.h"

/* Loads `[NAME=]SPEC` (README, "Models") and appends what it holds to the registry: one model, or one for
 * each layer of a checkpoint, or on failure none. SPEC is one of
 *
 *     DIRECTORY                   a model, or a Hugging Face checkpoint
 *     DIRECTORY#PREFIX            the layer of a state_dict whose tensors have names that begin so
 *     DIRECTORY#n, #encoder.n     that layer of a checkpoint alone, as NAME
 *     FILE.safetensors
 *     init:..., builtin:...
 *
 * Fails with ATTN_BAD_MODEL (one line that names the file, the tensor, what was expected and what was found;
 * also if a name is taken) or ATTN_NO_MEMORY. */
attn_status attn_registry_load(attn_registry *registry, const char *named_spec, attn_error *error);

/* Estimates the memory that loading `[NAME=]SPEC` takes at its height: the packed weights of all its models,
 * in their precision, and for the largest of them the projections as they are read. Only configurations and
 * the headers of files are read. Fails as loading does. */
attn_status attn_registry_measure(const attn_registry *registry, const char *named_spec, size_t *bytes,
                                  attn_error *error);

/* The stamp of what `[NAME=]SPEC` is loaded from (stamp.h); of init: and builtin: it is always the same.
 * NULL: it leads nowhere, or memory ran out. The caller frees it with free(). */
char *attn_spec_stamp(const char *named_spec);

#endif
