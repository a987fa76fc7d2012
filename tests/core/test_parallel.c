/* What a round may count on: numbers that are too small are zero, as operands and as results, whichever
 * thread takes it; and after it, and beside it, every number counts. */
#include "core/parallel.h"
#include "tests/core/layers.h"

#include <pthread.h>
#include <stdatomic.h>

enum { HELPERS = 3, ROUNDS = 100 };

/* Numbers that no compiler computes with beforehand. */
static volatile const float tiny = 1e-20f, subnormal = 1e-40f, large = 1e20f;
static volatile const double smallest = 1e-310;

static bool flushes(void) {
    return tiny * tiny == 0 && subnormal * large == 0 && smallest * 1e10 == 0;
}

static bool counts_all(void) {
    return tiny * tiny > 0 && subnormal * large > 0 && smallest * 1e10 > 0;
}

/* ---- Lending threads, each of which looks how it is between two rounds ---- */

typedef struct {
    attn_round *round;
    void *loop;
    size_t rounds;
    atomic_size_t next, slot, spoiled;
} shared_loop;

static void *take_rounds(void *context) {
    shared_loop *s = context;
    const size_t slot = atomic_fetch_add(&s->slot, 1);
    const bool before = counts_all(); /* a loop may itself be in a round, whose state new threads inherit */
    for (size_t n; (n = atomic_fetch_add(&s->next, 1)) < s->rounds;) {
        s->round(s->loop, n, slot);
        s->spoiled += counts_all() != before;
    }
    return NULL;
}

static void run_on_threads(const attn_parallel *parallel, size_t rounds, attn_round *round, void *loop) {
    shared_loop s = {.round = round, .loop = loop, .rounds = rounds};
    pthread_t threads[HELPERS];
    for (size_t n = 0; n + 1 < parallel->slots; n++)
        cr_assert_eq(pthread_create(&threads[n], NULL, take_rounds, &s), 0);
    take_rounds(&s);
    for (size_t n = 0; n + 1 < parallel->slots; n++)
        pthread_join(threads[n], NULL);
    cr_assert_eq(s.spoiled, 0);
}

static const attn_parallel THREADS = {HELPERS + 1, run_on_threads};

/* ---- Rounds ---- */

typedef struct {
    atomic_size_t flushing, inner;
} seen;

static void look(void *context, size_t round, size_t slot) {
    seen *s = context;
    (void)round, (void)slot;
    s->flushing += flushes();
}

/* A loop within a round leaves it as it was. */
static void look_within(void *context, size_t round, size_t slot) {
    seen *s = context;
    attn_parallel_run(NULL, 2, look, s);
    look(s, round, slot);
    s->inner++;
}

Test(parallel, a_round_counts_small_numbers_as_zero_and_nothing_else_does) {
    static const attn_parallel *const lenders[] = {NULL, &THREADS};
    for (size_t n = 0; n < 2; n++) {
        seen s = {0};
        cr_assert(counts_all());
        attn_parallel_run(lenders[n], ROUNDS, look, &s);
        cr_assert_eq(s.flushing, ROUNDS);
        attn_parallel_run(lenders[n], 1, look, &s); /* on this thread */
        cr_assert_eq(s.flushing, ROUNDS + 1);
        attn_parallel_run(lenders[n], ROUNDS, look_within, &s);
        cr_assert_eq(s.flushing, 4 * ROUNDS + 1);
        cr_assert(counts_all());
    }
}

/* ---- Passes ---- */

static void scale_all(float *x, size_t count, float factor) {
    for (size_t n = 0; n < count; n++)
        x[n] *= factor;
}

static setup tiny_setup(float factor, uint64_t *seed) {
    setup s = make_setup_within(40, 300, seed);
    const attn_config *c = &s.layer.config;
    attn_input *in = &s.input;
    scale_all((float *)in->query, in->B * in->L * c->embed_dim, factor);
    scale_all((float *)in->key, in->B * in->S * c->kdim, factor);
    scale_all((float *)in->value, in->B * in->S * c->vdim, factor);
    return s;
}

static bool any_subnormal(const float *x, size_t count) {
    for (size_t n = 0; n < count; n++)
        if (fpclassify(x[n]) == FP_SUBNORMAL)
            return true;
    return false;
}

/* Neither the loops of a pass nor what it does beside them leaves a number that small, and the caller's
 * thread is as it was. With one thread and with four the bits are the same. */
TEST_OF_KERNELS(parallel, a_pass_with_tiny_numbers_flushes_them_on_any_threads) {
    static const float factors[] = {1e-18f, 1e-20f, 1e-37f, 1e-39f, 1e-44f};
    uint64_t seed = test_seed("a_pass_with_tiny_numbers_flushes_them_on_any_threads");
    for (size_t n = 0; n < 40; n++) {
        setup s = tiny_setup(factors[n % 5], &seed);
        const size_t B = s.input.B, H = s.layer.config.num_heads, rows = B * H * s.input.L;
        const size_t outputs = B * s.input.L * s.layer.config.embed_dim, weights = rows * keys_of(&s);
        float *found[2][4];
        for (size_t i = 0; i < 2; i++) {
            attn_output out = {.output = nothing_yet(outputs), .entropy = nothing_yet(rows)};
            out.view = attn_view_all(&s.layer.config, &s.input);
            out.weights.values = nothing_yet(weights);
            out.scores.values = nothing_yet(weights);
            attn_job job = {.input = &s.input, .output = &out, .work = attn_arena_new(NULL)};
            attn_forward_batch(&s.layer, &job, 1, i == 0 ? NULL : &THREADS);
            cr_assert_eq(job.status, ATTN_OK, "%s", job.error.text);
            cr_assert(counts_all());
            attn_arena_free(job.work);
            memcpy(found[i], (float *[]){out.output, out.weights.values, out.scores.values, out.entropy},
                   sizeof found[i]);
        }
        const size_t counts[] = {outputs, weights, weights, rows};
        for (size_t i = 0; i < 4; i++) {
            cr_assert(memcmp(found[0][i], found[1][i], counts[i] * sizeof(float)) == 0);
            cr_assert(!any_subnormal(found[0][i], counts[i]));
        }
        free_round();
    }
}
