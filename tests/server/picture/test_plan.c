/* What a caller may choose about a picture, what is computed for it, and where its panels are. */
#include "server/attend/resolve.h"
#include "server/picture/heatmap.h"
#include "server/picture/layout.h"
#include "server/picture/picture.h"
#include "tests/arena.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <string.h>

#define ROUNDS 400

/* ---- Parameters ---- */

static problem_code read_parameter(const char *name, const char *value, picture_options *o, problem *p) {
    memset(o, 0, sizeof *o);
    memset(p, 0, sizeof *p);
    return picture_read_parameter(name, value, o, p);
}

Test(picture, parameters) {
    picture_options o;
    problem p;
    cr_assert_eq(read_parameter("head", "7", &o, &p), PROBLEM_NONE);
    cr_expect(o.heads == PICTURE_HEADS_LISTED && o.head_count == 1 && o.head_list[0] == 7);
    cr_assert_eq(read_parameter("head", "3,0,12", &o, &p), PROBLEM_NONE);
    cr_expect(o.head_count == 3 && o.head_list[0] == 3 && o.head_list[1] == 0 && o.head_list[2] == 12);
    cr_assert_eq(read_parameter("head", "mean", &o, &p), PROBLEM_NONE);
    cr_expect_eq(o.heads, PICTURE_HEADS_MEAN);
    cr_assert_eq(read_parameter("head", "max", &o, &p), PROBLEM_NONE);
    cr_expect_eq(o.heads, PICTURE_HEADS_MAX_OF);
    cr_assert_eq(read_parameter("batch", "0", &o, &p), PROBLEM_NONE);
    cr_expect(o.batch_given && o.batch == 0);
    cr_assert_eq(read_parameter("batch", "16777216", &o, &p), PROBLEM_NONE);
    cr_expect_eq(o.batch, 16777216);
    cr_assert_eq(read_parameter("cell", "1", &o, &p), PROBLEM_NONE);
    cr_expect_eq(o.cell, 1);
    cr_assert_eq(read_parameter("cell", "32", &o, &p), PROBLEM_NONE);
    cr_expect_eq(o.cell, 32);
    const char *const scales[] = {"linear", "sqrt", "log"};
    const picture_scale kinds[] = {PICTURE_LINEAR, PICTURE_SQRT, PICTURE_LOG};
    for (size_t n = 0; n < 3; n++) {
        cr_assert_eq(read_parameter("scale", scales[n], &o, &p), PROBLEM_NONE);
        cr_expect_eq(o.scale, kinds[n]);
    }
}

Test(picture, parameters_that_will_not_do) {
    static const char *const cases[][2] = {
        // clang-format off
        {"head", ""},           {"head", "-1"},         {"head", "1,"},         {"head", ",1"},
        {"head", "1,,2"},       {"head", "1;2"},        {"head", "1, 2"},       {"head", "all"},
        {"head", "MAX"},        {"head", "mean,1"},     {"head", "1,2,1"},      {"head", "1.5"},
        {"head", "99999999999999999999999999"},
        {"batch", ""},          {"batch", "-0"},        {"batch", "1,2"},       {"batch", "16777217"},
        {"batch", "0x1"},
        {"cell", ""},           {"cell", "0"},          {"cell", "33"},         {"cell", "8px"},
        {"cell", "+8"},         {"cell", " 8"},         {"cell", "4294967304"},
        {"scale", ""},          {"scale", "Log"},       {"scale", "log2"},
        // clang-format on
    };
    picture_options o;
    problem p;
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        cr_expect_eq(read_parameter(cases[n][0], cases[n][1], &o, &p), PROBLEM_BAD_VALUE, "%s=%s",
                     cases[n][0], cases[n][1]);
        cr_expect_str_eq(p.path, cases[n][0]);
        cr_expect(strncmp(p.text, cases[n][0], strlen(cases[n][0])) == 0, "%s", p.text);
    }
    static const char *const names[] = {"", "heads", "Head", "dpi", "head "};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        cr_expect_eq(read_parameter(names[n], "1", &o, &p), PROBLEM_UNKNOWN_FIELD, "'%s'", names[n]);
        cr_expect_str_eq(p.path, names[n]);
    }
}

