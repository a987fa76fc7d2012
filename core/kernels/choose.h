/* choose.h: which set of kernels this CPU gets. */
#ifndef ATTN_CHOOSE_H
#define ATTN_CHOOSE_H

#include "core/kernels/kernels.h"

/* The set called `name`; "auto": the fastest of this CPU's sets with the common bits, avx512, avx2 or neon,
 * or, where there is none, the first of avx, openblas and generic; "fastest": the same, while no set with
 * bits of its own is faster. NULL if there is none of that name or this CPU lacks what it needs. */
const attn_kernels *attn_kernels_named(const char *name);

/* The names of the sets that this CPU can run, like "generic, openblas, avx, avx2": the best last. Loads
 * OpenBLAS, to see whether it can be. The string is static, one for each thread. */
const char *attn_kernels_names(void);

#endif
