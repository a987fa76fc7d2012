/* What comes beside the output: views of the weights and the scores, statistics, q, k and v; and that asking
 * for it changes nothing. */
#include "tests/core/layers.h"

#include <float.h>

/* ---- Views ---- */

static size_t *shuffled(size_t count, size_t most, uint64_t *seed) {
    size_t *list = keep(malloc((most + 1) * sizeof *list));
    for (size_t i = 0; i < most; i++)
        list[i] = i;
    for (size_t i = 0; i < count; i++) {
        const size_t other = i + random_below(seed, most - i), moved = list[i];
        list[i] = list[other];
        list[other] = moved;
    }
    return list;
}

static void random_window(size_t count, size_t *from, size_t *to, uint64_t *seed) {
    if (count == 0 || random_below(seed, 3) == 0)
        return;
    *from = random_below(seed, count);
    *to = *from + 1 + random_below(seed, count - *from);
}

static attn_view random_view(const setup *s, uint64_t *seed) {
    const size_t B = s->input.B, H = s->layer.config.num_heads;
    attn_view v = attn_view_all(&s->layer.config, &s->input);
    if (B > 0 && random_below(seed, 2) == 0) {
        v.batch_count = 1 + random_below(seed, B);
        v.batch = shuffled(v.batch_count, B, seed);
    }
    if (random_below(seed, 2) == 0) {
        v.head_count = 1 + random_below(seed, H);
        v.heads = shuffled(v.head_count, H, seed);
    }
    random_window(s->input.L, &v.row_from, &v.row_to, seed);
    random_window(keys_of(s), &v.col_from, &v.col_to, seed);
    v.average = random_below(seed, 2) == 0;
    const size_t rows = v.row_to - v.row_from, columns = v.col_to - v.col_from;
    const size_t kind = rows == 0 || columns == 0 ? 0 : random_below(seed, 3);
    if (kind == 1) {
        v.pooled_rows = 1 + random_below(seed, rows);
        v.pooled_cols = 1 + random_below(seed, columns);
        v.pool = (attn_pool)random_below(seed, 3);
    }
    if (kind == 2)
        v.top_k = 1 + random_below(seed, columns);
    return v;
}

/* The window of one batch entry and head of the view, [rows, columns], cut out of the whole map; with
 * `average`, the mean over the view's heads, added in the order of their numbers. */
static float *cut(const setup *s, const attn_view *v, bool average, const float *whole, size_t batch,
                  size_t head) {
    const size_t H = s->layer.config.num_heads, L = s->input.L, keys = keys_of(s);
    const size_t rows = v->row_to - v->row_from, columns = v->col_to - v->col_from;
    const size_t b = v->batch == NULL ? batch : v->batch[batch];
    float *window = calloc(rows * columns + 1, sizeof *window);
    for (size_t h = 0; h < H; h++) {
        bool listed = v->heads == NULL;
        for (size_t n = 0; !listed && n < v->head_count; n++)
            listed = v->heads[n] == h;
        if (average ? !listed : h != (v->heads == NULL ? head : v->heads[head]))
            continue;
        for (size_t n = 0; n < rows * columns; n++)
            window[n] +=
                whole[((b * H + h) * L + v->row_from + n / columns) * keys + v->col_from + n % columns];
    }
    for (size_t n = 0; average && n < rows * columns; n++)
        window[n] /= (float)v->head_count;
    return window;
}

static void check_pooled(const attn_view *v, const float *window, const float *found) {
    const size_t rows = v->row_to - v->row_from, columns = v->col_to - v->col_from;
    for (size_t r = 0; r < v->pooled_rows; r++)
        for (size_t c = 0; c < v->pooled_cols; c++) {
            double max = -INFINITY, sum = 0, cells = 0;
            for (size_t i = r * rows / v->pooled_rows; i < (r + 1) * rows / v->pooled_rows; i++)
                for (size_t j = c * columns / v->pooled_cols; j < (c + 1) * columns / v->pooled_cols; j++) {
                    max = fmax(max, (double)window[i * columns + j]);
                    sum += (double)window[i * columns + j];
                    cells++;
                }
            const double exact = v->pool == ATTN_POOL_MAX   ? max
                                 : v->pool == ATTN_POOL_SUM ? sum
                                                            : sum / cells;
            /* a mean of small weights may be smaller than what a pass counts */
            const float expected = fabs(exact) < (double)FLT_MIN ? 0 : (float)exact;
            cr_assert_eq(found[r * v->pooled_cols + c], expected, "bin %zu, %zu: %g, expected %g", r, c,
                         (double)found[r * v->pooled_cols + c], (double)expected);
        }
}

