/* check_common.h: what the checks of check_list.h have in common. */
#ifndef ATTN_CHECK_COMMON_H
#define ATTN_CHECK_COMMON_H

#include "core/kernels/check_list.h"
#include "core/splitmix64.h"
#include "core/status.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What stands where nothing may be written. */
#define ATTN_UNTOUCHED 12345.0f

/* On the way through the checks. The first failure is the one that counts; what comes after it is harmless,
 * and ends soon. */
typedef struct {
    const attn_kernels *kernels;
    const attn_check_effort *effort;
    uint64_t state; /* of the random numbers */
    char shape[96]; /* of what is checked, for the sentence */
    void *blocks[256];
    size_t block_count;
    attn_status status;
    attn_error *error;
} attn_checking;

static inline bool attn_check_goes_on(const attn_checking *c) {
    return c->status == ATTN_OK;
}

#define ATTN_DECLARE_CHECK(NAME) void attn_check_##NAME(attn_checking *c);
ATTN_FIXED_CHECKS(ATTN_DECLARE_CHECK)
ATTN_RANDOM_CHECKS(ATTN_DECLARE_CHECK)
#undef ATTN_DECLARE_CHECK

/* What follows is checked with such a shape, in words as of printf. */
#define ATTN_SHAPE(c, ...) ((void)snprintf((c)->shape, sizeof(c)->shape, __VA_ARGS__))

/* Memory that lives until attn_check_free: of `bytes`, aligned to 64; or `count` numbers and one behind them,
 * random ones from -1 to 1 or none, the others ATTN_UNTOUCHED. NULL: there is none, which is set as the
 * failure. */
void *attn_check_block(attn_checking *c, size_t bytes);
float *attn_check_array(attn_checking *c, size_t count);
float *attn_check_random(attn_checking *c, size_t count);
void attn_check_free(attn_checking *c);

/* Frees the latest of these. */
void attn_check_free_last(attn_checking *c);

/* Sets the failure, unless there is one: ATTN_BAD_VALUE with both numbers. */
void attn_check_fail(attn_checking *c, const char *kernel, double found, double expected);

/* The same, ATTN_NO_MEMORY. */
void attn_check_no_memory(attn_checking *c);

/* Holds a number against the plain one, from which rounding may lead so far; never to NaN. */
static inline void attn_check_close(attn_checking *c, const char *kernel, double found, double expected,
                                    double allowed) {
    if (!(found == expected || fabs(found - expected) <= allowed))
        attn_check_fail(c, kernel, found, expected);
}

/* To the bit; every NaN is the same. */
static inline void attn_check_same(attn_checking *c, const char *kernel, double found, double expected) {
    if (memcmp(&found, &expected, sizeof found) != 0 && !(isnan(found) && isnan(expected)))
        attn_check_fail(c, kernel, found, expected);
}

static inline float attn_check_number(attn_checking *c) {
    return attn_splitmix64_float(&c->state);
}

/* A whole number below n. */
static inline size_t attn_check_below(attn_checking *c, size_t n) {
    return (size_t)(attn_splitmix64(&c->state) % n);
}

static inline size_t attn_check_between(attn_checking *c, size_t least, size_t most) {
    return least + attn_check_below(c, most - least + 1);
}

#endif
