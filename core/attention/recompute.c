/* recompute.c: the weights and the scores that the caller wants to see, and what is made of them. They are
 * computed anew, from the final maximum and sum of each row, and only the rows that are wanted: so the output
 * is the same whether they are asked for or not, and no more than a block of rows is held. */
#include "core/attention/recompute.h"
#include "core/attention/block.h"
#include "core/attention/dropout.h"
#include "core/attention/stats.h"
#include "core/attention/tile.h"
#include "core/attention/view.h"
#include "core/attention/visible.h"
#include "core/kernels/transpose.h"
#include "core/size.h"

#include <string.h>

#define NOWHERE SIZE_MAX

/* Numbers of a block of rows, unless as many rows as a vector has lanes have more. */
#define BLOCK_NUMBERS ((size_t)1 << 18)
#define DROPOUT_STEPS 8 /* of a number, which is drawn for each weight */
/* Of a cache line; two of them are added to each row of a block at most. */
#define ROW_STEP ((size_t)16)

/* Beyond so many, the threads do not get blocks of their own. */
#define SHARED_NUMBERS ((size_t)1 << 20)

typedef struct {
    attn_pass *pass;
    attn_view_writer weights, scores;
    size_t keys;        /* S+ */
    size_t stride;      /* of the rows of a block: rows that are 4 KiB apart would compete for the L1 cache */
    size_t rows;        /* of a block */
    size_t *batch_slot; /* [B]: the place of a batch entry in the view, or NOWHERE; NULL: the view has all */
    size_t *head_slot;  /* [H]: likewise */
    size_t groups, bins,
        group_bins; /* of the mean over the heads: row bins, and how many of them are a round */
    size_t slot_bytes;
    char *scratch;
} maps;

/* What a slot has to itself. */
typedef struct {
    attn_tile tile;
    attn_watch watch;                 /* of all beside the scores */
    float *row_weights;               /* [rows, S+] */
    float *others;                    /* [rows, S+]: the scores, or the sums over the heads */
    double *received;                 /* [S+] */
    double *weight_bins, *score_bins; /* [pooled_cols] */
} workspace;

/* ---- Memory ---- */

/* *slots [count]: the place of each entry in `list` [listed]; NULL without a list. False without memory, or
 * if the watch says stop. */
static bool make_slots(const size_t *list, size_t listed, size_t count, attn_arena *work, attn_watch *watch,
                       size_t **slots) {
    if (list == NULL)
        return true;
    if ((*slots = attn_arena_array(work, count, sizeof **slots)) == NULL)
        return false;
    for (size_t n = 0, some; n < count; n += some) {
        some = attn_watch_some(count - n, 1);
        for (size_t i = n; i < n + some; i++)
            (*slots)[i] = NOWHERE;
        if (attn_watch_stops(watch, some))
            return false;
    }
    for (size_t n = 0; n < listed; n++)
        (*slots)[list[n]] = n;
    return true;
}

static size_t slot_of(const size_t *slots, size_t n) {
    return slots == NULL ? n : slots[n];
}

static bool has_maps(const attn_output *out) {
    return out->weights.values != NULL || out->scores.values != NULL;
}

/* Is there any number among the results? Else there may be any number of heads without one. */
static bool has_numbers(const maps *m) {
    const attn_output *out = m->pass->output;
    return (attn_wants_stats(out) && m->pass->input->L > 0) || (out->stats.received != NULL && m->keys > 0) ||
           (has_maps(out) && m->weights.rows > 0 && m->weights.columns > 0);
}

/* As many rows as fit into a block, but enough for the lanes, and not more than are wanted. */
static size_t choose_rows(const maps *m) {
    const attn_output *out = m->pass->output;
    const size_t lanes = m->pass->kernels->lanes;
    const size_t wanted = attn_wants_stats(out) ? m->pass->input->L : m->weights.rows;
    const size_t fit = BLOCK_NUMBERS / (m->keys == 0 ? 1 : m->keys);
    const size_t rows = fit > TILE_QUERIES ? TILE_QUERIES : fit < lanes ? lanes : fit;
    return wanted < rows ? wanted : rows;
}

/* Places a workspace into memory, if there is any, and returns its bytes. The sizes are known not to
 * overflow. */
static size_t place(const maps *m, char *memory, workspace *w) {
    const size_t row = m->rows * m->stride * sizeof(float);
    const size_t pooled = has_maps(m->pass->output) ? m->weights.view->pooled_cols : 0;
    const size_t sizes[] = {
        attn_tile_bytes(m->pass->layer), TILE_SCORE_BYTES,       row, row, m->keys * sizeof(double),
        pooled * sizeof(double),         pooled * sizeof(double)};
    size_t at[sizeof sizes / sizeof sizes[0] + 1] = {0};
    for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++)
        at[n + 1] = attn_round_up(at[n] + sizes[n], ATTN_ALIGNMENT);
    if (memory != NULL) {
        attn_tile_layout(&w->tile, m->pass->layer, memory, memory + at[1]);
        w->row_weights = (float *)(void *)(memory + at[2]);
        w->others = (float *)(void *)(memory + at[3]);
        w->received = (double *)(void *)(memory + at[4]);
        w->weight_bins = (double *)(void *)(memory + at[5]);
        w->score_bins = (double *)(void *)(memory + at[6]);
    }
    return at[sizeof sizes / sizeof sizes[0]];
}

