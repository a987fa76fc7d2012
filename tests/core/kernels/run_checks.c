/* run_checks.c: the checks of every set of kernels that this CPU can run, as a program without Criterion: for
 * other CPUs, which qemu plays. It is slow there, so not every float32 is tried.
 *
 *     run_checks SETS [SET]    which sets there must be, as attn_kernels_names lists them; SET: only this one
 * is checked */
#include "core/kernels/check_list.h"
#include "core/kernels/choose.h"
#include "core/kernels/sets.h"
#include "tests/core/threads.h"
#include "tests/random.h"

#include <string.h>

static bool check(const attn_kernels *kernels, uint64_t seed) {
    const attn_parallel threads = {3, run_on_threads};
    const attn_check_effort effort = {
        .seed = seed, .in_use = {true, true, true}, .rounds = 1, .step = 65521, .parallel = &threads};
    attn_error error = {""};
    const bool good = attn_check_kernels(kernels, &effort, NULL, &error) == ATTN_OK;
    printf("%s: %s%s\n", kernels->name, good ? "passed" : "FAILED: ", error.text);
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
