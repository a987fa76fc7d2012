/* Every set of kernels that this CPU can run; others are run by `make test-cpus`. */
#include "tests/core/kernels/checks.h"

#include "core/kernels/choose.h"
#include "core/kernels/sets.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <string.h>

#define NAME(SET) #SET,
static const char *const SETS[] = {ATTN_SETS(NAME)};
enum { SET_COUNT = sizeof SETS / sizeof *SETS };

static void all_pass(bool (*check)(const attn_kernels *, uint64_t), uint64_t seed) {
    for (size_t n = 0; n < SET_COUNT; n++)
        if (attn_kernels_named(SETS[n]) != NULL)
            cr_expect(check(attn_kernels_named(SETS[n]), seed), "%s", SETS[n]);
}

#define CHECK(NAME)                                                                                          \
    Test(kernels, NAME) {                                                                                    \
        all_pass(check_##NAME, test_seed(#NAME));                                                            \
    }

CHECK(product)
CHECK(product_bits)
CHECK(dots)
CHECK(softmax)
CHECK(largest)
CHECK(copy)
CHECK(scale)
CHECK(add_up)
CHECK(rescale)
CHECK(share_out)
CHECK(packing)
CHECK(linear)
CHECK(linear_bits)
CHECK(linears)
CHECK(stopped)
CHECK(tiny)

/* Of the best set every number, of the others some. */
static void all_numbers(bool (*check)(const attn_kernels *, uint32_t)) {
    for (size_t n = 0; n < SET_COUNT; n++) {
        const attn_kernels *set = attn_kernels_named(SETS[n]);
        if (set != NULL)
            cr_expect(check(set, set == attn_kernels_named("auto") ? 1 : 61), "%s", SETS[n]);
    }
}

Test(kernels, exponential) {
    all_numbers(check_exponential);
}

Test(kernels, soft_cap) {
    all_numbers(check_soft_cap);
}

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