/* Each selected key must come before all that are not selected, and before the next selected one. */
static void check_selected(const attn_view *v, bool are_weights, const float *row, const float *values,
                           const int32_t *indices) {
    const size_t columns = v->col_to - v->col_from;
    bool *taken = calloc(columns + 1, sizeof *taken);
    for (size_t n = 0; n < v->top_k; n++) {
        size_t best = SIZE_MAX;
        for (size_t j = 0; j < columns; j++)
            if (!taken[j] && (best == SIZE_MAX || row[j] > row[best]))
                best = j;
        taken[best] = true;
        const int32_t index = are_weights && row[best] == 0 ? -1 : (int32_t)(best + v->col_from);
        cr_assert(values[n] == row[best] && indices[n] == index,
                  "number %zu: key %d with %g, expected %d with %g", n, indices[n], (double)values[n], index,
                  (double)row[best]);
    }
    free(taken);
}

static void check_map(const setup *s, const attn_view *v, bool are_weights, const float *whole,
                      const attn_map *found) {
    const bool average = are_weights && v->average;
    const size_t rows = v->row_to - v->row_from, columns = v->col_to - v->col_from;
    const size_t heads = average ? 1 : v->head_count;
    for (size_t n = 0; n < v->batch_count * heads; n++) {
        float *window = cut(s, v, average, whole, n / heads, n % heads);
        if (v->pooled_rows != 0)
            check_pooled(v, window, found->values + n * v->pooled_rows * v->pooled_cols);
        else if (v->top_k != 0)
            for (size_t i = 0; i < rows; i++)
                check_selected(v, are_weights, window + i * columns,
                               found->values + (n * rows + i) * v->top_k,
                               found->indices + (n * rows + i) * v->top_k);
        else
            cr_assert_eq(memcmp(window, found->values + n * rows * columns, rows * columns * sizeof *window),
                         0);
        free(window);
    }
}

/* A view of a pass's maps is the part of the whole that was asked for. */
static void check_view(const setup *s, const attn_view *view) {
    const attn_output whole = compute_everything(s);
    const size_t cells = rows_of(s) * keys_of(s);
    const attn_output part = {.output = nothing_yet(outputs_of(s)),
                              .weights = {nothing_yet(cells), no_indices_yet(cells)},
                              .scores = {nothing_yet(cells), no_indices_yet(cells)},
                              .view = *view};
    attn_arena *work = attn_arena_new(NULL);
    cr_assert_eq(attn_forward(&s->layer, &s->input, &part, work, NULL, NULL), ATTN_OK);
    attn_arena_free(work);
    check_map(s, view, true, whole.weights.values, &part.weights);
    check_map(s, view, false, whole.scores.values, &part.scores);
}

TEST_OF_KERNELS(view, a_view_is_the_part_of_the_whole_that_was_asked_for) {
    uint64_t seed = test_seed("a_view_is_the_part_of_the_whole_that_was_asked_for");
    for (int n = 0; n < 1500; n++) {
        setup s = make_any_setup(&seed);
        if (n % 10 == 0) /* several blocks of rows */
            s.input.L = s.input.S = 0;
        const attn_view view = random_view(&s, &seed);
        check_view(&s, &view);
        free_round();
    }
}

/* Bins and means across the blocks in which the rows are computed. */
TEST_OF_KERNELS(view, a_view_does_not_notice_blocks) {
    uint64_t seed = test_seed("a_view_does_not_notice_blocks");
    for (int n = 0; n < 30; n++) {
        setup s = make_setup(6, 3, 1 + random_below(&seed, 2), 150 + random_below(&seed, 100),
                             1 + random_below(&seed, 100), &seed);
        add_random_masks(&s, &seed);
        const attn_view view = random_view(&s, &seed);
        check_view(&s, &view);
        free_round();
    }
}