static bool allocate(maps *m, size_t slots) {
    attn_pass *pass = m->pass;
    const attn_view *view = m->weights.view;
    attn_watch watch = {.control = pass->control};
    size_t numbers, bytes;
    /* The largest of the arrays, times more than there are. */
    if (!attn_multiply_all((size_t[]){m->rows + 2, m->keys + 4 * TILE_QUERIES, 64}, 3, &numbers))
        return false;
    m->slot_bytes = place(m, NULL, NULL);
    return attn_multiply(m->slot_bytes, slots, &bytes) &&
           make_slots(has_maps(pass->output) ? view->batch : NULL, view->batch_count, pass->input->B,
                      pass->work, &watch, &m->batch_slot) &&
           make_slots(has_maps(pass->output) ? view->heads : NULL, view->head_count,
                      pass->layer->config.num_heads, pass->work, &watch, &m->head_slot) &&
           (m->scratch = attn_arena_alloc(pass->work, bytes)) != NULL;
}

/* ---- Rows ---- */

/* Makes `bytes` of memory zero; fails with ATTN_CANCELLED. */
static attn_status clear(const maps *m, workspace *w, void *memory, size_t bytes) {
    for (size_t done = 0, some; done < bytes; done += some) {
        some = attn_watch_some(bytes - done, 1);
        memset((char *)memory + done, 0, some);
        if (attn_watch_stops(&w->watch, some / sizeof(float)))
            return attn_pass_cancel(m->pass);
    }
    return ATTN_OK;
}

/* Begins a tile of rows whose maximum and sum are known. */
static void begin(const maps *m, workspace *w, size_t at, size_t b, size_t h, size_t first, size_t rows) {
    attn_pass *pass = m->pass;
    const size_t row = (b * pass->layer->config.num_heads + h) * pass->input->L + first;
    attn_tile_begin(&w->tile, pass, at, b, h, first, rows);
    attn_visible_begin(&w->tile);
    memcpy(w->tile.max, pass->max + row, rows * sizeof *pass->max);
    memcpy(w->tile.sum, pass->sum + row, rows * sizeof *pass->sum);
}

static void put_rows(const maps *m, const attn_tile *tile, float *rows) {
    const attn_range keys = tile->keys;
    attn_transpose(tile->scores, tile->width, keys.to - keys.from, tile->rows, rows + keys.from, m->stride,
                   false);
}

/* w->row_weights of the tile's rows, before dropout. */
static attn_status find_weights(const maps *m, workspace *w) {
    attn_tile *tile = &w->tile;
    bool more;
    attn_status status = clear(m, w, w->row_weights, tile->rows * m->stride * sizeof *w->row_weights);
    if (status != ATTN_OK)
        return status;
    attn_visible_rewind(tile);
    while ((status = attn_tile_next_weights(tile, &more)) == ATTN_OK && more)
        put_rows(m, tile, w->row_weights);
    return status;
}

/* w->others are the scores of the tile's rows, of all keys. */
static attn_status find_scores(const maps *m, workspace *w) {
    const size_t S = m->pass->input->S;
    attn_range *keys = &w->tile.keys;
    w->tile.unshifted = true;
    for (*keys = (attn_range){0, 0}; keys->to < m->keys;) {
        const size_t from = keys->to, end = from < S ? S : m->keys;
        *keys = (attn_range){from, from < S && from + TILE_KEYS < end ? from + TILE_KEYS : end};
        const attn_status status = attn_tile_score(&w->tile);
        if (status != ATTN_OK)
            return status;
        put_rows(m, &w->tile, w->others);
    }
    w->tile.unshifted = false;
    return ATTN_OK;
}

/* The same dropout as the output's, over whole rows. */
static attn_status drop(const maps *m, workspace *w) {
    const attn_input *in = m->pass->input;
    const attn_tile *tile = &w->tile;
    const double dropout = m->pass->layer->config.dropout;
    for (size_t n = 0; n < tile->rows && in->training && dropout > 0; n++)
        for (size_t j = 0; j < m->keys; j++) {
            w->row_weights[n * m->stride + j] *=
                attn_dropout_factor(dropout, in->seed, (uint32_t)tile->b, (uint32_t)tile->h,
                                    (uint32_t)(tile->first + n), (uint32_t)j);
            if (attn_watch_stops(&w->watch, DROPOUT_STEPS))
                return attn_pass_cancel(m->pass);
        }
    return ATTN_OK;
}