Test(picture, long_values_are_cut_in_the_sentence) {
    char value[5000];
    picture_options o;
    problem p;
    memset(value, 'x', sizeof value);
    value[sizeof value - 1] = '\0';
    cr_expect_eq(read_parameter("scale", value, &o, &p), PROBLEM_BAD_VALUE);
    cr_expect(strlen(p.text) < 120 && strstr(p.text, "xxx'..., expected 'linear'") != NULL, "%s", p.text);
    cr_expect_eq(read_parameter(value, "", &o, &p), PROBLEM_UNKNOWN_FIELD);
    cr_expect(strlen(p.text) < 120, "%s", p.text);
    for (size_t count = PICTURE_HEADS_MAX; count <= PICTURE_HEADS_MAX + 1; count++) {
        size_t length = 0;
        for (size_t n = 0; n < count; n++)
            length += (size_t)snprintf(value + length, sizeof value - length, n == 0 ? "%zu" : ",%zu", n);
        cr_expect_eq(read_parameter("head", value, &o, &p),
                     count == PICTURE_HEADS_MAX ? PROBLEM_NONE : PROBLEM_BAD_VALUE);
    }
}

/* ---- The layout ---- */

/* Some sizes are common, others rare. */
static size_t some_size(uint64_t *state, size_t most) {
    const size_t bound = (size_t)1 << random_below(state, 25);
    return 1 + random_below(state, bound < most ? bound : most);
}

static void check_layout(const picture_contents *contents, const picture_layout *l) {
    const size_t right = l->left + (l->panels_across - 1) * l->step_across + l->panel_width;
    const size_t bottom = l->top + (l->panels_down - 1) * l->step_down + l->panel_height;
    cr_expect(l->width <= 4096 && l->notes_top + PICTURE_NOTES_MAX <= 4096);
    cr_expect(l->rows >= 1 && l->rows <= contents->rows && l->columns >= 1 &&
              l->columns <= contents->columns);
    cr_expect(l->panel_width == l->columns * l->cell_width && l->panel_height == l->rows * l->cell_height);
    cr_expect(l->panels_across * l->panels_down >= contents->panels);
    cr_expect(l->panels_across * (l->panels_down - 1) < contents->panels);
    cr_expect(l->step_across > l->panel_width + contents->row_digits && l->step_down > l->panel_height);
    cr_expect(l->left > contents->row_digits && l->bar_left > right && l->width > l->bar_left);
    cr_expect(l->notes_top > bottom && l->notes_top > l->top + l->bar_height);
    const size_t shorter = l->cell_width < l->cell_height ? l->cell_width : l->cell_height;
    if (contents->cell != 0)
        cr_expect(l->cell_width == contents->cell && l->cell_height == contents->cell);
    else
        cr_expect(shorter >= 1 && l->cell_width <= 32 && l->cell_height <= 32);
    if (l->cell_width != l->cell_height) /* only a thread is made thicker */
        cr_expect((l->cell_width > shorter ? l->panel_width : l->panel_height) <= 48);
    if (contents->cell == 0 && (l->rows < contents->rows || l->columns < contents->columns))
        cr_expect_eq(shorter, 1); /* nothing is pooled for the sake of large cells */
}

Test(picture, panels_are_beside_each_other_and_in_the_picture) {
    uint64_t state = test_seed("picture layout");
    size_t pooled = 0, without_room = 0;
    for (size_t n = 0; n < ROUNDS; n++) {
        const picture_contents contents = heatmap_contents(
            some_size(&state, 5000), some_size(&state, 1 << 24), some_size(&state, 1 << 24),
            some_size(&state, 1 << 24), random_below(&state, 2) * (1 + random_below(&state, 32)));
        picture_layout l;
        if (picture_layout_fit(&contents, &l)) {
            check_layout(&contents, &l);
            pooled += l.rows < contents.rows || l.columns < contents.columns;
        } else {
            cr_expect(contents.panels > 300, "%zu panels", contents.panels);
            without_room++;
        }
    }
    cr_expect(pooled > ROUNDS / 20 && without_room > 0, "%zu pooled, %zu without room", pooled, without_room);
}

