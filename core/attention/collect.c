#include "core/attention/collect.h"

#include "core/kernels/softmax.h"
#include "core/size.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define NOWHERE SIZE_MAX

/* ---- Start and end ---- */

/* slots [count]: the place of each entry in `list` [listed], or in all of them if that is NULL. */
static size_t *make_slots(const size_t *list, size_t listed, size_t count, attn_arena *work) {
    size_t *slots = attn_arena_array(work, count, sizeof *slots);
    for (size_t n = 0; slots != NULL && n < count; n++)
        slots[n] = list == NULL ? n : NOWHERE;
    for (size_t n = 0; slots != NULL && list != NULL && n < listed; n++)
        slots[list[n]] = n;
    return slots;
}

static bool start_map(attn_map_collector *map, const attn_map *result, const attn_view *view, bool average,
                      size_t block_rows, attn_arena *work) {
    *map = (attn_map_collector){
        .map = result,
        .view = view,
        .average = average,
        .heads = average ? 1 : view->head_count,
        .rows = view->row_to - view->row_from,
        .columns = view->col_to - view->col_from,
    };
    size_t numbers;
    if (result->values == NULL)
        return true;
    if (average && (!attn_multiply(block_rows, map->columns, &numbers) ||
                    (map->mean = attn_arena_array(work, numbers, sizeof *map->mean)) == NULL))
        return false;
    if (view->pooled_rows != 0 && (!attn_multiply(map->heads, view->pooled_cols, &numbers) ||
                                   (map->bins = attn_arena_array(work, numbers, sizeof *map->bins)) == NULL))
        return false;
    return true;
}

bool attn_collect_start(attn_collector *c, const attn_layer *layer, const attn_input *input,
                        const attn_output *output, size_t block_rows, attn_arena *work) {
    const size_t keys = attn_keys_with_extra(&layer->config, input->S, input->omit_extra);
    const attn_view *view = &output->view;
    *c = (attn_collector){
        .output = output,
        .H = layer->config.num_heads,
        .L = input->L,
        .S = input->S,
        .extra = keys - input->S,
        .query_offset = input->query_offset,
        .key_offset = input->key_offset,
    };
    size_t numbers = 0;
    if (output->stats.received != NULL &&
        (!attn_multiply(c->H, keys, &numbers) ||
         (c->received = attn_arena_array(work, numbers, sizeof(double))) == NULL))
        return false;
    if (c->received != NULL)
        memset(c->received, 0, numbers * sizeof(double));
    if (!start_map(&c->weights, &output->weights, view, view->average, block_rows, work) ||
        !start_map(&c->scores, &output->scores, view, false, block_rows, work))
        return false;
    if (output->weights.values == NULL && output->scores.values == NULL)
        return true;
    return (c->batch_slot = make_slots(view->batch, view->batch_count, input->B, work)) != NULL &&
           (c->head_slot = make_slots(view->heads, view->head_count, c->H, work)) != NULL &&
           (c->row = attn_arena_array(work, keys, sizeof *c->row)) != NULL;
}

void attn_collect_end(attn_collector *c, attn_arena *work) {
    void *const used[] = {c->received,     c->batch_slot,   c->head_slot,   c->row,
                          c->weights.mean, c->weights.bins, c->scores.mean, c->scores.bins};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        attn_arena_release(work, used[i]);
}

/* ---- Maps ---- */

bool attn_collect_wants(const attn_collector *c, const attn_map_collector *map, size_t b, size_t h,
                        size_t i) {
    return map->map->values != NULL && i >= map->view->row_from && i < map->view->row_to &&
           c->batch_slot[b] != NOWHERE && c->head_slot[h] != NOWHERE;
}

/* Where bin `n` of `bins` begins among `count` rows or columns. count <= 2^25 and n <= bins <= count. */
static size_t bin_start(size_t n, size_t count, size_t bins) {
    return (size_t)((uint64_t)n * count / bins);
}