/* Rows of a view whose tile is in two blocks of rows of the mask, of which one sees nothing of a block of
 * keys. */
TEST_OF_KERNELS(view, a_view_sees_what_its_rows_may_see) {
    uint64_t seed = test_seed("a_view_sees_what_its_rows_may_see");
    const size_t L = 64, S = 512;
    for (size_t hidden = 0; hidden < 4; hidden++) { /* block of rows and block of keys */
        setup s = make_setup(8, 2, 1, L, S, &seed);
        float *mask = numbers(L * S, 0, &seed);
        for (size_t n = 0; n < L * S; n++)
            mask[n] = n / S / 32 == hidden / 2 && n % S / 256 == hidden % 2 ? -INFINITY : 0;
        s.input.attn_mask = mask;
        attn_view view = attn_view_all(&s.layer.config, &s.input);
        view.row_from = 16;
        view.row_to = 48;
        check_view(&s, &view);
        free_round();
    }
}

/* Two rows of a map of 16,384 x 16,384, whose whole would take a gigabyte. */
TEST_OF_KERNELS(view, two_rows_of_a_large_map_do_not_cost_the_map) {
    uint64_t seed = test_seed("two_rows_of_a_large_map_do_not_cost_the_map");
    const size_t L = 16384;
    setup s = make_setup(2, 1, 1, L, L, &seed);
    s.input.is_causal = true;
    attn_output out = {.output = nothing_yet(L * 2),
                       .weights.values = nothing_yet(2 * L),
                       .scores.values = nothing_yet(2 * L),
                       .view = attn_view_all(&s.layer.config, &s.input)};
    out.view.row_from = L - 2;
    attn_budget budget = {.limit = 5 << 20}; /* q, k, v, heads and a block of scores are under 4 MiB */
    attn_arena *work = attn_arena_new(&budget);
    attn_error error;
    cr_assert_eq(attn_forward(&s.layer, &s.input, &out, work, NULL, &error), ATTN_OK);
    attn_arena_free(work);
    double sum = 0;
    for (size_t j = 0; j < L; j++)
        sum += (double)out.weights.values[L + j];
    cr_assert_float_eq(sum, 1, 1e-5);
}

/* ---- Statistics ---- */

/* The statistics of row (b, h, i), taken anew from its weights. */
static void check_row(const setup *s, const attn_output *o, size_t b, size_t h, size_t i, double *received) {
    const size_t keys = keys_of(s), place = (b * s->layer.config.num_heads + h) * s->input.L + i;
    const float *row = o->weights.values + place * keys;
    const int64_t self = (int64_t)(s->input.query_offset + i) - (int64_t)s->input.key_offset;
    float max = 0, at_self = 0, at_previous = 0;
    int32_t argmax = -1;
    double entropy = 0;
    for (size_t j = 0; j < keys; j++) {
        if (row[j] > max) {
            max = row[j];
            argmax = (int32_t)j;
        }
        entropy -= row[j] > 0 ? (double)row[j] * log((double)row[j]) : 0;
        received[j] += (double)row[j];
        at_self = j < s->input.S && (int64_t)j == self ? row[j] : at_self;
        at_previous = j < s->input.S && (int64_t)j == self - 1 ? row[j] : at_previous;
    }
    cr_assert_eq(o->stats.max[place], max);
    cr_assert_eq(o->stats.argmax[place], argmax);
    cr_assert_eq(o->stats.first[place], s->input.S > 0 ? row[0] : 0);
    cr_assert_eq(o->stats.self[place], at_self);
    cr_assert_eq(o->stats.previous[place], at_previous);
    cr_assert_float_eq((double)o->entropy[place], entropy, 1e-6);
}

TEST_OF_KERNELS(view, statistics_are_those_of_the_weights) {
    uint64_t seed = test_seed("statistics_are_those_of_the_weights");
    for (int n = 0; n < 500; n++) {
        setup s = make_any_setup(&seed);
        attn_output o = compute_everything(&s);
        const size_t keys = keys_of(&s), heads = s.input.B * s.layer.config.num_heads;
        for (size_t bh = 0; bh < heads; bh++) {
            double *received = calloc(keys + 1, sizeof *received);
            for (size_t i = 0; i < s.input.L; i++)
                check_row(&s, &o, bh / s.layer.config.num_heads, bh % s.layer.config.num_heads, i, received);
            for (size_t j = 0; j < keys; j++)
                cr_assert_float_eq((double)o.stats.received[bh * keys + j], received[j], 1e-6);
            free(received);
        }
        free_round();
    }
}

