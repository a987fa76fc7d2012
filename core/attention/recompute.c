/* recompute.c: the weights and the scores that the caller wants to see, their views and statistics. They are
 * computed again, from the final maximum and sum of each row, and only for the rows that are wanted: so the
 * output is the same whether they are asked for or not, and no more than a block of rows is held. */
#include "core/attention/block.h"
#include "core/attention/dropout.h"
#include "core/attention/stages.h"
#include "core/attention/view.h"
#include "core/kernels/transpose.h"

#include <string.h>

#define NOT_IN_VIEW SIZE_MAX

/* The most float32s of a block of rows; but as many rows as a vector has lanes may have more. */
#define BLOCK_NUMBERS ((size_t)1 << 18)

/* The float32s of a cache line. Rows that are 4 KiB apart would compete for the L1 cache, so their stride is
 * another. */
#define LINE_NUMBERS ((size_t)16)

/* Blocks of more float32s than this are not given to each thread: one thread computes them all. */
#define SHARED_NUMBERS ((size_t)1 << 20)

/* Of attn_watch, for a random number. */
#define DROPOUT_STEPS 8

/* What all tasks share. */
typedef struct {
    attn_pass *pass;
    attn_view_writer weights, scores;
    size_t keys;         /* S+ */
    size_t stride;       /* from row to row of a block */
    size_t rows;         /* of a block */
    size_t *batch_index; /* [B]: of a batch entry in the view, or NOT_IN_VIEW; NULL: the view has all */
    size_t *head_index;  /* [H]: of a head, likewise */
    size_t bins, groups,
        group_bins; /* of a mean over the heads: bins of rows, in groups; a group is a task */
    size_t slot_bytes;
    char *scratch; /* [slots, slot_bytes] */
} recomputation;

/* What a slot has to itself. */
typedef struct {
    attn_tile tile;
    attn_watch watch;                 /* of all work but the scores */
    float *weights;                   /* [rows, stride] */
    float *others;                    /* [rows, stride]: scores, or sums over the heads */
    double *received;                 /* [S+] */
    double *weight_bins, *score_bins; /* [pooled_cols] */
} workspace;

/* ---- What is wanted ---- */

static bool wants_views(const attn_output *out) {
    return out->weights.values != NULL || out->scores.values != NULL;
}

/* Has any result a number? There may be any number of heads without one. */
static bool has_numbers(const recomputation *r) {
    const attn_output *out = r->pass->output;
    return (attn_wants_stats(out) && r->pass->input->L > 0) || (out->stats.received != NULL && r->keys > 0) ||
           (wants_views(out) && r->weights.rows > 0 && r->weights.columns > 0);
}

static size_t index_in_view(const size_t *indices, size_t n) {
    return indices == NULL ? n : indices[n];
}

/* *indices [count]: of each entry in `list` [listed]; NULL without a list. False without memory, or if the
 * watch says stop. */
static bool make_indices(const size_t *list, size_t listed, size_t count, attn_arena *work, attn_watch *watch,
                         size_t **indices) {
    if (list == NULL)
        return true;
    if ((*indices = attn_arena_array(work, count, sizeof **indices)) == NULL)
        return false;
    for (size_t n = 0, some; n < count; n += some) {
        some = attn_watch_some(count - n, 1);
        for (size_t i = n; i < n + some; i++)
            (*indices)[i] = NOT_IN_VIEW;
        if (attn_watch_stops(watch, some))
            return false;
    }
    for (size_t n = 0; n < listed; n++)
        (*indices)[list[n]] = n;
    return true;
}

/* ---- Memory ---- */

/* Rows that fit into a block, but at least as many as the lanes, and no more than are wanted. */
static size_t choose_rows(const recomputation *r) {
    const attn_output *out = r->pass->output;
    const size_t lanes = r->pass->kernels->lanes;
    const size_t wanted = attn_wants_stats(out) ? r->pass->input->L : r->weights.rows;
    const size_t fit = BLOCK_NUMBERS / (r->keys == 0 ? 1 : r->keys);
    const size_t rows = fit > TILE_QUERIES ? TILE_QUERIES : fit < lanes ? lanes : fit;
    return wanted < rows ? wanted : rows;
}