/* The bin that row or column `n` is in: the largest whose start is at most n. */
static size_t bin_of(size_t n, size_t count, size_t bins) {
    size_t bin = (size_t)((uint64_t)n * bins / count);
    while (bin + 1 < bins && bin_start(bin + 1, count, bins) <= n)
        bin++;
    return bin;
}

/* Adds a row of the window to its bins, and writes them out if it is their last. */
static void pool_row(attn_map_collector *map, size_t batch, size_t head, size_t i, const float *row) {
    const attn_view *view = map->view;
    const size_t bin = bin_of(i, map->rows, view->pooled_rows);
    const size_t start = bin_start(bin, map->rows, view->pooled_rows);
    const size_t end = bin_start(bin + 1, map->rows, view->pooled_rows);
    double *bins = map->bins + head * view->pooled_cols;
    float *out =
        map->map->values + ((batch * map->heads + head) * view->pooled_rows + bin) * view->pooled_cols;
    for (size_t n = 0; n < view->pooled_cols; n++) {
        const size_t from = bin_start(n, map->columns, view->pooled_cols);
        const size_t to = bin_start(n + 1, map->columns, view->pooled_cols);
        if (i == start)
            bins[n] = view->pool == ATTN_POOL_MAX ? -INFINITY : 0;
        for (size_t j = from; j < to; j++)
            bins[n] = view->pool != ATTN_POOL_MAX ? bins[n] + (double)row[j] : fmax(bins[n], (double)row[j]);
        const double cells = (double)(end - start) * (double)(to - from);
        if (i + 1 == end)
            out[n] = (float)(view->pool == ATTN_POOL_MEAN ? bins[n] / cells : bins[n]);
    }
}

/* Does column a of the row come after column b in the selection? */
static bool comes_after(const float *row, int32_t a, int32_t b) {
    return row[a] < row[b] || (row[a] == row[b] && a > b);
}

/* Moves the root of a heap, whose root comes last, down to its place. */
static void sift(const float *row, int32_t *heap, size_t count) {
    const int32_t moved = heap[0];
    size_t place = 0;
    for (size_t child; (child = 2 * place + 1) < count; place = child) {
        if (child + 1 < count && comes_after(row, heap[child + 1], heap[child]))
            child++;
        if (!comes_after(row, heap[child], moved))
            break;
        heap[place] = heap[child];
    }
    heap[place] = moved;
}

/* The k first columns of the row by value, in order, into `heap` [k]; k >= 1. */
static void select_largest(const float *row, size_t columns, size_t k, int32_t *heap) {
    size_t count = 0;
    for (; count < k; count++) { /* upwards: a child must not come after its parent */
        size_t place = count;
        for (; place > 0 && comes_after(row, (int32_t)count, heap[(place - 1) / 2]); place = (place - 1) / 2)
            heap[place] = heap[(place - 1) / 2];
        heap[place] = (int32_t)count;
    }
    for (size_t j = k; j < columns; j++)
        if (comes_after(row, heap[0], (int32_t)j)) {
            heap[0] = (int32_t)j;
            sift(row, heap, k);
        }
    for (; count > 1; count--) {
        const int32_t last = heap[0];
        heap[0] = heap[count - 1];
        sift(row, heap, count - 1);
        heap[count - 1] = last;
    }
}

/* A weight of zero is no key that was attended to; a score of zero is a score. */
static void take_largest(attn_map_collector *map, bool are_weights, size_t place, const float *row) {
    const size_t k = map->view->top_k;
    int32_t *indices = map->map->indices + place * k;
    float *values = map->map->values + place * k;
    select_largest(row, map->columns, k, indices);
    for (size_t n = 0; n < k; n++) {
        values[n] = row[indices[n]];
        indices[n] = are_weights && values[n] == 0 ? -1 : indices[n] + (int32_t)map->view->col_from;
    }
}

/* A row of the window, [columns], goes to its place in the result. */
static void store_row(attn_collector *c, attn_map_collector *map, size_t b, size_t head, size_t i,
                      const float *row) {
    const size_t batch = c->batch_slot[b], place = (batch * map->heads + head) * map->rows + i;
    if (map->view->pooled_rows != 0)
        pool_row(map, batch, head, i, row);
    else if (map->view->top_k != 0)
        take_largest(map, map == &c->weights, place, row);
    else
        memcpy(map->map->values + place * map->columns, row, map->columns * sizeof *row);
}

