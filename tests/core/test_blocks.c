/* Large blocks that are kept from one request to the next. */
#include "core/arena.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB      ((size_t)1024 * 1024)
#define FOR_EVER ((uint64_t)1 << 62)

/* Bytes of [block, block + bytes) that are in memory; 0 if it is not mapped any more. */
static size_t resident(const void *block, size_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *begin = (char *)((uintptr_t)block / page * page);
    unsigned char *pages = malloc(bytes / page + 1);
    size_t count = 0;
    if (mincore(begin, bytes, pages) == 0)
        for (size_t i = 0; i < bytes / page; i++)
            count += pages[i] & 1;
    free(pages);
    return count * page;
}

Test(blocks, a_freed_block_is_used_again_and_counts_meanwhile) {
    attn_budget budget = {.limit = 100 * MIB};
    cr_assert(attn_blocks_start(&budget, FOR_EVER));
    attn_arena *arena = attn_arena_new(&budget);
    char *first = attn_arena_alloc(arena, 10 * MIB);
    cr_assert_eq((uintptr_t)first % 64, 0);
    memset(first, 1, 10 * MIB);
    const size_t used = budget.used;
    cr_assert(used >= 10 * MIB && used < 10 * MIB + 65536, "%zu", used);
    attn_arena_free(arena);
    cr_assert_eq(budget.used, used);
    arena = attn_arena_new(&budget);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    char *again = attn_arena_alloc(arena, 10 * MIB - 50000);
    memset(again, 2, 10 * MIB - 50000);
    getrusage(RUSAGE_SELF, &after);
    cr_assert_eq(again, first);
    cr_assert_lt(after.ru_minflt - before.ru_minflt, 20);
    cr_assert_eq(budget.used, used);
    attn_arena_free(arena);
    attn_blocks_stop(&budget);
    cr_assert_eq(budget.used, 0);
}

/* What is free makes room: nothing is refused that would have fit without it. */
Test(blocks, free_blocks_make_room) {
    attn_budget budget = {.limit = 64 * MIB};
    cr_assert(attn_blocks_start(&budget, FOR_EVER));
    for (size_t bytes = MIB; bytes < 63 * MIB; bytes += 777777) {
        attn_arena *arena = attn_arena_new(&budget);
        char *block = attn_arena_alloc(arena, bytes);
        cr_assert_not_null(block, "%zu", bytes);
        memset(block, 3, bytes);
        const size_t rest = 64 * MIB - 8192 - 3 * 65536 - bytes;
        cr_assert_not_null(attn_arena_alloc(arena, rest), "%zu and %zu", bytes, rest);
        cr_assert_null(attn_arena_alloc(arena, MIB));
        cr_assert_eq(attn_arena_failure(arena), ATTN_OVER_BUDGET);
        cr_assert_not_null(attn_arena_alloc(arena, 1000)); /* small ones as well */
        cr_assert_leq(budget.used, budget.limit);
        attn_arena_free(arena);
        cr_assert_leq(budget.used, budget.limit);
    }
    attn_blocks_stop(&budget);
}

Test(blocks, what_was_used_least_recently_goes_first) {
    attn_budget budget = {.limit = 40 * MIB};
    cr_assert(attn_blocks_start(&budget, FOR_EVER));
    attn_arena *arena = attn_arena_new(&budget);
    char *blocks[3];
    for (int i = 0; i < 3; i++)
        memset(blocks[i] = attn_arena_alloc(arena, 10 * MIB), 1, 10 * MIB);
    attn_arena_release(arena, blocks[1]);
    attn_arena_release(arena, blocks[2]);
    attn_arena_release(arena, blocks[0]);
    cr_assert_not_null(attn_arena_alloc(arena, 15 * MIB));
    cr_assert_lt(resident(blocks[1], 10 * MIB), 6 * MIB);
    cr_assert_gt(resident(blocks[2], 10 * MIB), 9 * MIB);
    cr_assert_gt(resident(blocks[0], 10 * MIB), 9 * MIB);
    attn_arena_free(arena);
    attn_blocks_stop(&budget);
}

