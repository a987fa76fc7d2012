#include "server/attend/view.h"

#include <stdio.h>
#include <string.h>

/* A list of different whole numbers below `n`, which count the things called `one`. */
static problem_code check_list(const request_wholes *list, const char *path, const char *one, size_t n,
                               attn_arena *arena, problem *p) {
    char item_path[64];
    if (list->count == 0)
        return problem_set_at(p, PROBLEM_BAD_VALUE, path, "%s is empty, expected at least one %s", path, one);
    bool *seen = attn_arena_array(arena, n, sizeof *seen);
    if (seen == NULL)
        return problem_from_core(p, attn_arena_failure(arena), NULL);
    memset(seen, 0, n * sizeof *seen);
    problem_code code = PROBLEM_NONE;
    for (size_t i = 0; i < list->count && code == PROBLEM_NONE; i++) {
        const size_t item = list->items[i];
        if (item < n && !seen[item]) {
            seen[item] = true;
            continue;
        }
        snprintf(item_path, sizeof item_path, "%s[%zu]", path, i);
        if (n == 0)
            code = problem_set_at(p, PROBLEM_BAD_VALUE, item_path, "%s is %zu, but there is no %s at all",
                                  item_path, item, one);
        else if (item >= n)
            code = problem_set_at(p, PROBLEM_BAD_VALUE, item_path, "%s is %zu, expected a %s from 0 to %zu",
                                  item_path, item, one, n - 1);
        else
            code = problem_set_at(p, PROBLEM_BAD_VALUE, item_path,
                                  "%s is %zu, which the list has already; expected each %s once", item_path,
                                  item, one);
    }
    attn_arena_release(arena, seen);
    return code;
}

/* [from,to] of `n` things; absent, it is all of them. */
static problem_code check_window(const request_wholes *window, const char *path, const char *many, size_t n,
                                 size_t *from, size_t *to, problem *p) {
    if (!window->present)
        return PROBLEM_NONE;
    const size_t *given = window->items;
    if (n == 0)
        return problem_set_at(p, PROBLEM_BAD_VALUE, path, "%s is %s, but there are no %s", path,
                              shape_show(given, 2).text, many);
    if (given[0] >= given[1] || given[1] > n)
        return problem_set_at(p, PROBLEM_BAD_VALUE, path,
                              "%s is %s, expected [from,to] with 0 <= from < to <= %zu, the number of %s",
                              path, shape_show(given, 2).text, n, many);
    *from = given[0];
    *to = given[1];
    return PROBLEM_NONE;
}

/* What is made of the window: pooled, the largest of each row, or as it is. */
static problem_code check_reduction(const request_view *given, attn_view *view, view_shape *shape,
                                    problem *p) {
    const size_t *size = given->size.items;
    if (given->top_k.present && given->size.present)
        return problem_set_at(p, PROBLEM_BAD_VALUE, "view.top_k",
                              "view.top_k excludes view.size, expected one of them");
    if (given->pool != 0 && !given->size.present)
        return problem_set_at(p, PROBLEM_BAD_VALUE, "view.pool",
                              "view.pool says how, but there is no view.size to pool into");
    if (given->top_k.present) {
        if (given->top_k.value == 0)
            return problem_set_at(p, PROBLEM_BAD_VALUE, "view.top_k", "view.top_k is 0, expected at least 1");
        view->top_k = shape->columns = view_at_most(given->top_k.value, shape->columns);
        shape->top_k = true;
    }
    if (given->size.present) {
        if (size[0] == 0 || size[1] == 0)
            return problem_set_at(p, PROBLEM_BAD_VALUE, "view.size",
                                  "view.size is %s, expected [height,width] of at least 1 each",
                                  shape_show(size, 2).text);
        shape->rows = view_at_most(size[0], shape->rows);
        shape->columns = view_at_most(size[1], shape->columns);
        if (shape->rows > 0 && shape->columns > 0) { /* else there is nothing to pool */
            view->pooled_rows = shape->rows;
            view->pooled_cols = shape->columns;
        }
        view->pool = given->pool == 0 ? ATTN_POOL_MAX : (attn_pool)(given->pool - 1);
    }
    return PROBLEM_NONE;
}

problem_code view_resolve(const request_view *given, const attn_config *config, const attn_input *input,
                          attn_arena *arena, attn_view *view, view_shape *shape, problem *p) {
    *view = attn_view_all(config, input);
    *shape = (view_shape){view->row_to, view->col_to, false};
    if (given->batch.present) {
        PROBLEM_TRY(check_list(&given->batch, "view.batch", "batch entry", view->batch_count, arena, p));
        view->batch = given->batch.items;
        view->batch_count = given->batch.count;
    }
    if (given->heads.present) {
        PROBLEM_TRY(check_list(&given->heads, "view.heads", "head", view->head_count, arena, p));
        view->heads = given->heads.items;
        view->head_count = given->heads.count;
    }
    PROBLEM_TRY(
        check_window(&given->rows, "view.rows", "queries", shape->rows, &view->row_from, &view->row_to, p));
    PROBLEM_TRY(check_window(&given->cols, "view.cols", "keys (extra ones included)", shape->columns,
                             &view->col_from, &view->col_to, p));
    shape->rows = view->row_to - view->row_from;
    shape->columns = view->col_to - view->col_from;
    return check_reduction(given, view, shape, p);
}
