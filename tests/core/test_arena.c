#include "core/arena.h"
#include "core/size.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(arena, aligns_and_keeps_what_is_written) {
    attn_arena *arena = attn_arena_new(NULL);
    char *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = attn_arena_alloc(arena, i);
        cr_assert_eq((uintptr_t)blocks[i] % 64, 0);
        memset(blocks[i], (int)i, i);
    }
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = attn_arena_resize(arena, blocks[i], 3 * i + 1);
        for (size_t n = 0; n < i; n++)
            cr_assert_eq(blocks[i][n], (char)i);
    }
    attn_arena_free(arena);
}

Test(arena, charges_the_budget_and_gives_back) {
    attn_budget budget = {.limit = 10000};
    attn_arena *one = attn_arena_new(&budget), *two = attn_arena_new(&budget);
    void *block = attn_arena_alloc(one, 6000);
    cr_assert_not_null(block);
    cr_assert_geq(budget.used, 6000);
    cr_assert_null(attn_arena_alloc(two, 6000));
    cr_assert_eq(attn_arena_failure(two), ATTN_OVER_BUDGET);
    attn_arena_release(one, block);
    cr_assert_eq(budget.used, 0);
    cr_assert_not_null(attn_arena_alloc(two, 6000));
    attn_arena_free(one);
    attn_arena_free(two);
    cr_assert_eq(budget.used, 0);
}

Test(arena, keeps_only_what_it_is_told_to) {
    attn_budget budget = {.limit = 10000};
    attn_arena *arena = attn_arena_new(&budget);
    char *blocks[5];
    for (int turn = 0; turn < 5; turn++) {
        for (size_t i = 0; i < 5; i++)
            memset(blocks[i] = attn_arena_alloc(arena, 100), (int)i, 100);
        const size_t used = budget.used;
        attn_arena_keep_only(arena, blocks[turn]);
        cr_assert_eq(budget.used, used / 5);
        cr_assert(blocks[turn][0] == turn && blocks[turn][99] == turn);
        attn_arena_keep_only(arena, &budget);
        cr_assert_eq(budget.used, 0);
    }
    attn_arena_free(arena);
}

Test(arena, rewinds_to_a_mark) {
    attn_budget budget = {.limit = 100000};
    attn_arena *arena = attn_arena_new(&budget);
    cr_assert_eq(attn_arena_mark(arena), 0);
    void *released = attn_arena_alloc(arena, 100);
    char *kept = memset(attn_arena_alloc(arena, 100), 'k', 100);
    const size_t outer = attn_arena_mark(arena), used = budget.used;
    cr_assert_not_null(attn_arena_alloc(arena, 300));
    const size_t inner = attn_arena_mark(arena), used_inside = budget.used;
    cr_assert_not_null(attn_arena_alloc(arena, 500));
    attn_arena_rewind(arena, inner);
    cr_assert_eq(budget.used, used_inside);
    /* What is older than the mark stays, also if it was moved since; and may have gone. */
    kept = attn_arena_resize(arena, kept, 100);
    attn_arena_release(arena, released);
    attn_arena_rewind(arena, outer);
    cr_assert_eq(budget.used, used / 2);
    kept = attn_arena_resize(arena, kept, 5000);
    attn_arena_rewind(arena, outer);
    cr_assert(kept[0] == 'k' && kept[99] == 'k' && budget.used > 5000);
    attn_arena_rewind(arena, inner); /* newer than all there is */
    cr_assert_gt(budget.used, 5000);
    attn_arena_rewind(arena, 0);
    cr_assert_eq(budget.used, 0);
    attn_arena_free(arena);
}

Test(arena, refuses_sizes_that_overflow) {
    attn_arena *arena = attn_arena_new(NULL);
    cr_assert_null(attn_arena_alloc(arena, SIZE_MAX));
    cr_assert_null(attn_arena_array(arena, SIZE_MAX / 2, 3));
    cr_assert_eq(attn_arena_failure(arena), ATTN_NO_MEMORY);
    attn_arena_free(arena);
}

Test(size, notices_overflow) {
    size_t n = 7;
    cr_assert(attn_multiply(6, 7, &n) && n == 42);
    cr_assert(!attn_multiply(SIZE_MAX, 2, &n) && n == 42);
    cr_assert(!attn_add(SIZE_MAX, 1, &n) && n == 42);
    cr_assert(!attn_multiply_all((const size_t[]){(size_t)1 << 40, 1, (size_t)1 << 40}, 3, &n));
    cr_assert(attn_multiply_all((const size_t[]){3, 0, 5}, 3, &n) && n == 0);
}

Test(size, rounds_up) {
    cr_assert(attn_divide_up(0, 8) == 0 && attn_divide_up(1, 8) == 1 && attn_divide_up(8, 8) == 1);
    cr_assert_eq(attn_divide_up(SIZE_MAX, 2), SIZE_MAX / 2 + 1);
    cr_assert(attn_round_up(0, 64) == 0 && attn_round_up(63, 64) == 64 && attn_round_up(65, 64) == 128);
}
