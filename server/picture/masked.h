/* masked.h: which cells of a map of weights stand for nothing that could be attended to. */
#ifndef PICTURE_MASKED_H
#define PICTURE_MASKED_H

#include "core/arena.h"
#include "core/watch.h"
#include "server/attend/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A map has rows and columns as its view has them: queries and keys, or bins of them. */
typedef struct {
    const attend_call *call;
    size_t batch;         /* the entry that the map is of */
    size_t extra;         /* keys that the layer brings itself */
    size_t rows, columns; /* of the map */
    uint32_t *kept;       /* [S + 1]: how many of the keys before key j the padding mask leaves; NULL: all */
    bool *open;           /* [columns]: may a query of this row attend to a key of this column? */
    size_t keyless; /* how many queries of this row may attend to no key at all, in the map or beside it */
    size_t queries; /* of this row */
    attn_watch watch;
} masked;

/* The first of the `count` queries or keys in bin `n` of `bins`, as attn_view has them. */
static inline size_t masked_bin_start(size_t n, size_t count, size_t bins) {
    return (size_t)((uint64_t)n * count / bins);
}

/* Prepares for the maps of the call's view, which shows at least one batch entry, row and column. Memory
 * comes from `arena` and stays there. False if there is none, or if the control (NULL: there is none) says
 * stop. */
bool masked_start(masked *m, const attend_call *call, const attn_control *control, attn_arena *arena);

/* Fills in `open`, `keyless` and `queries` for a row of the map in which these heads are one: a key is open
 * if it is so to any of them. False if the control says stop. */
bool masked_row(masked *m, size_t row, const size_t *heads, size_t head_count);

/* Do the heads differ in what they may attend to? */
bool masked_by_head(const masked *m);

#endif
