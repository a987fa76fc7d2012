#include "core/parallel.h"

#include <stdint.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

/* From now on this thread flushes results below the smallest normal number to zero, and reads such operands
 * as zero: both, as 64-bit ARM can only do both. Returns the mode before. */
static uint64_t flush(void) {
#if defined __SSE2__
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | _MM_FLUSH_ZERO_ON | 0x40); /* 0x40: denormals are zeros */
    return before;
#elif defined __aarch64__
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (uint64_t)1 << 24)); /* FZ */
    return before;
#else
    return 0;
#endif
}

static void restore(uint64_t before) {
#if defined __SSE2__
    _mm_setcsr((unsigned)before);
#elif defined __aarch64__
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
    (void)before;
#endif
}

typedef struct {
    attn_round *round;
    void *loop;
} flushed;

static void run_flushed(void *context, size_t n, size_t slot) {
    const flushed *f = context;
    const uint64_t before = flush();
    f->round(f->loop, n, slot);
    restore(before);
}

void attn_parallel_run(const attn_parallel *parallel, size_t rounds, attn_round *round, void *loop) {
    flushed f = {round, loop};
    if (parallel != NULL && rounds > 1) {
        parallel->run(parallel, rounds, run_flushed, &f);
        return;
    }
    for (size_t n = 0; n < rounds; n++)
        run_flushed(&f, n, 0);
}
