#include "core/attention/dropout.h"

void attn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53U * c0, p1 = (uint64_t)0xCD9E8D57U * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9U; /* the golden ratio */
        k1 += 0xBB67AE85U; /* the square root of 3, less 1 */
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

float attn_dropout_factor(double dropout, uint64_t seed, uint32_t b, uint32_t h, uint32_t i, uint32_t j) {
    uint32_t words[4];
    attn_philox((const uint32_t[4]){b, h, i, j}, (const uint32_t[2]){(uint32_t)seed, (uint32_t)(seed >> 32)},
                words);
    return (double)words[0] * 0x1p-32 < dropout ? 0 : (float)(1 / (1 - dropout));
}