Test(picture, layouts_that_are_known) {
    static const struct {
        size_t panels, rows, columns, cell;
        size_t least_cell, most_rows, across;
    } cases[] = {
        {1, 5, 5, 0, 16, 5, 1},         /* small maps have large cells */
        {12, 24, 24, 0, 8, 24, 4},      /* panels in a pleasant shape */
        {1, 512, 512, 0, 1, 512, 1},    /* whole, as there is room */
        {8, 512, 512, 0, 1, 512, 0},    /* likewise, although it is large then */
        {1, 4096, 4096, 0, 1, 2048, 1}, /* 4096 pixels are not enough with what is around them */
        {1, 100, 100000, 0, 1, 100, 1}, /* only the columns are pooled */
        {1, 300, 300, 32, 32, 150, 1},  /* the caller wants large cells */
        {2, 8192, 8192, 1, 1, 8192 / 4, 0},
    };
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        const picture_contents contents =
            heatmap_contents(cases[n].panels, cases[n].rows, cases[n].columns, cases[n].rows, cases[n].cell);
        picture_layout l;
        cr_assert(picture_layout_fit(&contents, &l));
        check_layout(&contents, &l);
        cr_expect_geq(l.cell_width, cases[n].least_cell, "case %zu", n);
        cr_expect_leq(l.rows, cases[n].most_rows, "case %zu", n);
        cr_expect_geq(2 * l.rows, cases[n].most_rows, "case %zu", n);
        cr_expect(cases[n].across == 0 || l.panels_across == cases[n].across, "case %zu: %zu", n,
                  l.panels_across);
        if (cases[n].rows == cases[n].columns)
            cr_expect_eq(l.rows, l.columns, "case %zu", n);
    }
}

Test(picture, one_query_of_many_keys_can_be_seen) {
    const size_t sizes[][2] = {{1, 3000}, {3000, 1}, {2, 9000}};
    for (size_t n = 0; n < 3; n++) {
        const picture_contents contents = heatmap_contents(1, sizes[n][0], sizes[n][1], sizes[n][0], 0);
        picture_layout l;
        cr_assert(picture_layout_fit(&contents, &l));
        check_layout(&contents, &l);
        cr_expect(l.panel_width >= 24 && l.panel_height >= 24);
    }
}

/* ---- The plan ---- */

TestSuite(picture_plan, .init = set_up, .fini = tear_down);

typedef struct {
    attn_model model;
    attend_request request;
    picture_options options;
    problem p;
} planned;

/* A model of H heads of width 1, and a request for it: [B,L,H], and keys [B,S,H]. */
static void begin(planned *t, size_t H, size_t B, size_t L, size_t S) {
    memset(t, 0, sizeof *t);
    strcpy(t->model.name, "m");
    t->model.layer.config =
        (attn_config){.embed_dim = H, .num_heads = H, .num_kv_heads = H, .head_dim = 1, .kdim = H, .vdim = H};
    t->request.query = (request_tensor){.present = true, .rank = 3, .shape = {B, L, H}};
    t->request.key = (request_tensor){.present = true, .rank = 3, .shape = {B, S, H}};
}

static problem_code plan(planned *t) {
    return picture_plan(&t->options, &t->model, &t->request, arena, &t->p);
}

static request_wholes list(size_t count, const size_t *items) {
    request_wholes wholes = {true, count, attn_arena_array(arena, count, sizeof *items)};
    memcpy(wholes.items, items, count * sizeof *items);
    return wholes;
}
#define LIST(...) list(sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t), (const size_t[]){__VA_ARGS__})

/* What is planned is resolved without complaint, and is what is then drawn. */
static void expect_drawn(planned *t, size_t panels) {
    attend_call call;
    picture_layout layout;
    cr_assert_eq(plan(t), PROBLEM_NONE, "%s", t->p.text);
    cr_assert_eq(request_resolve(&t->request, &t->model, (size_t)1 << 30, arena, &call, &t->p), PROBLEM_NONE,
                 "%s", t->p.text);
    cr_assert(heatmap_layout(&t->options, &call, &layout));
    cr_expect(layout.panels_across * layout.panels_down >= panels &&
              layout.panels_across * (layout.panels_down - 1) < panels);
    cr_expect_eq(call.output.view.batch_count, 1);
    size_t numbers = call.output.view.average ? 1 : call.output.view.head_count;
    numbers *= layout.rows * layout.columns;
    cr_expect_leq(numbers, t->options.heads == PICTURE_HEADS_MAX_OF ? (size_t)1 << 25 : 4096 * 4096);
    attn_arena_release(arena, (void *)(uintptr_t)call.output.weights.values);
    attn_arena_release(arena, (void *)(uintptr_t)call.output.output);
}

