/* clock.h: time that only moves forward. */
#ifndef SERVER_CLOCK_H
#define SERVER_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_NEVER UINT64_MAX

/* Nanoseconds on the monotonic clock. */
static inline uint64_t clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The moment `ms` milliseconds from now. */
static inline uint64_t clock_in_ms(uint64_t ms) {
    return clock_now() + ms * 1000000u;
}

#endif