static attn_status fail_row(const maps *m, const attn_tile *tile, bool are_weights, size_t i) {
    return are_weights ? attn_pass_fail(m->pass, tile->at, ATTN_BAD_VALUE,
                                        "a weight of query %zu in batch %zu, head %zu is beyond float32", i,
                                        tile->b, tile->h)
                       : attn_pass_fail(m->pass, tile->at, ATTN_BAD_VALUE,
                                        "a score of query %zu in batch %zu, head %zu is beyond float32, and "
                                        "all scores were asked for",
                                        i, tile->b, tile->h);
}

static attn_status collect(const maps *m, workspace *w, const attn_view_writer *c, size_t head,
                           const float *rows, double *bins) {
    const attn_tile *tile = &w->tile;
    const attn_view *view = c->view;
    for (size_t n = 0; n < tile->rows; n++) {
        const size_t i = tile->first + n;
        if (i < view->row_from || i >= view->row_to)
            continue;
        const attn_status status =
            attn_view_write_row(c, slot_of(m->batch_slot, tile->b), head, i - view->row_from,
                                rows + n * m->stride + view->col_from, bins, &w->watch);
        if (status != ATTN_OK)
            return status == ATTN_CANCELLED ? attn_pass_cancel(m->pass)
                                            : fail_row(m, tile, c->are_weights, i);
    }
    return ATTN_OK;
}

/* ---- Head by head ---- */

/* Scores, statistics and weights of the tile at hand. */
static attn_status take_rows(const maps *m, workspace *w, bool in_view) {
    const attn_output *out = m->pass->output;
    const attn_tile *tile = &w->tile;
    const size_t head = slot_of(m->head_slot, tile->h);
    const bool whole = out->weights.values != NULL && !out->view.average;
    attn_status status = ATTN_OK;
    if (in_view && out->scores.values != NULL && (status = find_scores(m, w)) == ATTN_OK)
        status = collect(m, w, &m->scores, head, w->others, w->score_bins);
    if (status != ATTN_OK || !(attn_wants_stats(out) || (in_view && whole)) ||
        (status = find_weights(m, w)) != ATTN_OK)
        return status;
    for (size_t n = 0; n < tile->rows && attn_wants_stats(out); n++)
        if (!attn_stats_add_row(m->pass->layer, m->pass->input, out, tile->b, tile->h, tile->first + n,
                                w->row_weights + n * m->stride, w->received, &w->watch))
            return attn_pass_cancel(m->pass);
    if (!in_view || !whole || (status = drop(m, w)) != ATTN_OK)
        return status;
    return collect(m, w, &m->weights, head, w->row_weights, w->weight_bins);
}

/* How many heads are taken: with statistics all there are, else those of the view. */
static size_t count_heads(const maps *m) {
    const attn_output *out = m->pass->output;
    return attn_wants_stats(out) ? m->pass->input->B * m->pass->layer->config.num_heads
                                 : out->view.batch_count * out->view.head_count;
}

/* Which head of which batch entry is number n of them. */
static void find_head(const maps *m, size_t n, size_t *b, size_t *h) {
    const attn_view *view = &m->pass->output->view;
    const bool all = attn_wants_stats(m->pass->output);
    const size_t heads = all ? m->pass->layer->config.num_heads : view->head_count;
    *b = all || view->batch == NULL ? n / heads : view->batch[n / heads];
    *h = all || view->heads == NULL ? n % heads : view->heads[n % heads];
}

/* All rows of a head that are wanted, in ascending order. */
static void take_head(void *loop, size_t round, size_t slot) {
    const maps *m = loop;
    const attn_output *out = m->pass->output;
    size_t b, h, first = attn_wants_stats(out) ? 0 : out->view.row_from;
    const size_t end = attn_wants_stats(out) ? m->pass->input->L : out->view.row_to;
    workspace w = {.watch.control = m->pass->control};
    find_head(m, round, &b, &h);
    place(m, m->scratch + slot * m->slot_bytes, &w);
    const bool in_view =
        has_maps(out) && slot_of(m->batch_slot, b) != NOWHERE && slot_of(m->head_slot, h) != NOWHERE;
    if ((first >= end && attn_pass_ends(m->pass, round + 1)) ||
        clear(m, &w, w.received, m->keys * sizeof *w.received) != ATTN_OK)
        return;
    for (; first < end; first += m->rows) {
        if (attn_pass_ends(m->pass, round + 1))
            return;
        begin(m, &w, round + 1, b, h, first, end - first < m->rows ? end - first : m->rows);
        if (take_rows(m, &w, in_view) != ATTN_OK)
            return;
    }
    for (size_t n = 0; n < m->keys && out->stats.received != NULL; n++)
        out->stats.received[round * m->keys + n] = (float)w.received[n];
}

