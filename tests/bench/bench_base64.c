/* How fast base64 is coded, each way in turn: bytes of tensor a second, the best of several rounds. */
#include "server/wire/base64/base64.h"
#include "tests/bench/timing.h"

#include "tests/random.h"

#include <string.h>

#define ROUNDS 9
#define WORK   ((size_t)64 << 20) /* bytes that a round codes, however long the tensor is */

static double larger(double a, double b) {
    return a > b ? a : b;
}

typedef struct {
    double encode, decode, copy; /* GB/s */
} speed;

static void measure(const base64_code *code, uint8_t *bytes, size_t count, char *text, speed *best) {
    const size_t times = WORK / count;
    const double work = (double)times * (double)count * 1e-9;
    size_t length, bad;
    if (!base64_encoded_length(count, &length))
        abort();
    double began = seconds_on(CLOCK_MONOTONIC);
    for (size_t i = 0; i < times; i++)
        base64_encode_by(code, bytes, count, text);
    best->encode = larger(best->encode, work / (seconds_on(CLOCK_MONOTONIC) - began));
    began = seconds_on(CLOCK_MONOTONIC);
    for (size_t i = 0; i < times; i++)
        if (base64_decode_by(code, text, length, bytes, &bad) != BASE64_OK)
            abort();
    best->decode = larger(best->decode, work / (seconds_on(CLOCK_MONOTONIC) - began));
    began = seconds_on(CLOCK_MONOTONIC);
    for (size_t i = 0; i < times; i++) {
        memcpy(text, bytes, count);
        __asm__ volatile("" : : "r"(text) : "memory"); /* or all copies but one are left out */
    }
    best->copy = larger(best->copy, work / (seconds_on(CLOCK_MONOTONIC) - began));
}

int main(void) {
    static const size_t sizes[] = {(size_t)2 * 10 * 512 * 4, (size_t)1 << 20, (size_t)32 << 20};
    uint64_t state = test_seed("bench_base64");
    printf("base64, GB of tensor a second, best of %d rounds\n%10s %8s %8s %8s %8s\n", ROUNDS, "bytes",
           "code", "encode", "decode", "memcpy");
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const size_t count = sizes[s];
        size_t length;
        if (!base64_encoded_length(count, &length))
            abort();
        uint8_t *bytes = aligned_alloc(64, count + (64 - count % 64));
        char *text = aligned_alloc(64, length + (64 - length % 64));
        speed best[8] = {{0, 0, 0}};
        if (bytes == NULL || text == NULL)
            abort();
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)random_bits(&state);
        for (int round = 0; round < ROUNDS; round++)
            for (size_t i = 0; i < base64_code_count; i++)
                if (base64_codes[i]->usable())
                    measure(base64_codes[i], bytes, count, text, &best[i]);
        for (size_t i = 0; i < base64_code_count; i++)
            if (base64_codes[i]->usable())
                printf("%10zu %8s %8.2f %8.2f %8.2f\n", count, base64_codes[i]->name, best[i].encode,
                       best[i].decode, best[i].copy);
        free(bytes);
        free(text);
    }
    return 0;
}
