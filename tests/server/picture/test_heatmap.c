/* The picture of an answer, decoded again: every cell has the colour of its weight, all that is masked is
 * hatched and nothing else, for random requests, whose masks are worked out cell by cell. */
#include "server/attend/resolve.h"
#include "server/picture/colour_scale.h"
#include "server/picture/heatmap.h"
#include "server/picture/picture.h"
#include "tests/arena.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <spng.h>
#include <string.h>

#define ROUNDS 150

TestSuite(heatmap, .init = set_up, .fini = tear_down);

static void *take(size_t count, size_t size) {
    void *block = attn_arena_array(arena, count, size);
    cr_assert(block != NULL);
    return block;
}

/* ---- A request, its weights and its picture ---- */

typedef struct {
    attn_model model;
    attend_request request;
    picture_options options;
    attend_call call;
    picture_layout layout;
    size_t width, height;
    uint8_t (*pixels)[3]; /* [height, width] */
} scene;

static void decode(scene *s, const wire_buffer *png) {
    struct spng_ihdr header;
    size_t bytes;
    spng_ctx *ctx = spng_ctx_new(0);
    cr_assert_eq(spng_set_png_buffer(ctx, png->bytes, png->length), 0);
    cr_assert_eq(spng_get_ihdr(ctx, &header), 0);
    cr_expect_eq(header.color_type, SPNG_COLOR_TYPE_INDEXED);
    cr_assert_eq(spng_decoded_image_size(ctx, SPNG_FMT_RGB8, &bytes), 0);
    s->width = header.width;
    s->height = header.height;
    s->pixels = take(bytes, 1);
    cr_assert_eq(spng_decode_image(ctx, s->pixels, bytes, SPNG_FMT_RGB8, 0), 0);
    spng_ctx_free(ctx);
}

static wire_buffer write_picture(const scene *s) {
    wire_buffer out = {.arena = arena};
    cr_assert(png_write_picture(&s->options, &s->call, &out));
    return out;
}

static void begin(scene *s, size_t H, size_t B, size_t L, size_t S) {
    memset(s, 0, sizeof *s);
    strcpy(s->model.name, "m");
    s->model.layer.config =
        (attn_config){.embed_dim = H, .num_heads = H, .num_kv_heads = H, .head_dim = 1, .kdim = H, .vdim = H};
    s->request.query = (request_tensor){.present = true, .rank = 3, .shape = {B, L, H}};
    s->request.key = (request_tensor){.present = true, .rank = 3, .shape = {B, S, H}};
}

/* How many weights the call has. */
static size_t weight_count(const scene *s) {
    const attend_array *result = &s->call.arrays[1];
    cr_assert_str_eq(result->name, "attn_weights");
    size_t count = 1;
    for (size_t n = 0; n < result->rank; n++)
        count *= result->shape[n];
    return count;
}

/* Plans and resolves, and invents the weights: from `least` to 1, evenly on a logarithmic scale. */
static void invent(scene *s, uint64_t *state, double least) {
    problem p;
    cr_assert_eq(picture_plan(&s->options, &s->model, &s->request, arena, &p), PROBLEM_NONE, "%s", p.text);
    cr_assert_eq(request_resolve(&s->request, &s->model, (size_t)1 << 30, arena, &s->call, &p), PROBLEM_NONE,
                 "%s", p.text);
    float *weights = s->call.output.weights.values;
    for (size_t n = weight_count(s); n-- > 0;)
        weights[n] = (float)pow(least, fabs((double)random_float(state)));
}

static void draw(scene *s) {
    const wire_buffer png = write_picture(s);
    decode(s, &png);
    cr_expect(s->width <= 4096 && s->height <= 4096);
    cr_assert(heatmap_layout(&s->options, &s->call, &s->layout));
}

/* ---- What the picture must show ---- */

typedef enum { COLOURED, HATCHED, HATCHED_BOTH_WAYS } look;

static bool excluded(const scene *s, size_t b, size_t h, size_t i, size_t j) {
    const attn_input *in = &s->call.input;
    const attn_config *config = &s->model.layer.config;
    if (j >= in->S)
        return false;
    const double distance =
        (double)(in->query_offset + i) - (double)(in->key_offset + j); /* to an earlier key: positive */
    if (in->is_causal && distance < 0)
        return true;
    if (config->sliding_window > 0 && (distance >= (double)config->sliding_window ||
                                       (!config->causal && -distance >= (double)config->sliding_window)))
        return true;
    float added = 0;
    if (in->attn_mask != NULL)
        added +=
            in->attn_mask[(((in->mask_B > 1 ? b : 0) * in->mask_H + (in->mask_H > 1 ? h : 0)) * in->L + i) *
                              in->S +
                          j];
    if (in->key_padding_mask != NULL)
        added += in->key_padding_mask[b * in->S + j];
    return added == -INFINITY;
}

