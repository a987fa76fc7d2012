#include "core/kernels/kernels.h"

#include <stdio.h>
#include <string.h>

static const attn_kernels *avx512(void) {
#ifdef __x86_64__
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("fma"))
        return NULL;
#endif
    return attn_kernels_avx512();
}

static const attn_kernels *avx2(void) {
#ifdef __x86_64__
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return NULL;
#endif
    return attn_kernels_avx2();
}

/* Every set, the best first. Each returns NULL if this CPU lacks what it needs. */
static const attn_kernels *(*const SETS[])(void) = {
    avx512, avx2, attn_kernels_neon, attn_kernels_openblas, attn_kernels_generic,
};
enum { SET_COUNT = sizeof SETS / sizeof *SETS };

const attn_kernels *attn_kernels_named(const char *name) {
    for (size_t n = 0; n < SET_COUNT; n++) {
        const attn_kernels *set = SETS[n]();
        if (set != NULL && (strcmp(name, "auto") == 0 || strcmp(name, set->name) == 0))
            return set;
    }
    return NULL;
}

const char *attn_kernels_names(void) {
    static _Thread_local char names[128];
    size_t used = 0;
    for (size_t n = SET_COUNT; n-- > 0;) {
        const attn_kernels *set = SETS[n]();
        if (set != NULL)
            used +=
                (size_t)snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", set->name);
    }
    return names;
}
