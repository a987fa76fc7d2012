#include "core/self_check/hold.h"

#include "core/splitmix64.h"

#include <math.h>

void attn_check_fill(attn_checking *c, float *numbers, size_t count, float scale) {
    for (size_t i = 0; i < count; i++)
        numbers[i] = scale * attn_splitmix64_float(&c->state);
}

attn_status attn_check_hold(const attn_checking *c, const char *kernel, const char *shape, double found,
                            double expected, double allowed) {
    if (found == expected || fabs(found - expected) <= allowed) /* false for NaN */
        return ATTN_OK;
    return attn_fail(
        c->error, ATTN_BAD_VALUE,
        "self-check: %s (kernels %s) gave %.9g for %s, expected %.9g: it computes wrongly on this CPU; "
        "--cpu takes other kernels, --self-check off serves all the same",
        kernel, c->kernels->name, found, shape, expected);
}

attn_status attn_check_no_memory(const attn_checking *c) {
    return attn_fail(c->error, ATTN_NO_MEMORY, "self-check: no memory");
}
