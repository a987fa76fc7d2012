/* map.c: a picture of weights that were computed before, instead of weights that are computed for it. */
#include "core/attention/view.h"
#include "core/size.h"
#include "server/attend/shape.h"
#include "server/attend/view.h"
#include "server/picture/picture.h"

#include <string.h>

/* From a map of weights, `from`, to the part of it that a picture shows, `to`. */
typedef struct {
    const attend_call *from;
    attend_call *to;
    attn_arena *arena;
    attn_watch watch;
    size_t maps;          /* heads that `from` has; 1 if it has their mean */
    size_t rows, columns; /* of each of its maps */
    size_t batch, index;  /* the batch entry that is shown, and where `from` has it */
} selection;

/* Memory ran out, or the control said stop. */
static problem_code fail(const selection *s, problem *p) {
    return problem_from_core(
        p, attn_control_stops(s->watch.control) ? ATTN_CANCELLED : attn_arena_failure(s->arena), NULL);
}

/* Heads cannot be had any more from their mean, nor a mean or other bins from what was pooled. */
static problem_code check_kept(const picture_options *o, const attend_request *kept,
                               const attend_request *planned, problem *p) {
    const request_view *before = &kept->view, *after = &planned->view;
    if (kept->average_attn_weights && o->heads == PICTURE_HEADS_LISTED)
        return problem_set_at(p, PROBLEM_BAD_VALUE, "head",
                              "head lists heads, but average_attn_weights left only the mean of the weights; "
                              "expected one without the other");
    if (!before->present || !before->size.present)
        return PROBLEM_NONE;
    if (planned->average_attn_weights && !kept->average_attn_weights)
        return problem_set_at(
            p, PROBLEM_BAD_VALUE, "head",
            "head is 'mean', but the weights were pooled by view.size before a mean could be "
            "taken; expected heads, or average_attn_weights in the request");
    if (before->size.items[0] != after->size.items[0] || before->size.items[1] != after->size.items[1])
        return problem_set_at(
            p, PROBLEM_BAD_VALUE, "view.size",
            "view.size is %s, more than a picture of these heads has room for; expected fewer "
            "heads or a smaller size",
            shape_show(before->size.items, 2).text);
    return PROBLEM_NONE;
}

/* The request as it would be for the picture alone. */
static problem_code plan(const picture_options *o, const attn_model *model, const attend_request *request,
                         attn_arena *arena, attend_request *planned, problem *p) {
    *planned = *request;
    const problem_code code = picture_plan(o, model, planned, arena, p);
    return code != PROBLEM_NONE ? code : check_kept(o, request, planned, p);
}

problem_code picture_map_check(const picture_options *o, const attn_model *model,
                               const attend_request *request, attn_arena *arena, problem *p) {
    attend_request planned;
    return plan(o, model, request, arena, &planned, p);
}

static size_t index_in(const size_t *list, size_t count, size_t item) {
    size_t index = 0;
    while (list != NULL && index < count && list[index] != item)
        index++;
    return list == NULL ? item : index;
}

static void measure_map(selection *s) {
    const attn_view *view = &s->from->output.view;
    s->maps = view->average ? 1 : view->head_count;
    s->rows = view_rows(view);
    s->columns = view_columns(view);
    s->batch = s->to->output.view.batch == NULL ? 0 : s->to->output.view.batch[0];
    s->index = index_in(view->batch, view->batch_count, s->batch);
}

/* The map of a head, or of their mean. */
static const float *map_of(const selection *s, size_t head) {
    const attn_view *view = &s->from->output.view;
    const size_t map = view->average ? 0 : index_in(view->heads, view->head_count, head);
    return s->from->output.weights.values + (s->index * s->maps + map) * s->rows * s->columns;
}

/* Heads, as they are. False if the control says stop. */
static bool copy_maps(selection *s, float *values) {
    const attn_view *view = &s->to->output.view;
    const size_t heads = view->average ? 1 : view->head_count;
    for (size_t n = 0; n < heads; n++) {
        const float *from = map_of(s, view->heads == NULL ? n : view->heads[n]);
        for (size_t i = 0; i < s->rows; i++, values += s->columns, from += s->columns) {
            memcpy(values, from, s->columns * sizeof *values);
            if (attn_watch_stops(&s->watch, ATTN_ROW_STEPS + s->columns))
                return false;
        }
    }
    return true;
}