typedef struct {
    size_t from, to;
} range;

static range bin(size_t n, size_t bins, size_t from, size_t to) {
    return (range){from + n * (to - from) / bins, from + (n + 1) * (to - from) / bins};
}

/* May a query attend to any of these keys, for any of the heads of a panel? */
static bool any_open(const scene *s, size_t panel, size_t i, range keys) {
    const attn_view *view = &s->call.output.view;
    const bool merged = view->average || s->options.heads == PICTURE_HEADS_MAX_OF;
    for (size_t n = merged ? 0 : panel; n < (merged ? view->head_count : panel + 1); n++)
        for (size_t j = keys.from; j < keys.to; j++)
            if (!excluded(s, view->batch[0], view->heads == NULL ? n : view->heads[n], i, j))
                return true;
    return false;
}

static look expected_look(const scene *s, size_t panel, range rows, range columns, size_t keyless) {
    for (size_t i = rows.from; i < rows.to; i++)
        if (any_open(s, panel, i, columns))
            return COLOURED;
    return keyless == rows.to - rows.from ? HATCHED_BOTH_WAYS : HATCHED;
}

/* How many of these queries may attend to nothing at all? */
static size_t count_keyless(const scene *s, size_t panel, range rows) {
    const size_t keys = s->call.input.S + (s->model.layer.config.add_zero_attn ? 1 : 0);
    size_t count = 0;
    for (size_t i = rows.from; i < rows.to; i++)
        count += any_open(s, panel, i, (range){0, keys}) ? 0 : 1;
    return count;
}

static double expected_weight(const scene *s, size_t panel, size_t row, size_t column) {
    const size_t cells = s->layout.rows * s->layout.columns;
    const float *weights = s->call.output.weights.values + row * s->layout.columns + column;
    double largest = 0;
    if (s->call.output.view.average || s->options.heads != PICTURE_HEADS_MAX_OF)
        return (double)weights[panel * cells];
    for (size_t n = 0; n < s->call.output.view.head_count; n++)
        largest = fmax(largest, (double)weights[n * cells]);
    return largest;
}

/* From 0 to 1 along the scale, whose ends are those of all weights. */
static double expected_place(const scene *s, double weight, double smallest, double largest) {
    if (s->options.scale == PICTURE_SQRT)
        return sqrt(weight / largest);
    if (s->options.scale == PICTURE_LINEAR)
        return weight / largest;
    const double floor = fmin(fmax(smallest, largest * 1e-6), largest / 10);
    return fmax(0, (log10(weight) - log10(floor)) / (log10(largest) - log10(floor)));
}

static bool is_grey(const uint8_t rgb[3]) {
    return abs(rgb[0] - rgb[1]) < 12 && abs(rgb[1] - rgb[2]) < 12 && rgb[0] > 150;
}

/* Is this within one step of 248 of the place on the scale of matplotlib? */
static bool has_colour(const uint8_t rgb[3], double place) {
    for (int step = -2; step <= 2; step++) {
        const int n = (int)lround(place * 255) + step;
        if (n >= 0 && n < 256 && memcmp(rgb, cividis[n], 3) == 0)
            return true;
    }
    return false;
}

static look found_look(const scene *s, size_t x, size_t y, double place) {
    const uint8_t *first = s->pixels[y * s->width + x];
    size_t grey = 0, same = 0;
    for (size_t down = 0; down < s->layout.cell_height; down++)
        for (size_t along = 0; along < s->layout.cell_width; along++) {
            const uint8_t *rgb = s->pixels[(y + down) * s->width + x + along];
            grey += is_grey(rgb);
            same += memcmp(rgb, first, 3) == 0;
        }
    if (grey == s->layout.cell_width * s->layout.cell_height)
        return HATCHED;
    cr_expect_eq(same, s->layout.cell_width * s->layout.cell_height, "a cell of two colours at %zu, %zu", x,
                 y);
    cr_expect(has_colour(first, place), "colour %d %d %d at %zu, %zu, expected place %f", first[0], first[1],
              first[2], x, y, place);
    return COLOURED;
}

