/* tensors.h: the tensors of a model, from one file or from several with an index over them. */
#ifndef ATTN_TENSORS_H
#define ATTN_TENSORS_H

#include "core/model/files/safetensors.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct attn_tensors attn_tensors;

/* Where a tensor is. All that this points to belongs to the attn_tensors. */
typedef struct {
    const attn_safetensors *file;
    const attn_tensor *tensor;
    const attn_safetensors *other; /* another file that has a tensor of this name too; NULL: none does */
} attn_tensor_place;

/* Opens one file. Fails with ATTN_BAD_MODEL or ATTN_NO_MEMORY. The caller closes *tensors with
 * attn_tensors_close. */
attn_status attn_tensors_open_file(const char *path, attn_tensors **tensors, attn_error *error);

/* Opens model.safetensors of a directory, or the shards that its model.safetensors.index.json names. Neither
 * may lead out of the directory. Fails with ATTN_BAD_MODEL or ATTN_NO_MEMORY. */
attn_status attn_tensors_open_directory(const char *directory, attn_tensors **tensors, attn_error *error);

/* NULL is allowed. */
void attn_tensors_close(attn_tensors *tensors);

/* How many there are. */
size_t attn_tensors_count(const attn_tensors *tensors);

/* Number `index` of them; over all files, in no particular order. */
attn_tensor_place attn_tensors_at(const attn_tensors *tensors, size_t index);

/* Finds a tensor by its name; false if there is none. */
bool attn_tensors_find(const attn_tensors *tensors, const char *name, attn_tensor_place *place);

/* The one file, or the index over several; made printable. */
const char *attn_tensors_path(const attn_tensors *tensors);

/* What __metadata__ of the one file holds under `key`, or NULL; NULL also if there are several files. */
const char *attn_tensors_metadata(const attn_tensors *tensors, const char *key);

#endif
