/* Kept results in their store: what goes out first, when, and that no byte is lost or counted twice. */
#include "server/attend/kept_results.h"

#include "server/attend/outputs.h"
#include "tests/random.h"
#include "tests/server/requests.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND ((uint64_t)1000000000)

static _Atomic uint64_t now = 1000 * SECOND;

static uint64_t test_clock(void) {
    return now;
}

/* A request of [L, 8] and its answer, as if it had been computed. */
typedef struct {
    attn_arena *arena;
    attn_model model;
    attend_request request;
    attend_call call;
} computed;

static void compute(computed *c, size_t L, float first) {
    problem p;
    *c = (computed){.arena = attn_arena_new(NULL), .model = make_model(8, 8)};
    c->request.query = (request_tensor){.present = true, .rank = 2, .shape = {L, 8}};
    c->request.query.data = attn_arena_array(c->arena, L * 8, sizeof(float));
    for (size_t i = 0; i < L * 8; i++)
        c->request.query.data[i] = first + (float)i;
    c->request.keep = true;
    cr_assert_eq(request_resolve(&c->request, &c->model, NO_LIMIT, c->arena, &c->call, &p), PROBLEM_NONE,
                 "%s", p.text);
    cr_assert_eq(c->call.withheld_count, 1);
    cr_assert_eq(outputs_allocate_withheld(&c->call, c->arena, &p), PROBLEM_NONE);
    memset(c->call.output.output, 0, L * 8 * sizeof(float));
    for (size_t i = 0; i < 2 * L * L; i++)
        c->call.output.weights.values[i] = first + (float)i;
}

static const kept_result *kept_of(const store_item *item) {
    return item->value;
}

/* Puts one like it into the store; its id is written to `id`. */
static problem_code put(store *r, size_t L, float first, char id[RESULT_URL_SIZE]) {
    computed c;
    problem p;
    compute(&c, L, first);
    const problem_code code = keep_result(r, &c.request, &c.call, NULL, &p);
    memset(id, 0, RESULT_URL_SIZE);
    if (code == PROBLEM_NONE)
        strcpy(id, c.call.result_url + strlen(RESULTS_PATH));
    memset(c.request.query.data, 0xff, L * 8 * sizeof(float)); /* nobody may look at these any more */
    memset(c.call.output.weights.values, 0xff, 2 * L * L * sizeof(float));
    attn_arena_free(c.arena);
    return code;
}

/* What one of them takes. */
static size_t bytes_of_one(size_t L) {
    char id[RESULT_URL_SIZE];
    store *r = store_new(SIZE_MAX / 2, SECOND, free, test_clock);
    cr_assert_eq(put(r, L, 0, id), PROBLEM_NONE);
    const size_t bytes = store_used(r);
    store_free(r);
    return bytes;
}

