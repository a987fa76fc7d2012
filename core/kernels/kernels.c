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

static const attn_kernels *avx(void) {
#ifdef __x86_64__
    if (!__builtin_cpu_supports("avx"))
        return NULL;
#endif
    return attn_kernels_avx();
}

/* Every set, the best first: those with the common bits, then those with bits of their own. Each returns NULL
 * if this CPU lacks what it needs. */
static const struct {
    const char *name;
    const attn_kernels *(*set)(void);
} SETS[] = {
    {"avx512", avx512},
    {"avx2", avx2},
    {"neon", attn_kernels_neon},
    {"avx", avx},
    {"openblas", attn_kernels_openblas},
    {"generic", attn_kernels_generic},
};
enum { SET_COUNT = sizeof SETS / sizeof *SETS };

const attn_kernels *attn_kernels_named(const char *name) {
    const bool any = strcmp(name, "auto") == 0 || strcmp(name, "fastest") == 0;
    const attn_kernels *set = NULL;
    for (size_t n = 0; n < SET_COUNT && set == NULL; n++)
        if (any || strcmp(name, SETS[n].name) == 0)
            set = SETS[n].set();
    return set;
}

const char *attn_kernels_names(void) {
    static _Thread_local char names[128];
    size_t used = 0;
    for (size_t n = SET_COUNT; n-- > 0;)
        if (SETS[n].set() != NULL)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "",
                                     SETS[n].name);
    return names;
}
