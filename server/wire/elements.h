/* elements.h: the elements of a tensor as bytes, little-endian, and how they become the float32 of a request.
 *
 * Each wire format has its own way to say their type and shape; what is allowed is the same for all. */
#ifndef WIRE_ELEMENTS_H
#define WIRE_ELEMENTS_H

#include "core/arena.h"
#include "core/attention.h"
#include "server/attend/fields.h"
#include "server/attend/request.h"
#include "server/problem.h"

#include <stdbool.h>
#include <stddef.h>

/* The types that a request may use. */
typedef enum {
    ELEMENT_FLOAT64,
    ELEMENT_FLOAT32,
    ELEMENT_FLOAT16,
    ELEMENT_BFLOAT16,
    ELEMENT_BOOL, /* a byte, 0 or 1; in masks only */
    ELEMENT_TYPES,
} element_type;

/* What the wire formats call them, in that order, up to a NULL: the words of a field. */
typedef const char *const element_names[ELEMENT_TYPES + 1];
extern element_names element_names_json;        /* "float32" */
extern element_names element_names_safetensors; /* "F32" */
extern element_names element_names_oip;         /* "FP32" */

/* Bytes of one element. */
size_t element_size(element_type type);

typedef struct {
    const field *field; /* a FIELD_TENSOR or FIELD_MASK */
    element_type type;
    const char *const *names; /* the element_names of the format, for sentences */
    const void *bytes;
    size_t length;               /* of `bytes` */
    bool may_alias;              /* the bytes live as long as the request, and nobody else writes to them */
    const attn_control *control; /* asked while there are many; NULL: never stop */
} elements;

/* Takes a shape, from whoever sent it: *t gets rank and dimensions, *length the bytes of all elements. Fails
 * with bad_shape and the path if there are not 1 to 4 dimensions of at most 2^24, or if the size overflows,
 * where a dimension of zero counts as one. */
problem_code elements_shape(const field *f, element_type type, const size_t *shape, size_t rank,
                            request_tensor *t, size_t *length, problem *p);

/* Are `values` [count] only zeros and ones, with a one among them? False if the control says stop. */
bool elements_zero_or_one(const float *values, size_t count, const attn_control *control);

/* Sets all of *t but rank and shape, which are there, from e->length bytes, exactly those that the shape
 * takes. With `may_alias`, float32 that are aligned stay where they are; others go to `arena`. Numbers must
 * be finite and within float32; a mask may hold minus infinity. Booleans become 0 and minus infinity. Fails
 * with code, sentence and path ("query[0][3]"); where one element is to blame, p->offset is its first byte,
 * counted from `bytes`, and p->has_offset is set. Fails with deadline_exceeded if the control says stop. */
problem_code elements_read(const elements *e, attn_arena *arena, request_tensor *t, problem *p);

#endif
