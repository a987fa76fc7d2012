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

/* Writes the path of an element, or of an array of them: "query[0][3]". */
void shape_write_path(const char *name, const size_t *index, size_t rank, char *path, size_t room);

/* Elements of an array whose size is known not to overflow. */
static inline size_t shape_count(const size_t *shape, size_t rank) {
    size_t count = 1;
    for (size_t i = 0; i < rank; i++)
        count *= shape[i];
    return count;
}

/* Bytes of an array of this shape with elements of four bytes; false if they overflow. A zero counts as one:
 * an answer of empty arrays is text all the same. */
bool shape_bytes(const size_t *shape, size_t rank, size_t *bytes);

#endif