/* Do lines run both ways? Where they cross, and only there, a dark pixel has dark ones at all four corners.
 */
static bool has_crossing(const scene *s, size_t x, size_t y, size_t width, size_t height) {
    for (size_t at_y = y + 1; at_y + 1 < y + height; at_y++)
        for (size_t at_x = x + 1; at_x + 1 < x + width; at_x++) {
            const size_t at = at_y * s->width + at_x;
            if (s->pixels[at][0] < 200 && s->pixels[at - s->width - 1][0] < 200 &&
                s->pixels[at - s->width + 1][0] < 200 && s->pixels[at + s->width - 1][0] < 200 &&
                s->pixels[at + s->width + 1][0] < 200)
                return true;
        }
    return false;
}

/* Is there red left of the middle of a row? */
static bool has_mark(const scene *s, size_t x, size_t y) {
    for (size_t n = 2; n < 12; n++) {
        const uint8_t *rgb = s->pixels[(y + s->layout.cell_height / 2) * s->width + x - n];
        if (rgb[0] > 150 && rgb[1] < 100)
            return true;
    }
    return false;
}

static void check_panel(const scene *s, size_t panel, double smallest, double largest, size_t found[3]) {
    const picture_layout *l = &s->layout;
    const size_t x = l->left + panel % l->panels_across * l->step_across;
    const size_t y = l->top + panel / l->panels_across * l->step_down;
    for (size_t row = 0; row < l->rows; row++) {
        const attn_view *view = &s->call.output.view;
        const range rows = bin(row, l->rows, view->row_from, view->row_to);
        const size_t keyless = count_keyless(s, panel, rows);
        for (size_t column = 0; column < l->columns; column++) {
            const range columns = bin(column, l->columns, view->col_from, view->col_to);
            const look expected = expected_look(s, panel, rows, columns, keyless);
            const double weight = expected_weight(s, panel, row, column);
            const look is = found_look(s, x + column * l->cell_width, y + row * l->cell_height,
                                       expected_place(s, weight, smallest, largest));
            cr_expect_eq(is, expected == COLOURED ? COLOURED : HATCHED,
                         "panel %zu, row %zu, column %zu: %d, expected %d", panel, row, column, (int)is,
                         (int)expected);
            found[expected]++;
            if (l->cell_width >= 10 && l->cell_height >= 10 && expected != COLOURED)
                cr_expect_eq(has_crossing(s, x + column * l->cell_width, y + row * l->cell_height,
                                          l->cell_width, l->cell_height),
                             expected == HATCHED_BOTH_WAYS);
        }
        if (l->cell_height >= 5) /* else the mark of the next row reaches into this one */
            cr_expect_eq(has_mark(s, x, y + row * l->cell_height), keyless > 0, "panel %zu, row %zu", panel,
                         row);
    }
}

static void check_picture(const scene *s, size_t found[3]) {
    const attn_view *view = &s->call.output.view;
    const bool merged = view->average || s->options.heads == PICTURE_HEADS_MAX_OF;
    const size_t panels = merged ? 1 : view->head_count;
    double smallest = INFINITY, largest = 0;
    for (size_t panel = 0; panel < panels; panel++)
        for (size_t row = 0; row < s->layout.rows; row++)
            for (size_t column = 0; column < s->layout.columns; column++) {
                const double weight = expected_weight(s, panel, row, column);
                largest = fmax(largest, weight);
                smallest = weight > 0 ? fmin(smallest, weight) : smallest;
            }
    for (size_t panel = 0; panel < panels; panel++)
        check_panel(s, panel, smallest, largest, found);
}

/* ---- Random scenes ---- */

static void mask(request_tensor *t, size_t rank, const size_t *shape, uint64_t *state, bool rows) {
    size_t count = 1;
    *t = (request_tensor){.present = true, .rank = rank};
    for (size_t n = 0; n < rank; n++)
        count *= t->shape[n] = shape[n];
    t->data = take(count, sizeof(float));
    const size_t width = shape[rank - 1];
    for (size_t n = 0; n < count; n++) { /* some rows altogether, and finite numbers among the others */
        const bool row =
            n % width > 0 ? t->data[n / width * width] == -INFINITY : random_below(state, 5) == 0;
        t->data[n] = (rows && row) || random_below(state, 3) == 0 ? -INFINITY
                     : random_below(state, 9) == 0                ? -3e38F
                                                                  : random_float(state);
        if (rows && !row && n % width == 0 && t->data[n] == -INFINITY)
            t->data[n] = 0;
    }
}