/* Each of the statistics by itself is the one among all. */
TEST_OF_KERNELS(view, each_statistic_can_be_asked_for_alone) {
    uint64_t seed = test_seed("each_statistic_can_be_asked_for_alone");
    for (int n = 0; n < 140; n++) {
        setup s = make_any_setup(&seed);
        attn_output all = compute_everything(&s);
        const size_t rows = rows_of(&s);
        const size_t received = s.input.B * s.layer.config.num_heads * keys_of(&s);
        const size_t count = n % 7 == 6 ? received : rows;
        float *alone = nothing_yet(count), *output = nothing_yet(outputs_of(&s));
        attn_output one = {.output = output};
        float **const places[] = {&one.entropy,       &one.stats.max,  NULL,
                                  &one.stats.first,   &one.stats.self, &one.stats.previous,
                                  &one.stats.received};
        const void *const expected[] = {all.entropy,       all.stats.max,  all.stats.argmax,
                                        all.stats.first,   all.stats.self, all.stats.previous,
                                        all.stats.received};
        if (n % 7 == 2)
            one.stats.argmax = (int32_t *)(void *)alone;
        else
            *places[n % 7] = alone;
        cr_assert_eq(forward(&s, &one), ATTN_OK);
        cr_assert_eq(memcmp(alone, expected[n % 7], count * sizeof *alone), 0, "statistic %d", n % 7);
        free_round();
    }
}

/* q . k with the layer's scale is the score, when nothing else is added; and the weights mix the v that is
 * returned. So what is returned is what enters the product: normed, rotated, with the extra keys. */
TEST_OF_KERNELS(view, q_k_and_v_are_what_enters_the_product) {
    uint64_t seed = test_seed("q_k_and_v_are_what_enters_the_product");
    for (int n = 0; n < 300; n++) {
        setup s = make_any_setup(&seed);
        s.layer.config.softcap = 0;
        s.layer.alibi_slopes = NULL;
        s.layer.config.relative_bias.buckets = 0;
        attn_output o = compute_everything(&s);
        const attn_config *c = &s.layer.config;
        const size_t keys = keys_of(&s), D = c->head_dim, group = c->num_heads / c->num_kv_heads;
        for (size_t row = 0; row < s.input.B * c->num_heads * s.input.L; row++) {
            const size_t bh = row / s.input.L, b = bh / c->num_heads, h = bh % c->num_heads;
            const size_t kv = (b * c->num_kv_heads + h / group) * keys;
            const double scale = s.layer.scale != NULL ? (double)s.layer.scale[h] : 1 / sqrt((double)D);
            for (size_t j = 0; j < keys; j++) {
                double dot = 0, size = 1;
                for (size_t d = 0; d < D; d++) {
                    dot += (double)o.q[row * D + d] * (double)o.k[(kv + j) * D + d];
                    size += fabs((double)o.q[row * D + d] * (double)o.k[(kv + j) * D + d]);
                }
                cr_assert_float_eq((double)o.scores.values[row * keys + j], scale * dot, 1e-6 * size);
            }
            for (size_t d = 0; d < D; d++) {
                double mixed = 0;
                for (size_t j = 0; j < keys; j++)
                    mixed += (double)o.weights.values[row * keys + j] * (double)o.v[(kv + j) * D + d];
                cr_assert_float_eq((double)o.head_output[row * D + d], mixed, 1e-5);
            }
        }
        free_round();
    }
}

/* ---- What must hold to the bit ---- */