/* ---- The mean over the heads ---- */

/* Adds the weights to w->others. */
static attn_status add(const maps *m, workspace *w, size_t numbers) {
    for (size_t first = 0, some; first < numbers; first += some) {
        some = attn_watch_some(numbers - first, 1);
        for (size_t n = first; n < first + some; n++)
            w->others[n] += w->row_weights[n];
        if (attn_watch_stops(&w->watch, some))
            return attn_pass_cancel(m->pass);
    }
    return ATTN_OK;
}

/* Divides w->others by the number of heads. */
static attn_status divide(const maps *m, workspace *w, size_t numbers) {
    for (size_t first = 0, some; first < numbers; first += some) {
        some = attn_watch_some(numbers - first, 1);
        for (size_t n = first; n < first + some; n++)
            w->others[n] /= (float)m->weights.view->head_count;
        if (attn_watch_stops(&w->watch, some))
            return attn_pass_cancel(m->pass);
    }
    return ATTN_OK;
}

/* w->others [rows, S+] are the means of rows [first, first + rows). */
static attn_status find_means(const maps *m, workspace *w, size_t at, size_t b, size_t first, size_t rows) {
    const size_t numbers = rows * m->stride;
    attn_status status = clear(m, w, w->others, numbers * sizeof *w->others);
    for (size_t h = 0; h < m->pass->layer->config.num_heads && status == ATTN_OK; h++) {
        if (slot_of(m->head_slot, h) == NOWHERE)
            continue;
        begin(m, w, at, b, h, first, rows);
        if ((status = find_weights(m, w)) == ATTN_OK && (status = drop(m, w)) == ATTN_OK)
            status = add(m, w, numbers);
    }
    return status == ATTN_OK ? divide(m, w, numbers) : status;
}

/* Some bins of rows, whole ones, or some rows if there is no pooling. */
static void take_means(void *loop, size_t round, size_t slot) {
    const maps *m = loop;
    const attn_view *view = m->weights.view;
    const size_t batch = round / m->groups, bin = round % m->groups * m->group_bins;
    const size_t end_bin = bin + m->group_bins < m->bins ? bin + m->group_bins : m->bins;
    const size_t end = attn_bin_start(end_bin, m->weights.rows, m->bins);
    workspace w = {.watch.control = m->pass->control};
    place(m, m->scratch + slot * m->slot_bytes, &w);
    for (size_t i = attn_bin_start(bin, m->weights.rows, m->bins); i < end; i += m->rows) {
        const size_t rows = end - i < m->rows ? end - i : m->rows;
        if (attn_pass_ends(m->pass, round + 1) ||
            find_means(m, &w, round + 1, view->batch == NULL ? batch : view->batch[batch], view->row_from + i,
                       rows) != ATTN_OK ||
            collect(m, &w, &m->weights, 0, w.others, w.weight_bins) != ATTN_OK)
            return;
    }
}

static void take_all_means(maps *m, const attn_parallel *parallel) {
    const attn_view *view = m->weights.view;
    m->bins = view->pooled_rows != 0 ? view->pooled_rows : m->weights.rows;
    if (m->bins == 0)
        return;
    m->group_bins = m->rows * m->bins / m->weights.rows;
    m->group_bins = m->group_bins == 0 ? 1 : m->group_bins;
    m->groups = attn_divide_up(m->bins, m->group_bins);
    attn_parallel_run(parallel, view->batch_count * m->groups, take_means, m);
}

/* ---- All of it ---- */

void attn_recompute(attn_batch *batch, attn_pass *pass) {
    const attn_output *out = pass->output;
    maps m = {.pass = pass,
              .weights = attn_view_writer_of(&out->weights, &out->view, true),
              .scores = attn_view_writer_of(&out->scores, &out->view, false),
              .keys = pass->input->S + pass->extra};
    m.rows = choose_rows(&m);
    m.stride = attn_round_up(m.keys, ROW_STEP) + ROW_STEP;
    const bool alone = m.rows != 0 && m.keys > SHARED_NUMBERS / m.rows;
    const attn_parallel *parallel = alone ? NULL : batch->parallel;
    const size_t mark = attn_arena_mark(pass->work);
    if (!has_numbers(&m))
        return;
    if (!allocate(&m, attn_parallel_slots(parallel))) {
        if (!attn_pass_ends(pass, 0))
            attn_pass_no_memory(pass);
    } else {
        if (attn_wants_stats(out) || out->scores.values != NULL || !out->view.average)
            attn_parallel_run(parallel, count_heads(&m), take_head, &m);
        if (out->weights.values != NULL && out->view.average && !attn_pass_failed(pass))
            take_all_means(&m, parallel);
    }
    attn_arena_rewind(pass->work, mark);
}
