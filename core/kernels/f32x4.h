/* f32x4.h: four float32 side by side, by the vectors of the compiler, which every CPU has. For loops that are
 * too short or too rare to be a kernel. */
#ifndef ATTN_F32X4_H
#define ATTN_F32X4_H

#include <stdint.h>

#define F32X4_WIDTH 4

/* Need not be aligned. */
typedef float f32x4 __attribute__((vector_size(F32X4_WIDTH * sizeof(float)), aligned(4), may_alias));

/* What a comparison of them gives: 0 or -1. */
typedef int32_t i32x4 __attribute__((vector_size(F32X4_WIDTH * sizeof(int32_t))));

#endif
