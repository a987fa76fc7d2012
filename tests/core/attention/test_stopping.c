/* A pass goes on for no longer than it is told to, whatever its shape: what has no numbers costs nothing, and
 * within the longest row the control is asked. */
#include "tests/core/layers.h"
#include "tests/looks.h"

#define MANY ((size_t)1 << 20) /* keys of the longest rows */

typedef struct {
    attn_parallel parallel; /* first */
    size_t rounds;
} counter;

static void count_rounds(const attn_parallel *parallel, size_t rounds, attn_round *round, void *loop) {
    counter *c = (counter *)(uintptr_t)parallel;
    c->rounds += rounds;
    for (size_t n = 0; n < rounds; n++)
        round(loop, n, 0);
}

/* Every result of any number of heads, none of which has a number. */
static attn_output all_of_nothing(void) {
    static float none[1];
    static int32_t no_index[1];
    return (attn_output){.output = none,
                         .q = none,
                         .k = none,
                         .v = none,
                         .lse = none,
                         .entropy = none,
                         .head_output = none,
                         .stats = {none, no_index, none, none, none, none},
                         .weights = {none, no_index},
                         .scores = {none, no_index}};
}

static void expect_nothing(setup *s, const attn_output *wanted, const char *what) {
    attn_budget budget = {.limit = 4 << 20};
    attn_arena *work = attn_arena_new(&budget);
    counter c = {.parallel = {.slots = 1, .run = count_rounds}};
    attn_job job = {.input = &s->input, .output = wanted, .work = work};
    attn_forward_batch(&s->layer, &job, 1, &c.parallel);
    cr_expect_eq(job.status, ATTN_OK, "%s: %s", what, job.status == ATTN_OK ? "" : job.error.text);
    cr_expect_lt(c.rounds, 1000, "%s: %zu rounds", what, c.rounds);
    attn_arena_free(work);
}

TEST_OF_KERNELS(stopping, what_has_no_numbers_costs_nothing) {
    uint64_t seed = 1;
    static float none[1];
    setup s = make_setup(8, 8, (size_t)1 << 24, 0, 0, &seed);
    attn_output wanted = all_of_nothing();
    s.input.key_padding_mask = s.input.attn_mask = none;
    for (int n = 0; n < 8; n++) {
        wanted.view = attn_view_all(&s.layer.config, &s.input);
        wanted.view.average = n & 1;
        wanted.view.top_k = 0;
        s.input.mask_B = n & 2 ? s.input.B : 1;
        s.input.training = n & 4;
        expect_nothing(&s, &wanted, "no queries, no keys");
    }
    s.input.head_output = none;
    const attn_output only = {.output = none};
    expect_nothing(&s, &only, "no queries in head_output");
}

/* ---- Rows without end ---- */

static void *room(size_t count) {
    return keep(calloc(count, sizeof(float)));
}

static attn_status run(const setup *s, const attn_output *wanted, looks *asked) {
    attn_arena *work = attn_arena_new(NULL);
    const attn_control control = {looks_ask, asked};
    attn_error error;
    const attn_status status = attn_forward(&s->layer, &s->input, wanted, work, &control, &error);
    attn_arena_free(work);
    return status;
}

/* How often the control is asked if it never says stop. */
static size_t count_looks(const setup *s, const attn_output *wanted) {
    looks asked = {0};
    cr_assert_eq(run(s, wanted, &asked), ATTN_OK);
    return asked.looks;
}

/* Of the looks, at least so many are `more` than without what is tested; and the pass ends where it is told
 * to. */
static void expect_looks(const setup *s, const attn_output *wanted, size_t without, size_t more,
                         const char *what) {
    const size_t all = count_looks(s, wanted);
    cr_expect_geq(all, without + more, "%s: %zu looks, %zu without", what, all, without);
    for (size_t part = 1; part < 8; part += 3) {
        looks asked = {.stops_at = all - (all - without) * part / 8};
        cr_expect_eq(run(s, wanted, &asked), ATTN_CANCELLED, "%s", what);
        cr_expect_leq(asked.looks, asked.stops_at + 40, "%s: goes on for %zu looks", what,
                      asked.looks - asked.stops_at);
    }
}

