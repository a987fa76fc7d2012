/* plan.c: what has to be computed for a picture. */
#include "core/size.h"
#include "server/attend/view.h"
#include "server/picture/heatmap.h"
#include "server/picture/layout.h"
#include "server/picture/picture.h"

#include <string.h>

#define NUMBERS_MAX                                                                                          \
    ((size_t)1 << 25) /* weights that are kept for a picture, of all heads together: 128 MiB */

/* What is known of the sizes before the request is resolved. */
typedef struct {
    const attn_config *config;
    attend_request *request;
    attn_arena *arena;
    problem *p;
    bool known; /* false: the tensors do not fit the model, and the request will be refused */
    size_t B, L, keys;
} planning;

/* The sizes that the tensors will have if they fit: as resolve_query and resolve_source of attend/resolve.c
 * have them. */
static void find_sizes(planning *plan) {
    const attend_request *request = plan->request;
    const request_tensor *query = &request->query, *key = &request->key;
    const bool batched = query->rank == 3 || (query->open && query->rank < 3);
    const size_t axis_L = batched ? 1 : 0;
    plan->known = query->present && query->rank >= 1 && query->rank <= 3 && (batched || query->rank == 2);
    if (!plan->known)
        return;
    plan->B = batched ? query->shape[0] : 1;
    plan->L = query->rank > axis_L ? query->shape[axis_L] : 0;
    const size_t S = !key->present ? plan->L : key->rank > axis_L ? key->shape[axis_L] : 0;
    plan->keys = attn_keys_with_extra(plan->config, S, request->omit_extra);
}

static bool make_list(planning *plan, request_wholes *list, const size_t *items, size_t count) {
    *list = (request_wholes){true, count, attn_arena_array(plan->arena, count, sizeof *items)};
    if (list->items == NULL) {
        problem_from_core(plan->p, attn_arena_failure(plan->arena), NULL);
        return false;
    }
    memcpy(list->items, items, count * sizeof *items);
    return true;
}

static problem_code plan_batch(planning *plan, const picture_options *o) {
    request_wholes *batch = &plan->request->view.batch;
    if (batch->present && o->batch_given)
        return problem_set_at(plan->p, PROBLEM_BAD_VALUE, "batch",
                              "batch and view.batch both say which batch entry, expected one of them");
    if (batch->present)
        return batch->count == 1
                   ? PROBLEM_NONE
                   : problem_set_at(plan->p, PROBLEM_BAD_VALUE, "view.batch",
                                    "view.batch has %zu entries, but a picture shows 1", batch->count);
    if (!plan->known || (plan->B == 0 && !o->batch_given))
        return PROBLEM_NONE;
    if (plan->B == 0)
        return problem_set_at(plan->p, PROBLEM_BAD_VALUE, "batch",
                              "batch is %zu, but there is no batch entry at all", o->batch);
    if (o->batch >= plan->B)
        return problem_set_at(plan->p, PROBLEM_BAD_VALUE, "batch",
                              "batch is %zu, expected a batch entry from 0 to %zu", o->batch, plan->B - 1);
    return make_list(plan, batch, &o->batch, 1) ? PROBLEM_NONE : plan->p->code;
}

static problem_code plan_heads(planning *plan, const picture_options *o) {
    request_wholes *heads = &plan->request->view.heads;
    const size_t H = plan->config->num_heads;
    if (plan->request->average_attn_weights && o->heads == PICTURE_HEADS_MAX_OF)
        return problem_set_at(plan->p, PROBLEM_BAD_VALUE, "head",
                              "head is 'max', but average_attn_weights asks for the mean over the heads; "
                              "expected one of them");
    if (o->heads == PICTURE_HEADS_MEAN)
        plan->request->average_attn_weights = true;
    if (o->heads != PICTURE_HEADS_LISTED)
        return PROBLEM_NONE;
    if (heads->present)
        return problem_set_at(plan->p, PROBLEM_BAD_VALUE, "head",
                              "head and view.heads both list heads, expected one of them");
    for (size_t n = 0; n < o->head_count; n++)
        if (o->head_list[n] >= H)
            return problem_set_at(plan->p, PROBLEM_BAD_VALUE, "head",
                                  "head is %zu, expected a head from 0 to %zu", o->head_list[n], H - 1);
    return make_list(plan, heads, o->head_list, o->head_count) ? PROBLEM_NONE : plan->p->code;
}

