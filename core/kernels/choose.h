/* choose.h: which set of kernels this CPU gets. */
#ifndef ATTN_CHOOSE_H
#define ATTN_CHOOSE_H

#include "core/kernels/kernels.h"

/* The set called `name`; "auto": the first of sets.h that this CPU can run; "fastest": the same, while no set
 * with bits of its own is faster than those with the common bits. NULL if there is none of that name or this
 * CPU lacks what it needs. */
const attn_kernels *attn_kernels_named(const char *name);

/* The names of the sets that this CPU can run, like "generic, openblas, avx, avx2": the best last. Loads
 * OpenBLAS, to see whether it can be. The string is static, one for each thread. */
const char *attn_kernels_names(void);

#endif