static void expect_map(const setup *s, attn_output wanted, const attn_view *view, size_t more,
                       const char *what) {
    const size_t rows = rows_of(s);
    float *const output = room(outputs_of(s));
    float *const values = room(rows * keys_of(s));
    int32_t *const indices = room(rows * keys_of(s));
    const attn_output alone = {.output = output};
    wanted.output = output;
    wanted.view = *view;
    wanted.weights = (attn_map){values, indices};
    expect_looks(s, &wanted, count_looks(s, &alone), more, what);
}

Test(stopping, one_row_of_many_keys) {
    uint64_t seed = 1;
    setup s = make_setup(1, 1, 1, 1, MANY, &seed);
    const attn_view all = attn_view_all(&s.layer.config, &s.input);
    attn_view view = all;
    float one[6];
    int32_t largest;
    float *received = room(MANY);
    expect_map(&s, (attn_output){.q = NULL}, &view, 8, "as it is");
    view.average = true;
    expect_map(&s, (attn_output){.q = NULL}, &view, 12, "the mean");
    view = all;
    view.top_k = MANY;
    expect_map(&s, (attn_output){.q = NULL}, &view, 128, "all, in order");
    view.top_k = 10;
    expect_map(&s, (attn_output){.q = NULL}, &view, 64, "the ten largest");
    view = all;
    view.pooled_rows = 1;
    view.pooled_cols = MANY / 2 + 1;
    expect_map(&s, (attn_output){.q = NULL}, &view, 12, "pooled");
    expect_map(&s, (attn_output){.entropy = one, .lse = one + 1}, &all, 36, "the entropy");
    expect_map(
        &s, (attn_output){.stats = {one, &largest, one + 1, one + 2, one + 3, received}, .entropy = one + 4},
        &all, 36, "statistics");
    s.layer.config.dropout = 0.5;
    s.input.training = true;
    expect_map(&s, (attn_output){.q = NULL}, &all, 36, "dropout");
    free_round();
}

Test(stopping, what_is_copied_and_looked_through) {
    uint64_t seed = 1;
    setup s = make_setup(8, 8, 1, MANY / 8, 1, &seed);
    float *const arrays[] = {room(MANY), room(MANY), room(MANY), room(8)};
    float *const mask = room(MANY);
    const attn_output alone = {.output = arrays[0]}, q = {.output = arrays[0], .q = arrays[1]},
                      heads = {.output = arrays[0], .head_output = arrays[2]};
    size_t without = count_looks(&s, &alone);
    expect_looks(&s, &q, without, 18, "q");
    expect_looks(&s, &heads, without, 18, "heads");
    s.input.attn_mask = mask;
    s.input.mask_H = 8;
    expect_looks(&s, &alone, without, MANY / 32, "a mask of one key");
    s.input.head_output = arrays[2];
    expect_looks(&s, &alone, MANY / 8 / 96, 36, "heads that are brought");

    s = make_setup(8, 8, MANY / 8, 1, 1, &seed);
    without = count_looks(&s, &alone);
    const attn_output keys = {.output = arrays[0], .k = arrays[1], .v = arrays[2]};
    expect_looks(&s, &keys, without, 60, "keys and values of many batch entries");
    s.input.key_padding_mask = mask;
    expect_looks(&s, &alone, without, 4, "their padding");
    free_round();
}

/* A bias for each distance, of which there are as many as queries and keys. */
Test(stopping, distances) {
    uint64_t seed = 1;
    setup s = make_setup(8, 8, 1, MANY / 8, 1, &seed);
    float slopes[8] = {0.5f}, *const output = room(MANY);
    const attn_output wanted = {.output = output};
    const size_t without = count_looks(&s, &wanted);
    s.layer.alibi_slopes = slopes;
    expect_looks(&s, &wanted, without, 30, "slopes");
    free_round();
}

/* Batch entries that a view leaves out are not asked about one by one. */
Test(stopping, a_view_of_few_among_many) {
    uint64_t seed = 1;
    setup s = make_setup(1, 1, MANY / 2, 1, 1, &seed);
    const size_t entry = 5, head = 0;
    attn_view view = attn_view_all(&s.layer.config, &s.input);
    view.batch = &entry;
    view.heads = &head;
    view.batch_count = view.head_count = 1;
    float *output = room(MANY / 2), weight[2];
    const attn_output alone = {.output = output};
    const attn_output wanted = {.output = output, .weights.values = weight, .view = view};
    const size_t without = count_looks(&s, &alone), with = count_looks(&s, &wanted);
    cr_expect(with > without && with < without + 100, "%zu looks, %zu without", with, without);
    cr_expect_eq(weight[0], 1);
    free_round();
}
