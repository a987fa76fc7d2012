/* no_openblas.c: for a program that is not linked with OpenBLAS. */
#include "core/kernels/sets.h"

const attn_kernels *attn_kernels_openblas(void) {
    return NULL;
}
