/* self_check.h: what the service asks when it starts: does this CPU compute rightly? */
#ifndef ATTN_SELF_CHECK_H
#define ATTN_SELF_CHECK_H

#include "core/kernels/kernels.h"
#include "core/status.h"

/* Runs the checks of the kernels with fixed shapes (core/kernels/check_list.h), for weights in each precision
 * that is in use, and holds the whole pass against the double-precision reference. Takes some tens of
 * milliseconds. Fails with ATTN_BAD_VALUE (the sentence names the kernel, the shape and both numbers) or
 * ATTN_NO_MEMORY. */
attn_status attn_self_check(const attn_kernels *kernels, const bool in_use[ATTN_PRECISIONS],
                            attn_error *error);

#endif
