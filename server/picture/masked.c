#include "server/picture/masked.h"

#include "core/attention.h"
#include "core/size.h"
#include "server/attend/view.h"

#include <math.h>
#include <string.h>

/* kept [S + 1], from a row of the padding mask. */
static uint32_t *count_kept(const float *padding, size_t S, attn_watch *watch, attn_arena *arena) {
    uint32_t *kept = attn_arena_array(arena, S + 1, sizeof *kept);
    if (kept == NULL)
        return NULL;
    kept[0] = 0;
    for (size_t first = 0, some; first < S; first += some) {
        some = attn_watch_some(S - first, 1);
        for (size_t j = first; j < first + some; j++)
            kept[j + 1] = kept[j] + (padding[j] != -INFINITY);
        if (attn_watch_stops(watch, some))
            return NULL;
    }
    return kept;
}

bool masked_start(masked *m, const attend_call *call, const attn_control *control, attn_arena *arena) {
    const attn_view *view = &call->output.view;
    const attn_input *in = &call->input;
    *m = (masked){
        .call = call,
        .batch = view->batch == NULL ? 0 : view->batch[0],
        .extra = attn_keys_with_extra(&call->model->layer.config, in->S, in->omit_extra) - in->S,
        .rows = view_rows(view),
        .columns = view_columns(view),
        .watch.control = control,
    };
    if (in->key_padding_mask != NULL &&
        (m->kept = count_kept(in->key_padding_mask + m->batch * in->S, in->S, &m->watch, arena)) == NULL)
        return false;
    return (m->open = attn_arena_array(arena, m->columns, sizeof *m->open)) != NULL;
}

bool masked_by_head(const masked *m) {
    return m->call->input.attn_mask != NULL && m->call->input.mask_H > 1;
}

/* The row of attn_mask for query i, or NULL. */
static const float *mask_row(const masked *m, size_t h, size_t i) {
    const attn_input *in = &m->call->input;
    if (in->attn_mask == NULL)
        return NULL;
    const size_t b = in->mask_B == 1 ? 0 : m->batch;
    return in->attn_mask + ((b * in->mask_H + (in->mask_H == 1 ? 0 : h)) * in->L + i) * in->S;
}

/* Do the masks leave any of the keys [from, to)? Finite numbers whose sum reaches minus infinity exclude a
 * key too. */
static bool any_left(const masked *m, const float *mask, size_t from, size_t to) {
    const attn_input *in = &m->call->input;
    if (from >= to)
        return false;
    if (mask == NULL)
        return m->kept == NULL || m->kept[to] > m->kept[from];
    const float *padding = m->kept == NULL ? NULL : in->key_padding_mask + m->batch * in->S;
    for (size_t j = from; j < to; j++)
        if (mask[j] + (padding == NULL ? 0 : padding[j]) != -INFINITY)
            return true;
    return false;
}

/* Opens the columns that query i of head h may attend to. True if there is any key that it may. */
static bool open_row(masked *m, size_t h, size_t i) {
    const attn_input *in = &m->call->input;
    const attn_view *view = &m->call->output.view;
    const attn_range keys = attn_visible_keys(&m->call->model->layer.config, in, i);
    const float *mask = mask_row(m, h, i);
    const size_t count = view->col_to - view->col_from;
    for (size_t c = 0; c < m->columns; c++) {
        const size_t from = view->col_from + masked_bin_start(c, count, m->columns);
        const size_t to = view->col_from + masked_bin_start(c + 1, count, m->columns);
        if (!m->open[c])
            m->open[c] = to > in->S ||
                         any_left(m, mask, from > keys.from ? from : keys.from, to < keys.to ? to : keys.to);
    }
    return m->extra > 0 || any_left(m, mask, keys.from, keys.to);
}

/* Steps of opening a row of keys. */
static size_t row_steps(const masked *m) {
    return 4 * m->columns + (m->call->input.attn_mask == NULL ? 0 : 2 * m->call->input.S);
}

bool masked_row(masked *m, size_t row, const size_t *heads, size_t head_count) {
    const attn_view *view = &m->call->output.view;
    const size_t count = view->row_to - view->row_from;
    const size_t from = view->row_from + masked_bin_start(row, count, m->rows);
    const size_t to = view->row_from + masked_bin_start(row + 1, count, m->rows);
    memset(m->open, 0, m->columns * sizeof *m->open);
    m->keyless = 0;
    m->queries = to - from;
    for (size_t i = from; i < to; i++) {
        bool has_key = false;
        for (size_t n = 0; n < (masked_by_head(m) ? head_count : 1); n++) {
            if (attn_watch_stops(&m->watch, row_steps(m)))
                return false;
            has_key |= open_row(m, heads[n], i);
        }
        m->keyless += has_key ? 0 : 1;
    }
    return true;
}