bool attn_collect_row(attn_collector *c, attn_map_collector *map, size_t b, size_t h, size_t first, size_t i,
                      const float *row) {
    const attn_view *view = map->view;
    row += view->col_from;
    if (!attn_all_finite(row, map->columns))
        return false;
    if (!map->average) {
        store_row(c, map, b, c->head_slot[h], i - view->row_from, row);
        return true;
    }
    float *mean = map->mean + (i - first) * map->columns;
    bool is_first = true; /* of the heads of the view, which come in ascending order */
    for (size_t n = 0; n < h; n++)
        is_first = is_first && c->head_slot[n] == NOWHERE;
    for (size_t n = 0; n < map->columns; n++)
        mean[n] = (is_first ? 0 : mean[n]) + row[n];
    return true;
}

static void end_mean(attn_collector *c, attn_map_collector *map, size_t b, size_t first, size_t rows) {
    const attn_view *view = map->view;
    if (map->map->values == NULL || !map->average || c->batch_slot[b] == NOWHERE)
        return;
    for (size_t n = 0; n < rows; n++) {
        float *mean = map->mean + n * map->columns;
        if (first + n < view->row_from || first + n >= view->row_to)
            continue;
        for (size_t j = 0; j < map->columns; j++)
            mean[j] /= (float)view->head_count;
        store_row(c, map, b, 0, first + n - view->row_from, mean);
    }
}

void attn_collect_block_end(attn_collector *c, size_t b, size_t first, size_t rows) {
    end_mean(c, &c->weights, b, first, rows);
}

/* ---- Statistics ---- */

static float entropy_of(const float *row, size_t count) {
    double sum = 0;
    for (size_t n = 0; n < count; n++)
        if (row[n] > 0)
            sum -= (double)row[n] * log((double)row[n]);
    return (float)(sum > 0 ? sum : 0);
}

/* The weight of the key at `position`, which is no index; keys that are not in the block have none. */
static float weight_at(const attn_collector *c, int64_t position, size_t from, size_t to, const float *row) {
    const int64_t j = position - (int64_t)c->key_offset;
    return j >= (int64_t)from && j < (int64_t)to ? row[j - (int64_t)from] : 0;
}

void attn_collect_stats(attn_collector *c, size_t b, size_t h, size_t i, size_t from, size_t to,
                        const float *row) {
    const attn_stats *stats = &c->output->stats;
    const size_t place = (b * c->H + h) * c->L + i, visible = to - from, columns = visible + c->extra;
    const int64_t self = (int64_t)(c->query_offset + i);
    if (c->output->entropy != NULL)
        c->output->entropy[place] = entropy_of(row, columns);
    if (stats->max == NULL)
        return;
    size_t largest = 0;
    for (size_t n = 1; n < columns; n++)
        largest = row[n] > row[largest] ? n : largest;
    const float max = columns == 0 ? 0 : row[largest];
    const size_t index = largest < visible ? from + largest : c->S + (largest - visible);
    stats->max[place] = max;
    stats->argmax[place] = max == 0 ? -1 : (int32_t)index;
    stats->first[place] = from == 0 && visible > 0 ? row[0] : 0;
    stats->self[place] = weight_at(c, self, from, to, row);
    stats->previous[place] = weight_at(c, self - 1, from, to, row);
    double *received = c->received + h * (c->S + c->extra);
    for (size_t n = 0; n < columns; n++)
        received[n < visible ? from + n : c->S + (n - visible)] += (double)row[n];
}

void attn_collect_batch_end(attn_collector *c, size_t b) {
    if (c->received == NULL)
        return;
    const size_t numbers = c->H * (c->S + c->extra);
    for (size_t n = 0; n < numbers; n++)
        c->output->stats.received[b * numbers + n] = (float)c->received[n];
    memset(c->received, 0, numbers * sizeof *c->received);
}