Test(picture_plan, what_is_planned_is_drawn) {
    uint64_t state = test_seed("picture plan");
    for (size_t n = 0; n < ROUNDS; n++) {
        planned t;
        const size_t H = 1 + random_below(&state, 16), B = 1 + random_below(&state, 3);
        const size_t L = some_size(&state, 20000), S = some_size(&state, 20000);
        begin(&t, H, B, L, S);
        t.model.layer.config.add_zero_attn = random_below(&state, 4) == 0;
        size_t panels = H;
        t.options.heads = (picture_heads)random_below(&state, 4);
        if (t.options.heads == PICTURE_HEADS_LISTED) {
            t.options.head_count = panels = 1 + random_below(&state, H);
            for (size_t h = 0; h < panels; h++)
                t.options.head_list[h] = H - 1 - h;
        } else if (t.options.heads != PICTURE_HEADS_ALL) {
            panels = 1;
        }
        if (t.options.heads != PICTURE_HEADS_MAX_OF && random_below(&state, 4) == 0) {
            t.request.average_attn_weights = true;
            panels = 1;
        }
        t.options.batch_given = random_below(&state, 2) == 0;
        t.options.batch = t.options.batch_given ? random_below(&state, B) : 0;
        t.options.cell = random_below(&state, 2) * (1 + random_below(&state, 32));
        if (random_below(&state, 3) == 0) {
            const size_t from = random_below(&state, L), to = from + 1 + random_below(&state, L - from);
            t.request.view.rows = LIST(from, to);
        }
        if (random_below(&state, 3) == 0)
            t.request.view.size = LIST(some_size(&state, 1 << 24), some_size(&state, 1 << 24));
        expect_drawn(&t, panels);
    }
}

Test(picture_plan, unbatched_and_without_key) {
    planned t;
    begin(&t, 4, 1, 7000, 1);
    t.request.query = (request_tensor){.present = true, .rank = 2, .shape = {7000, 4}};
    t.request.key.present = false;
    expect_drawn(&t, 4);
    cr_expect(t.request.view.size.present && t.request.view.size.items[0] < 2000);
}

Test(picture_plan, a_view_of_the_request_stays_where_there_is_room) {
    planned t;
    begin(&t, 4, 2, 100, 120);
    t.request.view.present = true;
    t.request.view.batch = LIST(1);
    t.request.view.heads = LIST(3, 1);
    t.request.view.cols = LIST(20, 90);
    t.request.view.size = LIST(10, 35);
    t.request.view.pool = 1 + ATTN_POOL_MEAN;
    expect_drawn(&t, 2);
    cr_expect_eq(t.request.view.batch.items[0], 1);
    cr_expect(t.request.view.heads.count == 2 && t.request.view.heads.items[0] == 3);
    cr_expect(t.request.view.size.items[0] == 10 && t.request.view.size.items[1] == 35);
    cr_expect_eq(t.request.view.pool, 1 + ATTN_POOL_MEAN);
}

Test(picture_plan, nothing_is_pooled_without_need) {
    planned t;
    begin(&t, 2, 1, 30, 40);
    expect_drawn(&t, 2);
    cr_expect(t.request.need_weights && !t.request.view.size.present);
    begin(&t, 12, 1, 3000, 40);
    t.request.view.size = LIST(20, 16777216); /* of which there are but 40 */
    expect_drawn(&t, 12);
    cr_expect_eq(t.request.view.size.items[0], 20);
    cr_expect_eq(t.request.view.size.items[1], 16777216);
}

