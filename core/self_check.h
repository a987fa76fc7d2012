/* self_check.h: do the kernels compute rightly on this CPU? */
#ifndef ATTN_SELF_CHECK_H
#define ATTN_SELF_CHECK_H

#include "core/kernels/kernels.h"
#include "core/status.h"

/* Holds each function of the set, for weights in each precision that is in use, against plain loops, over
 * shapes with all kinds of edges; then the projections, also that no bit of a row depends on other rows, and
 * the whole pass against the double-precision reference. Some versions of OpenBLAS give wrong products on
 * some CPUs, and so might a CPU or an emulator of one; nothing but the numbers tells. Takes some tens of
 * milliseconds. Fails with ATTN_BAD_VALUE (the sentence names the kernel, the shape and both numbers) or
 * ATTN_NO_MEMORY. */
attn_status attn_self_check(const attn_kernels *kernels, const bool in_use[ATTN_PRECISIONS],
                            attn_error *error);

#endif
