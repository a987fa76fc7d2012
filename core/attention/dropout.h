/* dropout.h: which weights are dropped in training (Srivastava et al., "Dropout", 2014). */
#ifndef ATTN_DROPOUT_H
#define ATTN_DROPOUT_H

#include <stdint.h>

/* Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11): four words from a
 * counter of four and a key of two. */
void attn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]);

/* What the weight of key j for query i is multiplied by: 0 with the probability `dropout`, else
 * 1 / (1 - dropout). The key is the seed (low word first), the counter is (b, h, i, j); the first word u of
 * the result drops the weight if u * 2^-32 < dropout. */
float attn_dropout_factor(double dropout, uint64_t seed, uint32_t b, uint32_t h, uint32_t i, uint32_t j);

#endif