Test(kept_results, keeps_what_was_given_when_the_request_is_gone) {
    store *r = store_new(1 << 20, SECOND, free, test_clock);
    char id[RESULT_URL_SIZE];
    size_t count;
    cr_assert_eq(put(r, 5, 7, id), PROBLEM_NONE);
    cr_assert_eq(strlen(id), 32);
    cr_assert_eq(strspn(id, "abcdefghijklmnopqrstuvwxyz234567"), 32);
    const store_item taken = store_take(r, id);
    cr_assert_not_null(taken.value);
    cr_assert_eq(taken.seconds_left, 1);
    cr_assert_str_eq(kept_of(&taken)->model.name, "m");
    cr_assert_eq(kept_of(&taken)->call.model, &kept_of(&taken)->model);
    for (size_t i = 0; i < 40; i++)
        cr_assert_eq(kept_of(&taken)->request.query.data[i], 7 + (float)i);
    const attend_array *weights = kept_weights(&kept_of(&taken)->call, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(weights->rank, 3);
    cr_assert_eq(weights->data, kept_of(&taken)->call.output.weights.values);
    for (size_t i = 0; i < 50; i++)
        cr_assert_eq(((const float *)weights->data)[i], 7 + (float)i);
    cr_assert_eq(kept_of(&taken)->call.array_count, 1);
    store_give_back(r, &taken);
    store_free(r);
}

Test(kept_results, ids_differ) {
    store *r = store_new(1 << 26, SECOND, free, test_clock);
    static char ids[1000][RESULT_URL_SIZE];
    for (size_t i = 0; i < 1000; i++) {
        cr_assert_eq(put(r, 1, (float)i, ids[i]), PROBLEM_NONE);
        for (size_t j = 0; j < i; j++)
            cr_assert_str_neq(ids[i], ids[j]);
    }
    cr_assert_eq(store_count(r), 1000);
    for (size_t i = 0; i < 1000; i++) {
        const store_item taken = store_take(r, ids[i]);
        cr_assert_eq(kept_of(&taken)->request.query.data[0], (float)i);
        store_give_back(r, &taken);
    }
    store_free(r);
}

Test(kept_results, the_least_recently_used_goes_first) {
    const size_t one = bytes_of_one(4);
    store *r = store_new(3 * one + one / 2, 100 * SECOND, free, test_clock);
    char a[RESULT_URL_SIZE], b[RESULT_URL_SIZE], c[RESULT_URL_SIZE], d[RESULT_URL_SIZE], e[RESULT_URL_SIZE];
    put(r, 4, 0, a);
    put(r, 4, 0, b);
    put(r, 4, 0, c);
    cr_assert_eq(store_used(r), 3 * one);
    const store_item taken = store_take(r, a); /* b is the oldest use now */
    store_give_back(r, &taken);
    put(r, 4, 0, d);
    cr_assert(store_has(r, a) && !store_has(r, b) && store_has(r, c)); /* and now d is */
    put(r, 4, 0, e);
    cr_assert(store_has(r, a) && store_has(r, c) && !store_has(r, d) && store_has(r, e));
    cr_assert_eq(store_used(r), 3 * one);
    cr_assert_eq(store_count(r), 3);
    put(r, 22, 0, a); /* a larger one pushes out two */
    cr_assert_eq(store_used(r), bytes_of_one(22) + one);
    cr_assert(store_count(r) == 2 && store_has(r, a) && store_has(r, e));
    store_free(r);
}

Test(kept_results, each_lives_as_long_as_it_may) {
    store *r = store_new(1 << 20, 10 * SECOND, free, test_clock);
    char a[RESULT_URL_SIZE], b[RESULT_URL_SIZE];
    put(r, 4, 0, a);
    const size_t one = store_used(r);
    now += 6 * SECOND;
    put(r, 4, 0, b);
    now += 4 * SECOND - 1;
    store_item taken = store_take(r, a); /* a use does not make it live longer */
    cr_assert_eq(taken.seconds_left, 1);
    store_give_back(r, &taken);
    now += 1;
    cr_assert_not(store_has(r, a));
    cr_assert_eq(store_used(r), one);
    cr_assert(store_has(r, b));
    taken = store_take(r, b);
    cr_assert_eq(taken.seconds_left, 6);
    now += 7 * SECOND;
    cr_assert_not(store_has(r, b)); /* it is gone for all but the one who has it */
    cr_assert_eq(kept_of(&taken)->request.query.data[1], 1);
    cr_assert_eq(store_used(r), one);
    store_give_back(r, &taken);
    cr_assert_eq(store_used(r), 0);
    store_free(r);
}

Test(kept_results, memory_returns) {
    store *r = store_new(1 << 24, 100 * SECOND, free, test_clock);
    char ids[50][RESULT_URL_SIZE];
    size_t expected = 0;
    for (size_t i = 0; i < 50; i++) {
        put(r, i, 0, ids[i]); /* an empty query among them */
        expected += bytes_of_one(i);
        cr_assert_eq(store_used(r), expected);
    }
    for (size_t i = 0; i < 50; i++) {
        cr_assert(store_delete(r, ids[i]));
        cr_assert_not(store_delete(r, ids[i]));
        expected -= bytes_of_one(i);
        cr_assert_eq(store_used(r), expected);
    }
    cr_assert_eq(store_used(r), 0);
    cr_assert_eq(store_count(r), 0);
    store_free(r);
}

Test(kept_results, what_is_too_large_is_refused_before_it_is_computed) {
    const size_t one = bytes_of_one(9);
    store *r = store_new(one - 1, SECOND, free, test_clock), *s = store_new(one, SECOND, free, test_clock);
    char id[RESULT_URL_SIZE];
    computed c;
    problem p;
    compute(&c, 9, 0);
    for (size_t i = 0; i < c.call.array_count + c.call.withheld_count; i++)
        c.call.arrays[i].data = NULL; /* as before the computation */
    cr_assert_eq(keep_check(r, &c.request, &c.call, &p), PROBLEM_TOO_LARGE);
    cr_assert_not_null(strstr(p.text, "--results-memory"));
    cr_assert_str_eq(p.path, "keep");
    cr_assert_eq(keep_check(s, &c.request, &c.call, &p), PROBLEM_NONE);
    attn_arena_free(c.arena);
    cr_assert_eq(put(r, 9, 0, id), PROBLEM_TOO_LARGE);
    cr_assert_eq(put(s, 9, 0, id), PROBLEM_NONE);
    cr_assert_eq(store_used(r), 0);
    store_free(r);
    store_free(s);
}

/* What somebody reads cannot make room, and the others are not thrown away for nothing. */
Test(kept_results, what_is_taken_stays) {
    const size_t one = bytes_of_one(4), three = bytes_of_one(22);
    store *r = store_new(3 * one, 100 * SECOND, free, test_clock);
    char a[RESULT_URL_SIZE], b[RESULT_URL_SIZE], c[RESULT_URL_SIZE], d[RESULT_URL_SIZE];
    cr_assert(three > 2 * one && three <= 3 * one, "%zu %zu", one, three);
    put(r, 4, 0, a);
    put(r, 4, 0, b);
    const store_item taken = store_take(r, a), again = store_take(r, a);
    cr_assert_eq(put(r, 22, 0, c), PROBLEM_QUEUE_FULL);
    cr_assert(store_has(r, a) && store_has(r, b));
    put(r, 4, 0, c);
    put(r, 4, 0, d); /* for which b makes room, though a was used before it */
    cr_assert(store_has(r, a) && !store_has(r, b) && store_has(r, c) && store_has(r, d));
    cr_assert(store_delete(r, a));
    store_give_back(r, &taken);
    cr_assert_eq(store_used(r), 3 * one);
    store_give_back(r, &again);
    cr_assert_eq(store_used(r), 2 * one);
    cr_assert_eq(put(r, 22, 0, c), PROBLEM_NONE);
    cr_assert_eq(store_count(r), 1);
    store_free(r);
}

Test(kept_results, an_odd_id_is_no_id) {
    store *r = store_new(1 << 20, SECOND, free, test_clock);
    char id[RESULT_URL_SIZE];
    put(r, 1, 0, id);
    static const char *const odd[] = {"", "a", "\xff", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        cr_assert_not(store_has(r, odd[i]));
    id[31] ^= 1;
    cr_assert_not(store_has(r, id));
    id[31] ^= 1;
    cr_assert(store_has(r, id));
    store_free(r);
}

/* ---- Threads ---- */

enum { THREADS = 4, ROUNDS = 2000, SHARED = 16 };

typedef struct {
    store *r;
    uint64_t seed;
    char (*ids)[RESULT_URL_SIZE]; /* [SHARED] */
    pthread_mutex_t *lock;        /* of the ids */
    size_t limit;
    bool wrong;
} worker;

/* The numbers of what was taken are all of one result: none is freed or filled while it is read. */
static void look(worker *w, const char *id) {
    const store_item taken = store_take(w->r, id);
    if (taken.value == NULL)
        return;
    const request_tensor *query = &kept_of(&taken)->request.query;
    for (size_t i = 0; i < query->shape[0] * 8; i++)
        w->wrong |= query->data[i] != query->data[0] + (float)i;
    store_give_back(w->r, &taken);
}

static void *work(void *argument) {
    worker *w = argument;
    for (size_t i = 0; i < ROUNDS; i++) {
        char id[RESULT_URL_SIZE];
        const uint64_t dice = random_bits(&w->seed);
        const size_t slot = dice >> 8 & (SHARED - 1);
        pthread_mutex_lock(w->lock);
        memcpy(id, w->ids[slot], sizeof id);
        pthread_mutex_unlock(w->lock);
        if (dice % 4 == 0)
            store_delete(w->r, id);
        else if (dice % 4 == 1)
            look(w, id);
        else if (put(w->r, 1 + (dice >> 16) % 20, (float)i, id) == PROBLEM_NONE) {
            pthread_mutex_lock(w->lock);
            memcpy(w->ids[slot], id, sizeof id);
            pthread_mutex_unlock(w->lock);
        }
        w->wrong |= store_used(w->r) > w->limit;
    }
    return NULL;
}

Test(kept_results, threads_store_read_and_delete) {
    static char ids[SHARED][RESULT_URL_SIZE];
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t threads[THREADS];
    worker workers[THREADS];
    const uint64_t seed = test_seed("kept results");
    const size_t limit = 12 * bytes_of_one(10);
    store *r = store_new(limit, SECOND / 500, free, NULL); /* they expire meanwhile */
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){r, seed + i, ids, &lock, limit, false};
        cr_assert_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_not(workers[i].wrong);
    }
    for (size_t i = 0; i < 10000 && store_used(r) > 0;
         i++) /* by the store's own thread: nothing asks for it */
        usleep(1000);
    cr_assert_eq(store_used(r), 0);
    cr_assert_eq(store_count(r), 0);
    store_free(r);
}
