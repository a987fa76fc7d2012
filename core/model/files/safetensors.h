/* safetensors.h: a strict reader of the safetensors format (huggingface/safetensors, README, "Format"):
 * 8 bytes with the length N of the header, little-endian; N bytes of JSON; the data of all tensors, without
 * holes and overlaps, to the end of the file.
 *
 * A file is checked as a whole when it is opened. It may be hostile: no size in it is believed. */
#ifndef ATTN_SAFETENSORS_H
#define ATTN_SAFETENSORS_H

#include "core/model/files/dtype.h"
#include "core/status.h"

#include <stddef.h>

#define ATTN_HEADER_MAX      ((size_t)8 << 20) /* bytes; that of a large checkpoint has about one million */
#define ATTN_RANK_MAX        8
#define ATTN_TENSORS_MAX     65536
#define ATTN_TENSOR_NAME_MAX 512 /* bytes */

typedef struct {
    const char *name;
    const attn_dtype *dtype;
    size_t rank; /* 0: a single number */
    size_t shape[ATTN_RANK_MAX];
    size_t count;  /* of elements */
    size_t offset; /* of the first byte, from the start of the file */
    size_t bytes;
} attn_tensor;

typedef struct attn_safetensors attn_safetensors;

/* Opens and checks a file. Fails with ATTN_BAD_MODEL or ATTN_NO_MEMORY. The caller closes *file, which
 * owns all that the functions below return, with attn_safetensors_close. */
attn_status attn_safetensors_open(const char *path, attn_safetensors **file, attn_error *error);

/* NULL is allowed. */
void attn_safetensors_close(attn_safetensors *file);

/* The path, made printable. */
const char *attn_safetensors_path(const attn_safetensors *file);

/* The tensors, in the order of their names; *count is how many there are. */
const attn_tensor *attn_safetensors_tensors(const attn_safetensors *file, size_t *count);

/* What __metadata__ holds under `key`, or NULL. */
const char *attn_safetensors_metadata(const attn_safetensors *file, const char *key);

/* Frees the metadata, which nobody asks for where there are several files. */
void attn_safetensors_forget_metadata(attn_safetensors *file);

/* Reads the `count` elements from number `first` on into values [count]; the tensor must have them. Fails
 * with ATTN_BAD_MODEL if the type cannot be a weight, if the file ends early, and if a number is not finite
 * or beyond float32. */
attn_status attn_safetensors_read(const attn_safetensors *file, const attn_tensor *tensor, size_t first,
                                  size_t count, float *values, attn_error *error);

/* Fails with ATTN_BAD_MODEL and `FILE: tensor "NAME": ` before the sentence. */
attn_status attn_tensor_fail(const attn_safetensors *file, const char *tensor, attn_error *error,
                             const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Writes a shape of up to ATTN_RANK_MAX dimensions as "[2, 3]"; cut if it does not fit. */
void attn_shape_print(const size_t *shape, size_t rank, char *text, size_t size);

#endif
