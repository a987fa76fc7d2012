/* Several passes at once, and several threads: nothing of a result may depend on either. */
#include "tests/core/layers.h"
#include "tests/core/threads.h"

#define SLOTS_MOST 4

/* ---- Jobs ---- */

#define JOBS_MOST 5

/* A job and what it asks for. */
typedef struct {
    attn_input input;
    attn_output output;
    attn_job job;
    size_t outputs, rows, weights, received;
} task;

/* A part of the setup's input: other shapes, from the same arrays. */
static task make_task(const setup *s, uint64_t *seed) {
    const attn_config *c = &s->layer.config;
    task t = {.input = s->input};
    attn_input *in = &t.input;
    in->B = random_below(seed, s->input.B + 1);
    in->L = random_below(seed, s->input.L + 1);
    in->S = random_below(seed, s->input.S + 1);
    in->mask_B = in->mask_B == 1 ? 1 : in->B;
    in->query_offset = random_below(seed, 200);
    in->training = random_below(seed, 2) == 0;
    in->seed = random_bits(seed) >> 11;
    const size_t keys = attn_keys_with_extra(c, in->S, in->omit_extra);
    t.outputs = in->B * in->L * c->embed_dim;
    t.rows = in->B * c->num_heads * in->L;
    t.weights = t.rows * keys;
    t.received = in->B * c->num_heads * keys;
    t.output = (attn_output){.output = nothing_yet(t.outputs)};
    if (random_below(seed, 2) == 0)
        return t;
    t.output.view = attn_view_all(c, in);
    t.output.view.average = random_below(seed, 2) == 0;
    t.output.lse = nothing_yet(t.rows);
    t.output.weights.values = nothing_yet(t.weights);
    t.output.scores.values = nothing_yet(t.weights);
    if (random_below(seed, 2) == 0)
        t.output.stats = (attn_stats){nothing_yet(t.rows), no_indices_yet(t.rows), nothing_yet(t.rows),
                                      nothing_yet(t.rows), nothing_yet(t.rows),    nothing_yet(t.received)};
    return t;
}

/* The same task with room of its own for the results. */
static task twin_of(const task *t) {
    task twin = *t;
    twin.output.output = nothing_yet(t->outputs);
    if (t->output.lse == NULL)
        return twin;
    twin.output.lse = nothing_yet(t->rows);
    twin.output.weights.values = nothing_yet(t->weights);
    twin.output.scores.values = nothing_yet(t->weights);
    if (t->output.stats.max != NULL)
        twin.output.stats =
            (attn_stats){nothing_yet(t->rows), no_indices_yet(t->rows), nothing_yet(t->rows),
                         nothing_yet(t->rows), nothing_yet(t->rows),    nothing_yet(t->received)};
    return twin;
}

static void same(const float *a, const float *b, size_t count) {
    cr_assert((a == NULL && b == NULL) || memcmp(a, b, count * sizeof *a) == 0);
}

static void same_results(const task *a, const task *b) {
    same(a->output.output, b->output.output, a->outputs);
    same(a->output.lse, b->output.lse, a->rows);
    same(a->output.weights.values, b->output.weights.values, a->weights);
    same(a->output.scores.values, b->output.scores.values, a->weights);
    same(a->output.stats.max, b->output.stats.max, a->rows);
    same((const float *)(const void *)a->output.stats.argmax,
         (const float *)(const void *)b->output.stats.argmax, a->rows);
    same(a->output.stats.received, b->output.stats.received, a->received);
}

/* Runs tasks in one batch on so many threads; each has an arena of its own. */
static void run_tasks(const setup *s, task *tasks, size_t count, size_t slots, attn_budget *budget) {
    const attn_parallel parallel = {.slots = slots, .run = run_on_threads};
    attn_job jobs[JOBS_MOST];
    for (size_t n = 0; n < count; n++)
        jobs[n] = (attn_job){.input = &tasks[n].input,
                             .output = &tasks[n].output,
                             .work = attn_arena_new(budget),
                             .control = tasks[n].job.control};
    attn_forward_batch(&s->layer, jobs, count, slots == 1 ? NULL : &parallel);
    cr_assert(budget == NULL || budget->used == 0);
    for (size_t n = 0; n < count; n++) {
        attn_arena_free(jobs[n].work);
        tasks[n].job.status = jobs[n].status;
        tasks[n].job.error = jobs[n].error;
    }
}

static setup random_layer(int n, uint64_t *seed) {
    setup s = make_setup_within(n % 5 == 0 ? 100 : 20, n % 3 == 0 ? 400 : 50, seed);
    s.layer.config.dropout = random_below(seed, 2) == 0 ? 0 : 0.4;
    return s;
}

/* ---- Tests ---- */

TEST_OF_KERNELS(batch, a_job_does_not_notice_company_or_threads) {
    uint64_t seed = test_seed("a_job_does_not_notice_company_or_threads");
    for (int n = 0; n < 60; n++) {
        setup s = random_layer(n, &seed);
        task alone[JOBS_MOST], together[JOBS_MOST];
        const size_t count = 1 + random_below(&seed, JOBS_MOST), slots = 1 + random_below(&seed, SLOTS_MOST);
        for (size_t j = 0; j < count; j++) {
            alone[j] = make_task(&s, &seed);
            together[j] = twin_of(&alone[j]);
            run_tasks(&s, &alone[j], 1, 1, NULL);
        }
        run_tasks(&s, together, count, slots, NULL);
        for (size_t j = 0; j < count; j++) {
            cr_assert_eq(alone[j].job.status, ATTN_OK);
            cr_assert_eq(together[j].job.status, ATTN_OK);
            same_results(&alone[j], &together[j]);
        }
        free_round();
    }
}