TEST_OF_KERNELS(view, asking_for_more_changes_nothing) {
    uint64_t seed = test_seed("asking_for_more_changes_nothing");
    for (int n = 0; n < 500; n++) {
        setup s = make_any_setup(&seed);
        s.layer.config.dropout = random_below(&seed, 2) == 0 ? 0 : 0.4;
        s.input.training = random_below(&seed, 2) == 0;
        s.input.seed = random_bits(&seed) >> 11;
        attn_output all = everything(&s);
        attn_output plain = {.output = nothing_yet(outputs_of(&s))};
        attn_output some = {.output = nothing_yet(outputs_of(&s)), .lse = nothing_yet(rows_of(&s))};
        cr_assert_eq(forward(&s, &all), ATTN_OK);
        cr_assert_eq(forward(&s, &plain), ATTN_OK);
        cr_assert_eq(forward(&s, &some), ATTN_OK);
        const size_t bytes = outputs_of(&s) * sizeof(float);
        cr_assert_eq(memcmp(all.output, plain.output, bytes), 0);
        cr_assert_eq(memcmp(all.output, some.output, bytes), 0);
        cr_assert_eq(memcmp(all.lse, some.lse, rows_of(&s) * sizeof(float)), 0);
        free_round();
    }
}

/* The heads of a pass, brought back, give its output. */
TEST_OF_KERNELS(view, head_output_can_be_sent_back) {
    uint64_t seed = test_seed("head_output_can_be_sent_back");
    for (int n = 0; n < 200; n++) {
        setup s = make_any_setup(&seed);
        attn_output all = compute_everything(&s);
        const attn_input heads = {.B = s.input.B, .L = s.input.L, .head_output = all.head_output};
        attn_output back = {.output = nothing_yet(outputs_of(&s))};
        attn_arena *work = attn_arena_new(NULL);
        cr_assert_eq(attn_forward(&s.layer, &heads, &back, work, NULL, NULL), ATTN_OK);
        attn_arena_free(work);
        cr_assert_eq(memcmp(all.output, back.output, outputs_of(&s) * sizeof(float)), 0);
        free_round();
    }
}

/* Two halves of the keys, merged by their log-sum-exps, are the whole (Dao et al., "FlashAttention", 2022,
 * section 3.1, the same merge): one of the halves leaves out the extra keys and the sinks. */
TEST_OF_KERNELS(view, halves_of_the_keys_merge_into_the_whole) {
    uint64_t seed = test_seed("halves_of_the_keys_merge_into_the_whole");
    for (int n = 0; n < 300; n++) {
        setup s = make_any_setup(&seed);
        const size_t S = s.input.S, cut_at = random_below(&seed, S + 1), rows = rows_of(&s);
        const size_t D = s.layer.config.head_dim;
        s.input.B = s.input.B == 0 ? 0 : 1; /* one batch entry: a part of its keys is a part of the array */
        s.input.attn_mask = NULL;
        s.input.omit_extra = false;
        if (s.layer.config.rope.scaling == ATTN_ROPE_DYNAMIC ||
            s.layer.config.rope.scaling == ATTN_ROPE_LONGROPE)
            s.layer.config.rope.scaling = ATTN_ROPE_UNSCALED; /* those depend on the length of the whole */
        attn_output whole = everything(&s), one, two;
        cr_assert_eq(forward(&s, &whole), ATTN_OK);
        setup half = s;
        half.input.S = cut_at;
        one = compute_everything(&half);
        half.input.S = S - cut_at;
        half.input.key += cut_at * s.layer.config.kdim;
        half.input.value += cut_at * s.layer.config.vdim;
        half.input.key_offset += cut_at;
        half.input.omit_extra = true;
        if (half.input.key_padding_mask != NULL)
            half.input.key_padding_mask += cut_at;
        two = compute_everything(&half);
        const size_t used = rows_of(&s);
        cr_assert_leq(used, rows);
        for (size_t r = 0; r < used; r++) {
            const double a = (double)one.lse[r], b = (double)two.lse[r], most = fmax(a, b);
            const double total = most == -(double)INFINITY ? 0 : exp(a - most) + exp(b - most);
            for (size_t d = 0; d < D; d++) {
                const double merged = total == 0 ? 0
                                                 : (exp(a - most) * (double)one.head_output[r * D + d] +
                                                    exp(b - most) * (double)two.head_output[r * D + d]) /
                                                       total;
                cr_assert_float_eq((double)whole.head_output[r * D + d], merged, 4e-6);
            }
            if (total != 0)
                cr_assert_float_eq((double)whole.lse[r], most + log(total), 4e-6 * fmax(1, fabs(most)));
        }
        free_round();
    }
}
