/* run_checks.c: the checks of every set of kernels that this CPU can run, as a program without Criterion: for
 * other CPUs, which qemu plays. It is slow there, so not every float32 is tried.
 *
 *     run_checks SETS [SET]    which sets there must be, as attn_kernels_names lists them; SET: only this one
 * is checked */
#include "tests/core/kernels/checks.h"

#include "core/kernels/choose.h"
#include "core/kernels/sets.h"
#include "tests/random.h"

#include <string.h>

enum { STEP = 65521 };

static bool check(const attn_kernels *kernels, uint64_t seed) {
    bool (*const checks[])(const attn_kernels *, uint64_t) = {
        check_product,     check_product_bits, check_dots,    check_softmax,   check_largest, check_copy,
        check_scale,       check_add_up,       check_rescale, check_share_out, check_packing, check_linear,
        check_linear_bits, check_linears,      check_stopped, check_tiny,
    };
    bool good = check_exponential(kernels, STEP) && check_soft_cap(kernels, STEP);
    for (size_t n = 0; n < sizeof checks / sizeof *checks; n++)
        good = checks[n](kernels, seed) && good;
    printf("%s: %s\n", kernels->name, good ? "passed" : "FAILED");
    return good;
}

int main(int argc, char **argv) {
#define NAME(SET) #SET,
    static const char *const names[] = {ATTN_SETS(NAME)};
    const uint64_t seed = test_seed("run_checks");
    bool good = true;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        const attn_kernels *kernels = attn_kernels_named(names[n]);
        if (kernels != NULL && (argc < 3 || strcmp(names[n], argv[2]) == 0))
            good = check(kernels, seed) && good;
    }
    if (argc < 2 || strcmp(attn_kernels_names(), argv[1]) != 0) {
        fprintf(stderr, "this CPU can run: %s\n", attn_kernels_names());
        good = false;
    }
    return good ? 0 : 1;
}
