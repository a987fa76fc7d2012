#include "core/kernels/choose.h"

#include "core/kernels/sets.h"

#include <stdio.h>
#include <string.h>

/* The best first. */
static const struct {
    const char *name;
    const attn_kernels *(*set)(void);
} SETS[] = {
#define ROW(NAME) {#NAME, attn_kernels_##NAME},
    ATTN_SETS(ROW)
#undef ROW
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