Test(picture_plan, empty_requests) {
    const size_t shapes[][3] = {{0, 3, 3}, {2, 0, 3}, {2, 3, 0}, {0, 0, 0}};
    for (size_t n = 0; n < 4; n++) {
        planned t;
        attend_call call;
        picture_layout layout;
        begin(&t, 2, shapes[n][0], shapes[n][1], shapes[n][2]);
        cr_expect_eq(plan(&t), PROBLEM_NONE);
        cr_expect_eq(request_resolve(&t.request, &t.model, 1 << 20, arena, &call, &t.p), PROBLEM_NONE);
        cr_expect(!heatmap_layout(&t.options, &call, &layout));
    }
    planned t; /* [] is [0,0,E] */
    attend_call call;
    begin(&t, 2, 1, 1, 1);
    t.request.query = (request_tensor){.present = true, .open = true, .rank = 1, .shape = {0}};
    t.request.key.present = false;
    cr_expect_eq(plan(&t), PROBLEM_NONE);
    cr_expect_eq(request_resolve(&t.request, &t.model, 1 << 20, arena, &call, &t.p), PROBLEM_NONE, "%s",
                 t.p.text);
    begin(&t, 2, 1, 1, 1); /* [[],[]] is [2,0,E] */
    t.request.query = (request_tensor){.present = true, .open = true, .rank = 2, .shape = {2, 0}};
    t.request.key.present = false;
    t.options.batch_given = true;
    t.options.batch = 1;
    cr_expect_eq(plan(&t), PROBLEM_NONE, "%s", t.p.text);
    cr_expect_eq(request_resolve(&t.request, &t.model, 1 << 20, arena, &call, &t.p), PROBLEM_NONE);
}

/* Requests that do not fit the model are refused when they are resolved, with the sentence from there. */
Test(picture_plan, a_wrong_query_is_left_to_others) {
    for (size_t rank = 0; rank <= 4; rank++) {
        planned t;
        attend_call call;
        begin(&t, 2, 3, 3, 3);
        t.request.query.rank = rank == 3 ? 0 : rank;
        t.request.query.present = rank != 3;
        cr_expect_eq(plan(&t), PROBLEM_NONE);
        cr_expect_neq(request_resolve(&t.request, &t.model, 1 << 20, arena, &call, &t.p), PROBLEM_NONE);
    }
}

static void expect_refused(planned *t, const char *path) {
    cr_expect_eq(plan(t), PROBLEM_BAD_VALUE, "%s", path);
    cr_expect_str_eq(t->p.path, path, "%s, expected %s: %s", t->p.path, path, t->p.text);
    begin(t, 4, 2, 10, 10);
}

Test(picture_plan, refusals) {
    planned t;
    begin(&t, 4, 2, 10, 10);
    t.request.head_output.present = true;
    expect_refused(&t, "head_output");
    t.request.view.top_k = (request_whole){true, 3};
    expect_refused(&t, "view.top_k");
    t.options.batch_given = true;
    t.options.batch = 2;
    expect_refused(&t, "batch");
    t.options.batch_given = true;
    t.request.query.shape[0] = 0;
    expect_refused(&t, "batch");
    t.options.batch_given = true;
    t.request.view.batch = LIST(0);
    expect_refused(&t, "batch");
    t.request.view.batch = LIST(0, 1);
    expect_refused(&t, "view.batch");
    t.options = (picture_options){.heads = PICTURE_HEADS_LISTED, .head_count = 2, .head_list = {0, 4}};
    expect_refused(&t, "head");
    t.options = (picture_options){.heads = PICTURE_HEADS_LISTED, .head_count = 1, .head_list = {0}};
    t.request.view.heads = LIST(1);
    expect_refused(&t, "head");
    t.options.heads = PICTURE_HEADS_MAX_OF;
    t.request.average_attn_weights = true;
    expect_refused(&t, "head");
    begin(&t, 10000, 1, 2, 2);
    expect_refused(&t, "head");
}

Test(picture_plan, memory_that_runs_out) {
    for (size_t limit = 0; limit < 1024; limit += 64) {
        attn_budget budget = {.limit = limit};
        attn_arena *small = attn_arena_new(&budget);
        planned t;
        begin(&t, 4, 1, 9000, 9000);
        t.options = (picture_options){.heads = PICTURE_HEADS_LISTED, .head_count = 2, .head_list = {0, 3}};
        const problem_code code = picture_plan(&t.options, &t.model, &t.request, small, &t.p);
        cr_expect_eq(code, limit < 3 * 128 ? PROBLEM_QUEUE_FULL : PROBLEM_NONE, "%zu bytes", limit);
        attn_arena_free(small);
    }
}
