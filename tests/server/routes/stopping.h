/* stopping.h: what the tests of stopping share: an arena, and much memory from it. */
#ifndef TESTS_STOPPING_H
#define TESTS_STOPPING_H

#include "tests/arena.h"
#include "tests/looks.h"

#include <string.h>

#define BODY ((size_t)16 << 20) /* bytes */

TestSuite(stopping, .init = set_up, .fini = tear_down, .timeout = 600);

static void *take(size_t count, size_t size) {
    void *block = attn_arena_array(arena, count, size);
    cr_assert_not_null(block);
    memset(block, 0, count * size);
    return block;
}

#endif
