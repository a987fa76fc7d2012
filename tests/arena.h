/* arena.h: an arena for each test of a suite, `.init = set_up, .fini = tear_down`. */
#ifndef TESTS_ARENA_H
#define TESTS_ARENA_H

#include "core/arena.h"

#include <criterion/criterion.h>

static attn_arena *arena;

static void set_up(void) {
    arena = attn_arena_new(NULL);
    cr_assert_not_null(arena);
}

static void tear_down(void) {
    attn_arena_free(arena);
}

#endif
