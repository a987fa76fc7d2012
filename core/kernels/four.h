/* four.h: four numbers at once, by the vectors of the compiler, which every CPU has. */
#ifndef ATTN_FOUR_H
#define ATTN_FOUR_H

#include <stdint.h>

#define FOUR 4

/* Need not be aligned. */
typedef float four __attribute__((vector_size(FOUR * sizeof(float)), aligned(4), may_alias));

/* What a comparison of them gives: 0 or -1. */
typedef int32_t four_flags __attribute__((vector_size(FOUR * sizeof(int32_t))));

#endif
