/* sets.h: the list of the sets of kernels, the best first: those with the common bits, then those with bits
 * of their own. A set is a file of its name; what a compiler must be told for it stands in the Makefile. */
#ifndef ATTN_SETS_H
#define ATTN_SETS_H

#include "core/kernels/kernels.h"

#define ATTN_SETS(SET)                                                                                       \
    SET(avx512)                                                                                              \
    SET(avx2)                                                                                                \
    SET(neon)                                                                                                \
    SET(avx)                                                                                                 \
    SET(openblas)                                                                                            \
    SET(generic)

/* What people are told of them. */
#define ATTN_SETS_TEXT                                                                                       \
    "auto, the fastest of avx512, avx2 and neon, which have the same bits, else the first of avx, openblas " \
    "and generic; fastest, also with other bits; or one of these by name"

/* attn_kernels_avx512() and so on: the set, or NULL where the compiler's target or this CPU cannot have it.
 * That of openblas loads the library; attn_openblas_library has a sentence if that fails. */
#define ATTN_DECLARE_SET(NAME) const attn_kernels *attn_kernels_##NAME(void);
ATTN_SETS(ATTN_DECLARE_SET)
#undef ATTN_DECLARE_SET

/* The set of a file that is compiled for another kind of CPU. */
#define ATTN_NO_SET(NAME)                                                                                    \
    const attn_kernels *attn_kernels_##NAME(void) {                                                          \
        return NULL;                                                                                         \
    }

#endif