static void choose_masks(scene *s, uint64_t *state, size_t B, size_t H, size_t L, size_t S) {
    attn_config *config = &s->model.layer.config;
    config->add_zero_attn = random_below(state, 4) == 0;
    config->causal = random_below(state, 2) == 0;
    config->sliding_window = random_below(state, 2) * random_below(state, 8);
    s->request.is_causal = random_below(state, 2) == 0 ? SWITCH_ON : SWITCH_OFF;
    s->request.query_offset.value = random_below(state, 12);
    s->request.key_offset.value = random_below(state, 12);
    const size_t per_head[] = {random_below(state, 2) == 0 ? 1 : B, random_below(state, 2) == 0 ? 1 : H, L,
                               S};
    if (random_below(state, 2) == 0)
        mask(&s->request.attn_mask, 4, per_head, state, true);
    if (random_below(state, 2) == 0)
        mask(&s->request.key_padding_mask, 2, (const size_t[]){B, S}, state, false);
}

static void choose_view(scene *s, uint64_t *state, size_t H, size_t L, size_t keys) {
    request_view *view = &s->request.view;
    size_t *two;
    if (random_below(state, 2) == 0) {
        two = take(4, sizeof *two);
        two[0] = random_below(state, L);
        two[1] = two[0] + 1 + random_below(state, L - two[0]);
        two[2] = random_below(state, keys);
        two[3] = two[2] + 1 + random_below(state, keys - two[2]);
        view->rows = (request_wholes){true, 2, two};
        view->cols = (request_wholes){true, 2, two + 2};
    }
    if (random_below(state, 2) == 0) {
        two = take(2, sizeof *two);
        two[0] = 1 + random_below(state, L);
        two[1] = 1 + random_below(state, keys);
        view->size = (request_wholes){true, 2, two};
    }
    s->options.heads = (picture_heads)random_below(state, 4);
    s->options.head_count = s->options.heads == PICTURE_HEADS_LISTED ? 1 + random_below(state, H) : 0;
    for (size_t n = 0; n < s->options.head_count; n++)
        s->options.head_list[n] = H - 1 - n;
}

Test(heatmap, cells_have_the_colours_of_their_weights) {
    uint64_t state = test_seed("heatmap");
    size_t found[3] = {0};
    for (size_t n = 0; n < ROUNDS; n++) {
        scene s;
        const size_t H = 1 + random_below(&state, 5), B = 1 + random_below(&state, 3);
        const size_t L = 1 + random_below(&state, 20), S = 1 + random_below(&state, 20);
        begin(&s, H, B, L, S);
        choose_masks(&s, &state, B, H, L, S);
        choose_view(&s, &state, H, L, S + (s.model.layer.config.add_zero_attn ? 1 : 0));
        s.options.batch_given = true;
        s.options.batch = random_below(&state, B);
        s.options.cell = random_below(&state, 2) * (1 + random_below(&state, 32));
        s.options.scale = (picture_scale)random_below(&state, 3);
        invent(&s, &state, n % 3 == 0 ? 0.5 : n % 3 == 1 ? 1e-4 : 1e-20);
        draw(&s);
        check_picture(&s, found);
        attn_arena_free(arena);
        arena = attn_arena_new(NULL);
    }
    for (size_t n = 0; n < 3; n++)
        cr_expect_gt(found[n], 500, "cells with look %zu", n);
}

Test(heatmap, two_finite_numbers_may_exclude_together) {
    float numbers[] = {-3.4e38F, -3.4e38F, 0}, padding[] = {-3.4e38F, 0, 0};
    uint64_t state = 1;
    size_t found[3] = {0};
    scene s;
    begin(&s, 1, 1, 1, 3);
    s.request.attn_mask = (request_tensor){.present = true, .rank = 2, .shape = {1, 3}, .data = numbers};
    s.request.key_padding_mask =
        (request_tensor){.present = true, .rank = 2, .shape = {1, 3}, .data = padding};
    invent(&s, &state, 0.1);
    draw(&s);
    check_picture(&s, found);
    cr_expect(found[COLOURED] == 2 && found[HATCHED] == 1);
}