/* What the collector is given a row at a time: a row of a head, or the mean over the heads of the view, made
 * as the computation makes it. `averaged`: the mean is all there is. */
typedef struct {
    attn_view_writer collector;
    bool averaged;
    float *mean;  /* [columns] */
    double *bins; /* [pooled_cols] */
} collecting;

/* NULL if the control says stop. */
static const float *mean_row(selection *s, const collecting *c, size_t i) {
    const attn_view *view = c->collector.view;
    memset(c->mean, 0, s->columns * sizeof *c->mean);
    for (size_t h = 0; h < s->from->model->layer.config.num_heads; h++) {
        if (attn_watch_stops(&s->watch, view->head_count + s->columns))
            return NULL;
        if (index_in(view->heads, view->head_count, h) >= view->head_count)
            continue;
        const float *row = map_of(s, h) + i * s->columns;
        for (size_t n = 0; n < s->columns; n++)
            c->mean[n] += row[n];
    }
    for (size_t n = 0; n < s->columns; n++)
        c->mean[n] /= (float)view->head_count;
    return c->mean;
}

/* False if the control says stop. */
static bool collect_rows(selection *s, const collecting *c) {
    const attn_view *view = c->collector.view;
    for (size_t map = 0; map < c->collector.heads; map++)
        for (size_t i = 0; i < s->rows; i++) {
            const size_t head = c->averaged ? 0 : view->heads == NULL ? map : view->heads[map];
            const float *row =
                view->average && !c->averaged ? mean_row(s, c, i) : map_of(s, head) + i * s->columns;
            /* What has been collected before is finite. */
            if (row == NULL ||
                attn_view_write_row(&c->collector, 0, map, i, row, c->bins, &s->watch) != ATTN_OK)
                return false;
        }
    return true;
}

/* False if memory ran out, or the control said stop. */
static bool collect(selection *s) {
    const attn_output *output = &s->to->output;
    const size_t bins = output->view.pooled_cols;
    const collecting c = {.collector = attn_view_writer_of(&output->weights, &output->view, true),
                          .averaged = s->from->output.view.average,
                          .mean = attn_arena_array(s->arena, s->columns, sizeof *c.mean),
                          .bins = attn_arena_array(s->arena, bins, sizeof *c.bins)};
    const bool good = c.mean != NULL && c.bins != NULL && collect_rows(s, &c);
    attn_arena_release(s->arena, c.mean);
    attn_arena_release(s->arena, c.bins);
    return good;
}

static problem_code fill(selection *s, const view_shape *map, problem *p) {
    const attn_view *before = &s->from->output.view, *after = &s->to->output.view;
    const size_t heads = after->average ? 1 : after->head_count;
    size_t bytes;
    measure_map(s);
    float *values = shape_bytes((const size_t[]){heads, map->rows, map->columns}, 3, &bytes)
                        ? attn_arena_alloc(s->arena, bytes)
                        : NULL;
    if (values == NULL)
        return fail(s, p);
    s->to->output.weights.values = values;
    if (s->from->input.B == 0 || s->rows == 0 || s->columns == 0)
        return PROBLEM_NONE; /* the picture says so */
    const bool as_it_is = before->average == after->average && before->pooled_rows == after->pooled_rows &&
                          before->pooled_cols == after->pooled_cols;
    return (as_it_is ? copy_maps(s, values) : collect(s)) ? PROBLEM_NONE : fail(s, p);
}

problem_code picture_map_show(const picture_options *o, const attend_request *request,
                              const attend_call *call, const attn_control *control, attn_arena *arena,
                              attend_call *shown_call, problem *p) {
    selection s = {.from = call, .to = shown_call, .arena = arena, .watch.control = control};
    attend_request planned;
    view_shape map;
    *shown_call = *call;
    shown_call->output = (attn_output){.output = NULL};
    PROBLEM_TRY(plan(o, call->model, request, arena, &planned, p));
    PROBLEM_TRY(view_resolve(&planned.view, &call->model->layer.config, &call->input, arena,
                             &shown_call->output.view, &map, p));
    shown_call->output.view.average = planned.average_attn_weights;
    return fill(&s, &map, p);
}
