/* check.h: does each function of a set of kernels compute rightly on this CPU? Held against plain loops in
 * double precision, and against what is promised to the bit. The service asks when it starts, the tests with
 * many shapes, and a program for CPUs that qemu plays. */
#ifndef ATTN_CHECK_H
#define ATTN_CHECK_H

#include "core/kernels/check_list.h"
#include "core/status.h"

/* Runs all checks that the effort allows, or the one called `only`. Some versions of OpenBLAS give wrong
 * products on some CPUs, and so might a CPU or an emulator of one; nothing but the numbers tells. Fails with
 * ATTN_BAD_VALUE (the sentence names the kernel, the shape and both numbers) or ATTN_NO_MEMORY. */
attn_status attn_check_kernels(const attn_kernels *kernels, const attn_check_effort *effort, const char *only,
                               attn_error *error);

#endif
