/* checks.h: every function of a set of kernels held against plain loops in double precision, and against what
 * must hold to the bit. Without Criterion, so that a program for another CPU can be made of it too. Each
 * check returns true, or prints a sentence to stderr and returns false. */
#ifndef TESTS_KERNELS_CHECKS_H
#define TESTS_KERNELS_CHECKS_H

#include "core/kernels/linear.h"

/* Random shapes, strides and numbers from a seed. */
bool check_product(const attn_kernels *kernels, uint64_t seed);
bool check_product_bits(const attn_kernels *kernels, uint64_t seed);
bool check_dots(const attn_kernels *kernels, uint64_t seed);
bool check_softmax(const attn_kernels *kernels, uint64_t seed);
bool check_largest(const attn_kernels *kernels, uint64_t seed);
bool check_copy(const attn_kernels *kernels, uint64_t seed);
bool check_scale(const attn_kernels *kernels, uint64_t seed);
bool check_add_up(const attn_kernels *kernels, uint64_t seed);
bool check_rescale(const attn_kernels *kernels, uint64_t seed);
bool check_share_out(const attn_kernels *kernels, uint64_t seed);
bool check_packing(const attn_kernels *kernels, uint64_t seed);
bool check_linear(const attn_kernels *kernels, uint64_t seed);
bool check_linear_bits(const attn_kernels *kernels, uint64_t seed);
bool check_linears(const attn_kernels *kernels, uint64_t seed);
bool check_stopped(const attn_kernels *kernels, uint64_t seed);
bool check_tiny(const attn_kernels *kernels, uint64_t seed);

/* Every `step`th float32 that has a result other than 0, x or 1, and the special ones. */
bool check_exponential(const attn_kernels *kernels, uint32_t step);
bool check_soft_cap(const attn_kernels *kernels, uint32_t step);

#endif