/* More cells than pixels: the whole way, with pooling that the plan has chosen. */
Test(heatmap, large_maps_are_pooled) {
    uint64_t state = test_seed("large heatmap");
    size_t found[3] = {0};
    scene s;
    begin(&s, 2, 1, 9, 9000);
    s.request.is_causal = SWITCH_ON;
    s.request.query_offset.value = 4000;
    s.options.heads = PICTURE_HEADS_MAX_OF;
    invent(&s, &state, 1e-3);
    draw(&s);
    cr_expect(s.layout.rows == 9 && s.layout.columns < 4096 && s.layout.columns > 2000);
    cr_expect(s.call.output.view.pool == ATTN_POOL_MAX && s.call.output.view.pooled_cols != 0);
    check_picture(&s, found);
    cr_expect(found[COLOURED] > 0 && found[HATCHED] > 0);
}

/* ---- Edges ---- */

Test(heatmap, nothing_to_show_is_said_in_words) {
    const size_t shapes[][3] = {{0, 3, 3}, {2, 0, 3}, {2, 3, 0}};
    uint64_t state = 1;
    for (size_t n = 0; n < 3; n++) {
        scene s;
        begin(&s, 2, shapes[n][0], shapes[n][1], shapes[n][2]);
        invent(&s, &state, 0.1);
        const wire_buffer png = write_picture(&s);
        decode(&s, &png);
        cr_expect(s.width < 1000 && s.height < 100);
        size_t ink = 0;
        for (size_t at = 0; at < s.width * s.height; at++)
            ink += s.pixels[at][0] < 128;
        cr_expect_gt(ink, 200);
    }
}

Test(heatmap, weights_that_are_all_zero) {
    for (picture_scale kind = PICTURE_LINEAR; kind <= PICTURE_LOG; kind++) {
        uint64_t state = 1;
        scene s;
        begin(&s, 2, 1, 4, 4);
        s.options.scale = kind;
        invent(&s, &state, 0.1);
        memset(s.call.output.weights.values, 0, weight_count(&s) * sizeof(float));
        draw(&s);
        cr_expect(memcmp(s.pixels[s.layout.top * s.width + s.layout.left], cividis[0], 3) == 0);
    }
}

Test(heatmap, the_same_call_makes_the_same_bytes) {
    uint64_t state = 7;
    scene s;
    begin(&s, 3, 1, 30, 30);
    invent(&s, &state, 1e-3);
    const wire_buffer once = write_picture(&s), again = write_picture(&s);
    cr_assert_eq(once.length, again.length);
    cr_expect(memcmp(once.bytes, again.bytes, once.length) == 0);
}

static bool stop_after(void *context) {
    size_t *left = context;
    return (*left)-- == 0;
}

Test(heatmap, stops_when_it_is_told_to) {
    uint64_t state = 7;
    scene s;
    begin(&s, 1, 1, 50, 50);
    invent(&s, &state, 1e-3);
    for (size_t looks = 0;; looks += 7) {
        size_t left = looks;
        const attn_control control = {stop_after, &left};
        wire_buffer out = {.arena = arena, .control = &control};
        if (png_write_picture(&s.options, &s.call, &out)) {
            cr_expect_gt(looks, 700); /* also while the rows of pixels are encoded */
            break;
        }
    }
}

Test(heatmap, memory_that_runs_out) {
    uint64_t state = 7;
    size_t refused = 0;
    scene s;
    begin(&s, 1, 1, 50, 50);
    s.request.key_padding_mask = (request_tensor){.present = true, .rank = 2, .shape = {1, 50}};
    s.request.key_padding_mask.data = take(50, sizeof(float));
    memset(s.request.key_padding_mask.data, 0, 50 * sizeof(float));
    invent(&s, &state, 1e-3);
    canvas c;
    cr_assert(heatmap_draw(&s.options, &s.call, NULL, arena, &c));
    for (size_t limit = 0;; limit = limit + limit / 16 + 64) {
        attn_budget budget = {.limit = limit};
        attn_arena *small = attn_arena_new(&budget);
        wire_buffer out = {.arena = small};
        const bool written = png_write_picture(&s.options, &s.call, &out);
        cr_expect(written || attn_arena_failure(small) == ATTN_OVER_BUDGET);
        attn_arena_free(small);
        cr_expect_eq(budget.used, 0);
        if (written) { /* the canvas was charged, and what zlib needs (zconf.h: 256 KiB) */
            cr_expect_gt(limit, c.width * c.height + ((size_t)256 << 10), "%zu bytes", limit);
            break;
        }
        refused++;
    }
    cr_expect_gt(refused, 20);
}
