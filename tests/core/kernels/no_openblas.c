/* no_openblas.c: for a program that is not linked with OpenBLAS. */
#include "core/kernels/kernels.h"

const attn_kernels *attn_kernels_openblas(void) {
    return NULL;
}
