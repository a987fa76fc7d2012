/* options.h: what a caller may choose about a picture of the attention weights. */
#ifndef PICTURE_OPTIONS_H
#define PICTURE_OPTIONS_H

#include "server/attend/request.h"
#include "server/problem.h"

#include <stdbool.h>
#include <stddef.h>

#define PICTURE_CELL_MAX  32  /* pixels */
#define PICTURE_HEADS_MAX 256 /* that can be listed one by one */

typedef enum {
    PICTURE_HEADS_ALL,    /* a panel for each head */
    PICTURE_HEADS_LISTED, /* a panel for each head of the list */
    PICTURE_HEADS_MEAN,   /* one panel */
    PICTURE_HEADS_MAX_OF, /* one panel: the largest weight that any of the heads gives */
} picture_heads;

typedef enum { PICTURE_LINEAR, PICTURE_SQRT, PICTURE_LOG } picture_scale;

/* All zero: the picture as it is if nothing is chosen. */
typedef struct picture_options {
    picture_heads heads;
    size_t head_count; /* of the list */
    size_t head_list[PICTURE_HEADS_MAX];
    bool batch_given;
    size_t batch;
    size_t cell; /* pixels of a cell's side; 0: as fits */
    picture_scale scale;
} picture_options;

/* Reads one parameter of the query, decoded, like head=0,3 or cell=8, into *o. Fails with *p filled
 * in: unknown_field if there is no parameter of that name, bad_value if its value will not do. */
problem_code picture_read_parameter(const char *name, const char *value, picture_options *o, problem *p);

#endif
