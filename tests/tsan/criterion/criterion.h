/* criterion.h: as much of Criterion as the tests of what has threads need, one test after the other in one
 * process. ThreadSanitizer does not run in the processes that Criterion makes. */
#ifndef TESTS_TSAN_CRITERION_H
#define TESTS_TSAN_CRITERION_H

#include <stdio.h>
#include <stdlib.h>

static int tests_passed;

#define cr_assert(condition, ...)                                                                            \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                   \
            exit(EXIT_FAILURE);                                                                              \
        }                                                                                                    \
    } while (0)
#define cr_assert_not(condition, ...) cr_assert(!(condition))
#define cr_assert_null(a, ...)        cr_assert((a) == NULL)
#define cr_assert_not_null(a, ...)    cr_assert((a) != NULL)
#define cr_assert_eq(a, b, ...)       cr_assert((a) == (b))
#define cr_assert_gt(a, b, ...)       cr_assert((a) > (b))
#define cr_assert_lt(a, b, ...)       cr_assert((a) < (b))
#define cr_assert_leq(a, b, ...)      cr_assert((a) <= (b))

#define Test(suite, name)                                                                                    \
    static void suite##_##name(void);                                                                        \
    static void __attribute__((constructor)) run_##suite##_##name(void) {                                    \
        suite##_##name();                                                                                    \
        tests_passed++;                                                                                      \
    }                                                                                                        \
    static void suite##_##name(void)

int main(void) {
    /* In the words that tests/run looks for. */
    printf("Synthesis: Tested: %d | Passing: %d | Failing: 0 | Crashing: 0\n", tests_passed, tests_passed);
    return EXIT_SUCCESS;
}

#endif