/* Lays out a workspace in memory, if there is any, and returns its bytes, which are known not to overflow. */
static size_t lay_out(const recomputation *r, char *memory, workspace *w) {
    const size_t row = r->rows * r->stride * sizeof(float);
    const size_t pooled = wants_views(r->pass->output) ? r->weights.view->pooled_cols : 0;
    const size_t sizes[] = {
        attn_tile_bytes(r->pass->layer), TILE_SCORE_BYTES,       row, row, r->keys * sizeof(double),
        pooled * sizeof(double),         pooled * sizeof(double)};
    enum { ARRAYS = sizeof sizes / sizeof sizes[0] };
    size_t at[ARRAYS + 1] = {0};
    for (size_t n = 0; n < ARRAYS; n++)
        at[n + 1] = attn_round_up(at[n] + sizes[n], ATTN_ALIGNMENT);
    if (memory != NULL) {
        attn_tile_layout(&w->tile, r->pass->layer, memory, memory + at[1]);
        w->weights = (float *)(void *)(memory + at[2]);
        w->others = (float *)(void *)(memory + at[3]);
        w->received = (double *)(void *)(memory + at[4]);
        w->weight_bins = (double *)(void *)(memory + at[5]);
        w->score_bins = (double *)(void *)(memory + at[6]);
    }
    return at[ARRAYS];
}

static bool allocate(recomputation *r, size_t slots) {
    attn_pass *pass = r->pass;
    const attn_view *view = r->weights.view;
    attn_watch watch = {.control = pass->control};
    size_t numbers, bytes;
    /* A bound for all arrays of a slot together. */
    if (!attn_multiply_all((size_t[]){r->rows + 2, r->keys + 4 * TILE_QUERIES, 64}, 3, &numbers))
        return false;
    r->slot_bytes = lay_out(r, NULL, NULL);
    return attn_multiply(r->slot_bytes, slots, &bytes) &&
           make_indices(wants_views(pass->output) ? view->batch : NULL, view->batch_count, pass->input->B,
                        pass->work, &watch, &r->batch_index) &&
           make_indices(wants_views(pass->output) ? view->heads : NULL, view->head_count,
                        pass->layer->config.num_heads, pass->work, &watch, &r->head_index) &&
           (r->scratch = attn_arena_alloc(pass->work, bytes)) != NULL;
}

/* ---- The rows of a tile ---- */

/* Sets `bytes` of memory to zero; fails with ATTN_CANCELLED. */
static attn_status clear(const recomputation *r, workspace *w, void *memory, size_t bytes) {
    for (size_t done = 0, some; done < bytes; done += some) {
        some = attn_watch_some(bytes - done, 1);
        memset((char *)memory + done, 0, some);
        if (attn_watch_stops(&w->watch, some / sizeof(float)))
            return attn_pass_cancel(r->pass);
    }
    return ATTN_OK;
}

/* Begins a tile of rows whose maximum and sum are known. */
static void begin_tile(const recomputation *r, workspace *w, size_t at, size_t b, size_t h, size_t first,
                       size_t rows) {
    attn_pass *pass = r->pass;
    const size_t row = (b * pass->layer->config.num_heads + h) * pass->input->L + first;
    attn_tile_begin(&w->tile, pass, at, b, h, first, rows);
    attn_visible_begin(&w->tile);
    memcpy(w->tile.max, pass->max + row, rows * sizeof *pass->max);
    memcpy(w->tile.sum, pass->sum + row, rows * sizeof *pass->sum);
}

/* Copies the block of the tile, [keys, width], to its columns of `rows`. */
static void copy_block(const recomputation *r, const attn_tile *tile, float *rows) {
    const attn_range keys = tile->keys;
    attn_transpose(tile->scores, tile->width, keys.to - keys.from, tile->rows, rows + keys.from, r->stride,
                   false);
}

/* w->weights of the tile's rows, before dropout. */
static attn_status compute_weights(const recomputation *r, workspace *w) {
    attn_tile *tile = &w->tile;
    bool more;
    attn_status status = clear(r, w, w->weights, tile->rows * r->stride * sizeof *w->weights);
    if (status != ATTN_OK)
        return status;
    attn_visible_rewind(tile);
    while ((status = attn_tile_next_weights(tile, &more)) == ATTN_OK && more)
        copy_block(r, tile, w->weights);
    return status;
}

/* w->others are the scores of the tile's rows, of all keys. */
static attn_status compute_scores(const recomputation *r, workspace *w) {
    const size_t S = r->pass->input->S;
    attn_range *keys = &w->tile.keys;
    w->tile.unshifted = true;
    for (*keys = (attn_range){0, 0}; keys->to < r->keys;) {
        const size_t from = keys->to, end = from < S ? S : r->keys;
        *keys = (attn_range){from, from < S && from + TILE_KEYS < end ? from + TILE_KEYS : end};
        ATTN_TRY(attn_tile_score(&w->tile));
        copy_block(r, &w->tile, w->others);
    }
    w->tile.unshifted = false;
    return ATTN_OK;
}

/* Applies to w->weights the dropout that the output has. */
static attn_status drop(const recomputation *r, workspace *w) {
    const attn_input *in = r->pass->input;
    const attn_tile *tile = &w->tile;
    const double dropout = r->pass->layer->config.dropout;
    for (size_t n = 0; n < tile->rows && in->training && dropout > 0; n++)
        for (size_t j = 0; j < r->keys; j++) {
            w->weights[n * r->stride + j] *=
                attn_dropout_factor(dropout, in->seed, (uint32_t)tile->b, (uint32_t)tile->h,
                                    (uint32_t)(tile->first + n), (uint32_t)j);
            if (attn_watch_stops(&w->watch, DROPOUT_STEPS))
                return attn_pass_cancel(r->pass);
        }
    return ATTN_OK;
}

