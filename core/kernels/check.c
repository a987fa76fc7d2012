/* check.c: runs the checks of check_list.h. */
#include "core/kernels/check_common.h"

#include <string.h>

attn_status attn_check_kernels(const attn_kernels *kernels, const attn_check_effort *effort, const char *only,
                               attn_error *error) {
    static const struct {
        const char *name;
        void (*check)(attn_checking *c);
        bool is_random;
    } checks[] = {
#define FIXED(NAME)  {#NAME, attn_check_##NAME, false},
#define RANDOM(NAME) {#NAME, attn_check_##NAME, true},
        ATTN_FIXED_CHECKS(FIXED) ATTN_RANDOM_CHECKS(RANDOM)
#undef FIXED
#undef RANDOM
    };
    attn_checking c = {.kernels = kernels, .effort = effort, .state = effort->seed, .error = error};
    for (size_t n = 0; n < sizeof checks / sizeof checks[0] && attn_check_goes_on(&c); n++) {
        if (only == NULL ? effort->rounds == 0 && checks[n].is_random : strcmp(only, checks[n].name) != 0)
            continue;
        checks[n].check(&c);
        attn_check_free(&c);
    }
    return c.status;
}
