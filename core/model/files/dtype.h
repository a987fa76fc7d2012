/* dtype.h: the element types of safetensors files, and which of them can be weights. */
#ifndef ATTN_DTYPE_H
#define ATTN_DTYPE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name; /* in files: "F32" */
    size_t bits;      /* of one element */
    /* Turns `count` little-endian elements into float32: exactly, or from F64 rounded once (to infinity
     * what is beyond float32). NULL for a type that weights cannot have. */
    void (*to_float)(const uint8_t *bytes, size_t count, float *values);
} attn_dtype;

/* The types that weights should have, for sentences; F8_E4M3 and F8_E5M2 are read too. */
#define ATTN_WEIGHT_DTYPES "F64, F32, F16 or BF16"

/* The type with this name, or NULL. */
const attn_dtype *attn_dtype_find(const char *name);

#endif