/* How many of [from, to) there are, or `all`; a window that does not fit will be refused later. */
static size_t window_size(const request_wholes *window, size_t all) {
    if (!window->present || window->items[0] >= window->items[1] || window->items[1] > all)
        return all;
    return window->items[1] - window->items[0];
}

/* The largest of several heads is found among maps of each, all of which have to be there. */
static void limit_numbers(size_t heads, size_t *rows, size_t *columns) {
    size_t bin = 1;
    while (attn_divide_up(*rows, bin) > NUMBERS_MAX / heads / attn_divide_up(*columns, bin))
        bin++;
    *rows = attn_divide_up(*rows, bin);
    *columns = attn_divide_up(*columns, bin);
}

/* Makes the view pool what there is no room for. */
static problem_code plan_size(planning *plan, const picture_options *o) {
    request_view *view = &plan->request->view;
    const bool one_panel = plan->request->average_attn_weights || o->heads == PICTURE_HEADS_MAX_OF;
    const size_t heads = view->heads.present ? view->heads.count : plan->config->num_heads;
    size_t all_rows = window_size(&view->rows, plan->L), all_columns = window_size(&view->cols, plan->keys);
    if (view->size.present) {
        all_rows = view_at_most(all_rows, view->size.items[0]);
        all_columns = view_at_most(all_columns, view->size.items[1]);
    }
    if (!plan->known || plan->B == 0 || all_rows == 0 || all_columns == 0)
        return PROBLEM_NONE;
    size_t rows = all_rows, columns = all_columns;
    if (o->heads == PICTURE_HEADS_MAX_OF && heads > 0)
        limit_numbers(heads, &rows, &columns);
    const picture_contents contents = heatmap_contents(
        one_panel ? 1 : heads, rows, columns, view->rows.present ? view->rows.items[1] : plan->L, o->cell);
    picture_layout layout;
    if (!picture_layout_fit(&contents, &layout))
        return problem_set_at(plan->p, PROBLEM_BAD_VALUE, "head",
                              "%zu panels%s have no room in a picture of %d x %d pixels; choose heads with "
                              "head=0,1,2, or head=mean or head=max",
                              contents.panels, o->cell > 1 ? " with cells of that size" : "",
                              PICTURE_SIDE_MAX, PICTURE_SIDE_MAX);
    if (layout.rows == all_rows && layout.columns == all_columns)
        return PROBLEM_NONE;
    return make_list(plan, &view->size, (size_t[]){layout.rows, layout.columns}, 2) ? PROBLEM_NONE
                                                                                    : plan->p->code;
}

problem_code picture_plan(const picture_options *o, const attn_model *model, attend_request *request,
                          attn_arena *arena, problem *p) {
    planning plan = {.config = &model->layer.config, .request = request, .arena = arena, .p = p};
    if (request->head_output.present)
        return problem_set_at(p, PROBLEM_BAD_VALUE, "head_output",
                              "head_output has no attention weights to make a picture of; expected query, "
                              "key and value");
    if (request->view.top_k.present)
        return problem_set_at(p, PROBLEM_BAD_VALUE, "view.top_k",
                              "view.top_k is not for pictures, expected a view without it");
    find_sizes(&plan);
    request->need_weights = true;
    PROBLEM_TRY(plan_batch(&plan, o));
    PROBLEM_TRY(plan_heads(&plan, o));
    request->view.present = true;
    return plan_size(&plan, o);
}
