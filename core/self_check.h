/* self_check.h: does this library compute rightly on this CPU? */
#ifndef ATTN_SELF_CHECK_H
#define ATTN_SELF_CHECK_H

#include "core/status.h"

/* Holds each kernel in use against the plain one, over shapes with all kinds of edges, and the whole pass
 * against the double-precision reference. Some versions of OpenBLAS give wrong products on some CPUs, and
 * nothing but the numbers tells. Takes some tens of milliseconds. Fails with ATTN_BAD_VALUE (the sentence
 * names the kernel, the shape and both numbers) or ATTN_NO_MEMORY. */
attn_status attn_self_check(attn_error *error);

#endif
