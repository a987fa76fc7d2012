#include "server/http/pace.h"

#define SECOND       ((uint64_t)1000000000)
#define LEAST_PERIOD ((uint64_t)5000000) /* nanoseconds between two samples */

static uint64_t lesser(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* When the next sample is due. */
static uint64_t next_sample(const pace *p) {
    const uint64_t period = p->window / PACE_SAMPLES;
    const size_t last = (p->oldest + p->count - 1) % (PACE_SAMPLES + 1);
    return p->samples[last].moment + (period < LEAST_PERIOD ? LEAST_PERIOD : period);
}

static void add_sample(pace *p, uint64_t acknowledged, uint64_t now) {
    if (p->count == PACE_SAMPLES + 1) {
        p->oldest = (p->oldest + 1) % (PACE_SAMPLES + 1);
        p->count--;
    }
    const size_t i = (p->oldest + p->count++) % (PACE_SAMPLES + 1);
    p->samples[i].moment = now;
    p->samples[i].acknowledged = acknowledged;
}

/* The average since the last sample that is a whole window old. */
static bool is_slow(pace *p, uint64_t acknowledged, uint64_t now) {
    for (size_t second; p->count > 1; p->oldest = second, p->count--) {
        second = (p->oldest + 1) % (PACE_SAMPLES + 1);
        if (now - p->samples[second].moment < p->window)
            break;
    }
    const uint64_t time = now - p->samples[p->oldest].moment;
    const uint64_t bytes = acknowledged - p->samples[p->oldest].acknowledged;
    return time >= p->window && bytes < PACE_MINIMUM * (time / 1000) / 1000000;
}

uint64_t pace_start(pace *p, uint64_t window, uint64_t acknowledged, uint64_t now) {
    p->window = window;
    p->acknowledged = acknowledged;
    p->reading_until = p->checked = now;
    p->oldest = p->count = 0;
    add_sample(p, acknowledged, now);
    return next_sample(p);
}

/* The client reads the last burst after those before, at the minimum pace. */
static void add_burst(pace *p, uint64_t acknowledged, uint64_t now) {
    const uint64_t burst = lesser(acknowledged - p->acknowledged, PACE_BURST);
    const uint64_t from = p->reading_until > p->checked ? p->reading_until : p->checked;
    p->reading_until = lesser(from + burst * SECOND / PACE_MINIMUM, now + PACE_BURST * SECOND / PACE_MINIMUM);
    p->acknowledged = acknowledged;
    p->checked = now;
}

bool pace_check(pace *p, uint64_t acknowledged, uint64_t now, uint64_t *next) {
    add_burst(p, acknowledged, now);
    const bool slow = is_slow(p, acknowledged, now);
    if (now >= next_sample(p))
        add_sample(p, acknowledged, now);
    *next = slow ? lesser(p->reading_until, next_sample(p)) : next_sample(p);
    return !slow || now < p->reading_until;
}