static attn_status fail_row(const recomputation *r, const attn_tile *tile, bool are_weights, size_t i) {
    return are_weights ? attn_pass_fail(r->pass, tile->at, ATTN_BAD_VALUE,
                                        "a weight of query %zu in batch %zu, head %zu is beyond float32", i,
                                        tile->b, tile->h)
                       : attn_pass_fail(r->pass, tile->at, ATTN_BAD_VALUE,
                                        "a score of query %zu in batch %zu, head %zu is beyond float32, and "
                                        "all scores were asked for",
                                        i, tile->b, tile->h);
}

/* Writes those rows of the tile that are in the view's window. `head` is the index in the result. */
static attn_status write_rows(const recomputation *r, workspace *w, const attn_view_writer *writer,
                              size_t head, const float *rows, double *bins) {
    const attn_tile *tile = &w->tile;
    const attn_view *view = writer->view;
    for (size_t n = 0; n < tile->rows; n++) {
        const size_t i = tile->first + n;
        if (i < view->row_from || i >= view->row_to)
            continue;
        const attn_status status =
            attn_view_write_row(writer, index_in_view(r->batch_index, tile->b), head, i - view->row_from,
                                rows + n * r->stride + view->col_from, bins, &w->watch);
        if (status != ATTN_OK)
            return status == ATTN_CANCELLED ? attn_pass_cancel(r->pass)
                                            : fail_row(r, tile, writer->are_weights, i);
    }
    return ATTN_OK;
}

/* ---- Head by head ---- */

/* Scores, statistics and weights of the tile's rows. */
static attn_status write_tile(const recomputation *r, workspace *w, bool in_view) {
    const attn_output *out = r->pass->output;
    const attn_tile *tile = &w->tile;
    const size_t head = index_in_view(r->head_index, tile->h);
    const bool writes_scores = in_view && out->scores.values != NULL, has_stats = attn_wants_stats(out);
    const bool writes_weights = in_view && out->weights.values != NULL && !out->view.average;
    attn_status status = ATTN_OK;
    if (writes_scores && (status = compute_scores(r, w)) == ATTN_OK)
        status = write_rows(r, w, &r->scores, head, w->others, w->score_bins);
    if (status == ATTN_OK && (has_stats || writes_weights))
        status = compute_weights(r, w);
    for (size_t n = 0; n < tile->rows && has_stats && status == ATTN_OK; n++)
        if (!attn_stats_write_row(r->pass->layer, r->pass->input, out, tile->b, tile->h, tile->first + n,
                                  w->weights + n * r->stride, w->received, &w->watch))
            status = attn_pass_cancel(r->pass);
    if (status == ATTN_OK && writes_weights && (status = drop(r, w)) == ATTN_OK)
        status = write_rows(r, w, &r->weights, head, w->weights, w->weight_bins);
    return status;
}

/* The heads that are computed: with statistics all there are, else those of the view. */
static size_t count_heads(const recomputation *r) {
    const attn_output *out = r->pass->output;
    return attn_wants_stats(out) ? r->pass->input->B * r->pass->layer->config.num_heads
                                 : out->view.batch_count * out->view.head_count;
}

/* Which head of which batch entry is number n of them. */
static void find_head(const recomputation *r, size_t n, size_t *b, size_t *h) {
    const attn_view *view = &r->pass->output->view;
    const bool all = attn_wants_stats(r->pass->output);
    const size_t heads = all ? r->pass->layer->config.num_heads : view->head_count;
    *b = all || view->batch == NULL ? n / heads : view->batch[n / heads];
    *h = all || view->heads == NULL ? n % heads : view->heads[n % heads];
}

/* All rows of a head that are wanted, in ascending order. */
static void head_task(void *loop, size_t round, size_t slot) {
    const recomputation *r = loop;
    const attn_output *out = r->pass->output;
    size_t b, h, first = attn_wants_stats(out) ? 0 : out->view.row_from;
    const size_t end = attn_wants_stats(out) ? r->pass->input->L : out->view.row_to;
    workspace w = {.watch.control = r->pass->control};
    find_head(r, round, &b, &h);
    lay_out(r, r->scratch + slot * r->slot_bytes, &w);
    const bool in_view = wants_views(out) && index_in_view(r->batch_index, b) != NOT_IN_VIEW &&
                         index_in_view(r->head_index, h) != NOT_IN_VIEW;
    if ((first >= end && attn_pass_ends(r->pass, round + 1)) ||
        clear(r, &w, w.received, r->keys * sizeof *w.received) != ATTN_OK)
        return;
    for (; first < end; first += r->rows) {
        if (attn_pass_ends(r->pass, round + 1))
            return;
        begin_tile(r, &w, round + 1, b, h, first, end - first < r->rows ? end - first : r->rows);
        if (write_tile(r, &w, in_view) != ATTN_OK)
            return;
    }
    for (size_t n = 0; n < r->keys && out->stats.received != NULL; n++)
        out->stats.received[round * r->keys + n] = (float)w.received[n];
}

