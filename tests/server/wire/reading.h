/* reading.h: what every test of a reader of requests has: an arena for each test, and what was read last; a
 * reading from memory of its own, and one while memory runs out. */
#ifndef TESTS_SERVER_WIRE_READING_H
#define TESTS_SERVER_WIRE_READING_H

#include "server/attend/request.h"
#include "server/problem.h"
#include "tests/arena.h"

#include <stdlib.h>
#include <string.h>

static attend_request request;
static problem trouble;

typedef problem_code body_reader(const char *bytes, size_t length, attn_arena *arena,
                                 const attn_control *control, attend_request *request, problem *p);

/* Reads from memory that ends where the body does, so that a sanitizer sees a byte read too much. */
static inline problem_code read_exactly(body_reader *read, const char *bytes, size_t length) {
    char *exact = malloc(length + 1);
    cr_assert_not_null(exact);
    memcpy(exact + 1, bytes, length);
    memset(&trouble, 0, sizeof trouble);
    const problem_code code = read(exact + 1, length, arena, NULL, &request, &trouble);
    cr_assert_eq(code, trouble.code);
    free(exact);
    return code;
}

/* With ever more memory the same body is refused for the want of it, and from some limit on it never is. */
static inline void expect_to_run_out(body_reader *read, const char *bytes, size_t length) {
    bool ran_out = false, ran_through = false;
    for (size_t limit = 0; limit < 4096; limit += 64) {
        attn_budget budget = {.limit = limit};
        attn_arena *small = attn_arena_new(&budget);
        memset(&trouble, 0, sizeof trouble);
        memset(&request, 0, sizeof request);
        const problem_code code = read(bytes, length, small, NULL, &request, &trouble);
        cr_assert(code == PROBLEM_NONE || (code == PROBLEM_QUEUE_FULL && !ran_through), "%s", trouble.text);
        cr_assert(code == PROBLEM_NONE || (!trouble.has_offset && trouble.path[0] == '\0'));
        *(code == PROBLEM_NONE ? &ran_through : &ran_out) = true;
        attn_arena_free(small);
        cr_assert_eq(budget.used, 0);
    }
    cr_assert(ran_out && ran_through);
}

/* What every refusal must be like: a sentence of printable ASCII, an offset within the body if there is one.
 */
static inline void check_refusal(const char *what, size_t length) {
    cr_assert_gt(strlen(trouble.text), 10, "%.80s", what);
    cr_assert_lt(strlen(trouble.text), sizeof trouble.text - 1, "%s", trouble.text);
    for (const char *at = trouble.text; *at != '\0'; at++)
        cr_assert(*at >= 0x20 && *at < 0x7f, "%s", trouble.text);
    for (const char *at = trouble.path; *at != '\0'; at++)
        cr_assert(*at >= 0x20 && *at < 0x7f, "%s", trouble.path);
    cr_assert(!trouble.has_offset || trouble.offset <= length, "%s at %zu", trouble.text, trouble.offset);
}

#endif