/* A block that grows is not charged twice, and one that shrinks gives back. */
Test(blocks, a_block_grows_and_shrinks_within_its_budget) {
    attn_budget budget = {.limit = 64 * MIB};
    cr_assert(attn_blocks_start(&budget, FOR_EVER));
    attn_arena *arena = attn_arena_new(&budget);
    char *other = attn_arena_alloc(arena, 100), *block = NULL;
    size_t held = 0;
    for (size_t bytes = 1000; bytes < 60 * MIB; held = bytes, bytes = bytes * 17 / 10) {
        block = attn_arena_resize(arena, block, bytes);
        cr_assert_not_null(block, "%zu", bytes);
        for (size_t i = 0; i < held; i += 997)
            cr_assert_eq(block[i], (char)(i % 251), "%zu of %zu", i, bytes);
        for (size_t i = 0; i < bytes; i++)
            block[i] = (char)(i % 251);
    }
    cr_assert_eq(attn_arena_resize(arena, block, 5 * MIB), block);
    cr_assert_not_null(attn_arena_alloc(arena, 57 * MIB));
    cr_assert_null(attn_arena_resize(arena, block, 20 * MIB));
    for (size_t i = 0; i < 5 * MIB; i += 997)
        cr_assert_eq(block[i], (char)(i % 251));
    attn_arena_keep_only(arena, block);
    cr_assert_eq(block[5 * MIB - 1], (char)((5 * MIB - 1) % 251));
    cr_assert_not_null(attn_arena_alloc(arena, 57 * MIB));
    (void)other;
    attn_arena_free(arena);
    attn_blocks_stop(&budget);
}

Test(blocks, sizes_that_overflow_are_refused) {
    attn_budget budget = {.limit = SIZE_MAX};
    cr_assert(attn_blocks_start(&budget, FOR_EVER));
    attn_arena *arena = attn_arena_new(&budget);
    char *block = attn_arena_alloc(arena, MIB);
    for (size_t bytes = SIZE_MAX; bytes > (size_t)1 << 50; bytes /= 2) {
        cr_assert_null(attn_arena_alloc(arena, bytes));
        cr_assert_null(attn_arena_resize(arena, block, bytes));
        cr_assert_eq(attn_arena_failure(arena), ATTN_NO_MEMORY);
    }
    cr_assert_lt(budget.used, 2 * MIB);
    attn_arena_free(arena);
    attn_blocks_stop(&budget);
}

/* 20 ms are promised here, and the limit is one that only a broken thread reaches. */
Test(blocks, what_nobody_uses_goes_back_to_the_system) {
    attn_budget budget = {.limit = 100 * MIB};
    cr_assert(attn_blocks_start(&budget, 20000000));
    for (int turn = 0; turn < 3; turn++) {
        attn_arena *arena = attn_arena_new(&budget);
        for (size_t i = 1; i < 12; i++)
            memset(attn_arena_alloc(arena, i * MIB), 1, i * MIB);
        attn_arena_free(arena);
        for (int i = 0; i < 1000 && budget.used > 0; i++)
            usleep(10000);
        cr_assert_eq(budget.used, 0);
    }
    attn_blocks_stop(&budget);
}

/* ---- Many ---- */

#define THREADS 4

static attn_budget shared;

/* Fills blocks of random sizes with numbers of its own, resizes them, and frees them; nobody else writes
 * there. */
static void *churn(void *argument) {
    unsigned state = *(const unsigned *)argument;
    for (int turn = 0; turn < 300; turn++) {
        attn_arena *arena = attn_arena_new(&shared);
        unsigned *blocks[6] = {NULL};
        size_t counts[6] = {0};
        for (int i = 0; i < 30; i++) {
            const int n = rand_r(&state) % 6;
            const size_t count = (size_t)rand_r(&state) % (rand_r(&state) % 4 == 0 ? 1000000u : 60000u) + 1;
            const size_t kept = blocks[n] == NULL ? 0 : counts[n] < count ? counts[n] : count;
            unsigned *moved = attn_arena_resize(arena, blocks[n], count * sizeof **blocks);
            cr_assert_leq(atomic_load(&shared.used), shared.limit);
            if (moved == NULL)
                continue;
            for (size_t at = 0; at < kept; at += 500)
                cr_assert_eq(moved[at], (unsigned)(uintptr_t)arena + (unsigned)at);
            for (size_t at = 0; at < count; at += 500)
                moved[at] = (unsigned)(uintptr_t)arena + (unsigned)at;
            blocks[n] = moved;
            counts[n] = count;
        }
        attn_arena_keep_only(arena, blocks[turn % 6]);
        attn_arena_free(arena);
    }
    return NULL;
}

Test(blocks, threads_share_them) {
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    const char *seed = getenv("TEST_SEED");
    const unsigned first = seed == NULL ? 20240607 : (unsigned)strtoul(seed, NULL, 10);
    fprintf(stderr, "random sizes from seed %u (TEST_SEED)\n", first);
    shared.limit = 12 * MIB;
    cr_assert(attn_blocks_start(&shared, 1000000));
    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = first + i;
        pthread_create(&threads[i], NULL, churn, &seeds[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    attn_blocks_stop(&shared);
    cr_assert_eq(shared.used, 0);
}