/* ---- The mean over the heads ---- */

/* w->others are the means of rows [first, first + rows): the sums of w->weights, divided when the last head
 * is added. */
static attn_status compute_means(const recomputation *r, workspace *w, size_t at, size_t b, size_t first,
                                 size_t rows) {
    const size_t numbers = rows * r->stride, heads = r->weights.view->head_count;
    attn_status status = clear(r, w, w->others, numbers * sizeof *w->others);
    for (size_t h = 0, added = 0; added < heads && status == ATTN_OK; h++) {
        if (index_in_view(r->head_index, h) == NOT_IN_VIEW)
            continue;
        begin_tile(r, w, at, b, h, first, rows);
        ATTN_TRY(compute_weights(r, w));
        ATTN_TRY(drop(r, w));
        const bool is_last = ++added == heads;
        for (size_t done = 0, some; done < numbers; done += some) {
            some = attn_watch_some(numbers - done, 1);
            for (size_t n = done; n < done + some; n++)
                w->others[n] += w->weights[n];
            for (size_t n = done; n < done + some && is_last; n++)
                w->others[n] /= (float)heads;
            if (attn_watch_stops(&w->watch, some))
                return attn_pass_cancel(r->pass);
        }
    }
    return status;
}

/* Some bins of rows, whole ones; or some rows, if there is no pooling. */
static void mean_task(void *loop, size_t round, size_t slot) {
    const recomputation *r = loop;
    const attn_view *view = r->weights.view;
    const size_t batch = round / r->groups, bin = round % r->groups * r->group_bins;
    const size_t end_bin = bin + r->group_bins < r->bins ? bin + r->group_bins : r->bins;
    const size_t end = attn_bin_start(end_bin, r->weights.rows, r->bins);
    workspace w = {.watch.control = r->pass->control};
    lay_out(r, r->scratch + slot * r->slot_bytes, &w);
    for (size_t i = attn_bin_start(bin, r->weights.rows, r->bins); i < end; i += r->rows) {
        const size_t rows = end - i < r->rows ? end - i : r->rows;
        if (attn_pass_ends(r->pass, round + 1) ||
            compute_means(r, &w, round + 1, view->batch == NULL ? batch : view->batch[batch],
                          view->row_from + i, rows) != ATTN_OK ||
            write_rows(r, &w, &r->weights, 0, w.others, w.weight_bins) != ATTN_OK)
            return;
    }
}

static void write_means(recomputation *r, const attn_parallel *parallel) {
    const attn_view *view = r->weights.view;
    r->bins = view->pooled_rows != 0 ? view->pooled_rows : r->weights.rows;
    if (r->bins == 0)
        return;
    r->group_bins = r->rows * r->bins / r->weights.rows;
    r->group_bins = r->group_bins == 0 ? 1 : r->group_bins;
    r->groups = attn_divide_up(r->bins, r->group_bins);
    attn_parallel_run(parallel, view->batch_count * r->groups, mean_task, r);
}

/* ---- The stage ---- */

void attn_recompute(attn_batch *batch, attn_pass *pass) {
    const attn_output *out = pass->output;
    recomputation r = {.pass = pass,
                       .weights = attn_view_writer_of(&out->weights, &out->view, true),
                       .scores = attn_view_writer_of(&out->scores, &out->view, false),
                       .keys = pass->input->S + pass->extra};
    r.rows = choose_rows(&r);
    r.stride = attn_round_up(r.keys, LINE_NUMBERS) + LINE_NUMBERS;
    const bool alone = r.rows != 0 && r.keys > SHARED_NUMBERS / r.rows;
    const attn_parallel *parallel = alone ? NULL : batch->parallel;
    const size_t mark = attn_arena_mark(pass->work);
    if (!has_numbers(&r))
        return;
    if (!allocate(&r, attn_parallel_slots(parallel))) {
        if (!attn_pass_ends(pass, 0))
            attn_pass_no_memory(pass);
    } else {
        if (attn_wants_stats(out) || out->scores.values != NULL || !out->view.average)
            attn_parallel_run(parallel, count_heads(&r), head_task, &r);
        if (out->weights.values != NULL && out->view.average && !attn_pass_failed(pass))
            write_means(&r, parallel);
    }
    attn_arena_rewind(pass->work, mark);
}
