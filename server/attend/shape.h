/* shape.h: the shapes of tensors, in sentences and in bytes. */
#ifndef ATTEND_SHAPE_H
#define ATTEND_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#define SHAPE_MAX_RANK 4

/* A shape for people: "[2,10,512]". */
typedef struct {
    char text[SHAPE_MAX_RANK * 22 + 3];
} shape_text;

shape_text shape_show(const size_t *shape, size_t rank);

/* Bytes of an array of this shape with elements of four bytes; false if they overflow. A zero counts as one:
 * an answer of empty arrays is text all the same. */
bool shape_bytes(const size_t *shape, size_t rank, size_t *bytes);

#endif
