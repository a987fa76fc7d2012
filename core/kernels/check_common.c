#include "core/kernels/check_common.h"

#include <stdlib.h>

enum { ALIGNMENT = 64 };

void attn_check_no_memory(attn_checking *c) {
    if (attn_check_goes_on(c))
        c->status = attn_fail(c->error, ATTN_NO_MEMORY, "self-check: no memory");
}

/* A block is not a byte longer than was asked for, so that a sanitizer notices what is read behind its end.
 */
static void *keep(attn_checking *c, void *block) {
    if (block == NULL || c->block_count == sizeof c->blocks / sizeof c->blocks[0]) {
        free(block);
        attn_check_no_memory(c);
        return NULL;
    }
    return c->blocks[c->block_count++] = block;
}

void *attn_check_block(attn_checking *c, size_t bytes) {
    void *block = NULL;
    if (posix_memalign(&block, ALIGNMENT, bytes + (bytes == 0)) != 0)
        block = NULL;
    return keep(c, block);
}

/* Not aligned. */
float *attn_check_array(attn_checking *c, size_t count) {
    float *numbers = keep(c, malloc((count + 1) * sizeof *numbers));
    for (size_t n = 0; numbers != NULL && n <= count; n++)
        numbers[n] = ATTN_UNTOUCHED;
    return numbers;
}

float *attn_check_random(attn_checking *c, size_t count) {
    float *numbers = attn_check_array(c, count);
    for (size_t n = 0; numbers != NULL && n < count; n++)
        numbers[n] = attn_check_number(c);
    return numbers;
}

void attn_check_free_last(attn_checking *c) {
    free(c->blocks[--c->block_count]);
}

void attn_check_free(attn_checking *c) {
    while (c->block_count > 0)
        attn_check_free_last(c);
}

void attn_check_fail(attn_checking *c, const char *kernel, double found, double expected) {
    if (attn_check_goes_on(c))
        c->status = attn_fail(
            c->error, ATTN_BAD_VALUE,
            "self-check: %s (kernels %s) gave %.9g for %s, expected %.9g: it computes wrongly on this CPU; "
            "--cpu takes other kernels, --self-check off serves all the same",
            kernel, c->kernels->name, found, c->shape, expected);
}
