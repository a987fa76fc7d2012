#include "server/wire/buffer.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(buffer, keeps_what_is_appended_while_it_grows) {
    attn_arena *arena = attn_arena_new(NULL);
    wire_buffer buffer = {.arena = arena};
    for (int i = 0; i < 100000; i++)
        cr_assert(wire_buffer_append(&buffer, (const char *)&i, sizeof i));
    cr_assert_eq(buffer.length, 100000 * sizeof(int));
    for (int i = 0; i < 100000; i++)
        cr_assert_eq(memcmp(buffer.bytes + (size_t)i * sizeof i, &i, sizeof i), 0);
    attn_arena_free(arena);
}

Test(buffer, grows_to_what_is_asked_and_no_further) {
    attn_arena *arena = attn_arena_new(NULL);
    wire_buffer buffer = {.arena = arena};
    cr_assert(wire_buffer_grow(&buffer, 777));
    cr_assert_eq(buffer.capacity, 777);
    cr_assert(wire_buffer_grow(&buffer, 5));
    cr_assert_eq(buffer.capacity, 777);
    cr_assert(wire_buffer_reserve(&buffer, 778));
    cr_assert_geq(buffer.capacity, 778);
    attn_arena_free(arena);
}

Test(buffer, keeps_its_contents_when_memory_runs_out) {
    attn_budget budget = {.limit = 4096};
    attn_arena *arena = attn_arena_new(&budget);
    wire_buffer buffer = {.arena = arena};
    cr_assert(wire_buffer_append(&buffer, "kept", 4));
    cr_assert_not(wire_buffer_reserve(&buffer, 5000));
    cr_assert_not(wire_buffer_reserve(&buffer, SIZE_MAX));
    cr_assert(buffer.length == 4 && memcmp(buffer.bytes, "kept", 4) == 0);
    attn_arena_free(arena);
}

static bool count_down(void *context) {
    return (*(int *)context)-- == 0;
}

/* The control is asked now and then, not at every byte, and is obeyed. */
Test(buffer, stops_when_it_is_told_to) {
    static const char piece[1024];
    int looks_left = 3;
    const attn_control control = {count_down, &looks_left};
    attn_arena *arena = attn_arena_new(NULL);
    wire_buffer buffer = {.arena = arena, .control = &control};
    size_t pieces = 0;
    while (pieces < 100000 && wire_buffer_append(&buffer, piece, sizeof piece))
        pieces++;
    cr_assert(pieces > 100 && pieces < 10000, "%zu", pieces);
    attn_arena_free(arena);
}
