/* reading.h: what every test of a reader of requests has: an arena for each test, and what was read last. */
#ifndef TESTS_SERVER_WIRE_READING_H
#define TESTS_SERVER_WIRE_READING_H

#include "core/arena.h"
#include "server/attend/request.h"
#include "server/problem.h"

#include <criterion/criterion.h>

static attn_arena *arena;
static attend_request request;
static problem trouble;

static void set_up(void) {
    arena = attn_arena_new(NULL);
    cr_assert(arena != NULL);
}

static void tear_down(void) {
    attn_arena_free(arena);
}

#endif
