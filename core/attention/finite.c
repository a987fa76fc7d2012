#include "core/attention/finite.h"

#include <string.h>

#define LANES 16 /* so that the compiler takes several numbers at once */

static int32_t size_of(const float *x) {
    int32_t bits;
    memcpy(&bits, x, sizeof bits);
    return bits & INT32_MAX;
}

uint32_t attn_largest(const float *x, size_t count) {
    int32_t lanes[LANES] = {0}, largest = 0;
    size_t n = 0;
    for (; n + LANES <= count; n += LANES)
        for (size_t i = 0; i < LANES; i++) {
            const int32_t size = size_of(x + n + i);
            lanes[i] = size > lanes[i] ? size : lanes[i];
        }
    for (; n < count; n++)
        lanes[0] = size_of(x + n) > lanes[0] ? size_of(x + n) : lanes[0];
    for (size_t i = 0; i < LANES; i++)
        largest = lanes[i] > largest ? lanes[i] : largest;
    return (uint32_t)largest;
}
