/* view.h: which part of attn_weights and scores, the quadratic arrays, is wanted. */
#ifndef ATTEND_VIEW_H
#define ATTEND_VIEW_H

#include "core/attention.h"
#include "server/attend/request.h"

/* The last two dimensions of what the view shows. */
typedef struct {
    size_t rows, columns;
    bool top_k; /* columns are the largest of each row, as values and indices */
} view_shape;

static inline size_t view_at_most(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Rows and columns of a map by a resolved view, before any selection of the largest. */
static inline size_t view_rows(const attn_view *view) {
    return view->pooled_rows != 0 ? view->pooled_rows : view->row_to - view->row_from;
}

static inline size_t view_columns(const attn_view *view) {
    return view->pooled_cols != 0 ? view->pooled_cols : view->col_to - view->col_from;
}

/* Checks the view (which may be absent: then it shows everything) against the model and the input, whose
 * sizes are known by now. *view has lists of the request's arena. Fails with *p filled in. */
problem_code view_resolve(const request_view *given, const attn_config *config, const attn_input *input,
                          attn_arena *arena, attn_view *view, view_shape *shape, problem *p);

#endif
