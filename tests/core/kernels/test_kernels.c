/* Every set of kernels that this CPU can run; others are run by `make test-cpus`. */
#include "core/kernels/check_list.h"
#include "core/kernels/choose.h"
#include "core/kernels/sets.h"
#include "tests/core/threads.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <string.h>

#define NAME(SET) #SET,
static const char *const SETS[] = {ATTN_SETS(NAME)};
enum { SET_COUNT = sizeof SETS / sizeof *SETS };

static const attn_parallel THREADS = {3, run_on_threads};

/* Of exp and tanh, the best set computes every number, the others some. */
static void all_pass(const char *check) {
    attn_check_effort effort = {
        .seed = test_seed(check), .in_use = {true, true, true}, .rounds = 1, .parallel = &THREADS};
    for (size_t n = 0; n < SET_COUNT; n++) {
        const attn_kernels *set = attn_kernels_named(SETS[n]);
        attn_error error = {""};
        if (set == NULL)
            continue;
        effort.step = set == attn_kernels_named("auto") ? 1 : 61;
        cr_expect_eq(attn_check_kernels(set, &effort, check, &error), ATTN_OK, "%s", error.text);
    }
}

#define TEST_OF_CHECK(NAME)                                                                                  \
    Test(kernels, NAME) {                                                                                    \
        all_pass(#NAME);                                                                                     \
    }

ATTN_FIXED_CHECKS(TEST_OF_CHECK)
ATTN_RANDOM_CHECKS(TEST_OF_CHECK)

Test(kernels, names) {
    const attn_kernels *best = attn_kernels_named("auto");
    cr_assert_not_null(best);
    cr_expect_not_null(strstr(attn_kernels_names(), best->name));
    cr_expect_eq(attn_kernels_named(best->name), best);
    cr_expect_null(attn_kernels_named("avx1024"));
    cr_expect_null(attn_kernels_named(""));
    cr_expect_not_null(attn_kernels_named("generic"));
    for (size_t n = 0; n < SET_COUNT; n++)
        cr_expect_eq(strstr(attn_kernels_names(), SETS[n]) != NULL, attn_kernels_named(SETS[n]) != NULL, "%s",
                     SETS[n]);
}