/* Batch entry b by itself gives the same bits as among the others. */
TEST_OF_KERNELS(batch, an_entry_does_not_notice_the_others) {
    uint64_t seed = test_seed("an_entry_does_not_notice_the_others");
    for (int n = 0; n < 100; n++) {
        setup s = random_layer(n, &seed);
        const attn_config *c = &s.layer.config;
        const attn_input *in = &s.input;
        const size_t numbers_of = in->L * c->embed_dim;
        attn_output all = {.output = nothing_yet(in->B * numbers_of)};
        cr_assert_eq(forward(&s, &all), ATTN_OK);
        for (size_t b = 0; b < in->B; b++) {
            setup one = s;
            one.input.B = 1;
            one.input.query += b * numbers_of;
            one.input.key += b * in->S * c->kdim;
            one.input.value += b * in->S * c->vdim;
            if (in->attn_mask != NULL && in->mask_B != 1)
                one.input.attn_mask += b * in->mask_H * in->L * in->S;
            one.input.mask_B = 1;
            if (in->key_padding_mask != NULL)
                one.input.key_padding_mask += b * in->S;
            attn_output out = {.output = nothing_yet(numbers_of)};
            cr_assert_eq(forward(&one, &out), ATTN_OK);
            same(all.output + b * numbers_of, out.output, numbers_of);
        }
        free_round();
    }
}

static bool stop_at_once(void *context) {
    (void)context;
    return true;
}

/* One job is stopped, one has numbers beyond float32, one brings its heads: the others have their bits. */
Test(batch, jobs_fail_one_by_one) {
    uint64_t seed = test_seed("jobs_fail_one_by_one");
    static const attn_control stops = {stop_at_once, NULL};
    for (int n = 0; n < 60; n++) {
        setup s = make_setup(24, 3, 2, 40, 300, &seed);
        task alone[JOBS_MOST], together[JOBS_MOST];
        float *heads = numbers(2 * 40 * 24, 1, &seed), *large = numbers(2 * 300 * 40, 3e38f, &seed);
        for (size_t j = 0; j < JOBS_MOST; j++) {
            alone[j] = make_task(&s, &seed);
            if (j == 0)
                alone[j].job.control = &stops;
            if (j == 2)
                alone[j].input.key = large;
            if (j == 3) {
                alone[j].output = (attn_output){.output = nothing_yet(alone[j].outputs)};
                alone[j].input =
                    (attn_input){.B = alone[j].input.B, .L = alone[j].input.L, .head_output = heads};
            }
            together[j] = twin_of(&alone[j]);
            run_tasks(&s, &alone[j], 1, 1, NULL);
        }
        attn_budget budget = {.limit = SIZE_MAX};
        run_tasks(&s, together, JOBS_MOST, 1 + random_below(&seed, SLOTS_MOST), &budget);
        for (size_t j = 0; j < JOBS_MOST; j++) {
            cr_assert_eq(alone[j].job.status, together[j].job.status);
            if (alone[j].job.status != ATTN_OK)
                cr_assert_str_eq(alone[j].job.error.text, together[j].job.error.text);
            else
                same_results(&alone[j], &together[j]);
        }
        free_round();
    }
}

/* With every budget, each job succeeds with its bits or says that there is no memory; and all comes back. */
Test(batch, ends_cleanly_without_memory) {
    uint64_t seed = test_seed("ends_cleanly_without_memory");
    setup s = make_setup(16, 2, 2, 10, 300, &seed);
    task alone[2], together[2];
    for (size_t j = 0; j < 2; j++) {
        alone[j] = make_task(&s, &seed);
        together[j] = twin_of(&alone[j]);
        run_tasks(&s, &alone[j], 1, 1, NULL);
    }
    size_t failures = 0, successes = 0;
    for (size_t limit = 0; successes < 2 && limit < (size_t)1 << 26; limit += 4096) {
        attn_budget budget = {.limit = limit};
        run_tasks(&s, together, 2, 2, &budget);
        successes = 0;
        for (size_t j = 0; j < 2; j++) {
            if (together[j].job.status == ATTN_OK)
                same_results(&alone[j], &together[j]);
            else
                cr_assert_eq(together[j].job.status, ATTN_OVER_BUDGET);
            successes += together[j].job.status == ATTN_OK;
            failures += together[j].job.status != ATTN_OK;
        }
    }
    cr_assert_eq(successes, 2);
    cr_assert_gt(failures, 8);
    free_round();
}

/* Input, output and all that the pass holds are less than three times input and output, where query, key and
 * value are one array; what it holds for a tile does not grow. */
Test(batch, holds_little_memory) {
    uint64_t seed = test_seed("holds_little_memory");
    const size_t L = 1024, E = 512;
    setup s = make_setup(E, 8, 1, L, L, &seed);
    attn_budget budget = {.limit = 2 * (2 * L * E * sizeof(float))};
    attn_arena *work = attn_arena_new(&budget);
    attn_output out = {.output = nothing_yet(L * E)};
    s.input.is_causal = true;
    cr_assert_eq(attn_forward(&s.layer, &s.input, &out, work, NULL, NULL), ATTN_OK);
    attn_arena_free(work);
    free_round();
}
