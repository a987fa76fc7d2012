#include "server/http/pace.h"

#define SECOND     ((uint64_t)1000000000)
#define SHORT_LOOK ((uint64_t)5000000) /* nanoseconds: looks are not closer than this */

static uint64_t lesser(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* When the next look is due that is kept. */
static uint64_t next_kept(const pace *p) {
    const uint64_t step = p->window / PACE_LOOKS;
    const size_t last = (p->oldest + p->count - 1) % (PACE_LOOKS + 1);
    return p->looks[last].moment + (step < SHORT_LOOK ? SHORT_LOOK : step);
}

static void keep(pace *p, uint64_t taken, uint64_t now) {
    if (p->count == PACE_LOOKS + 1) {
        p->oldest = (p->oldest + 1) % (PACE_LOOKS + 1);
        p->count--;
    }
    const size_t place = (p->oldest + p->count++) % (PACE_LOOKS + 1);
    p->looks[place].moment = now;
    p->looks[place].taken = taken;
}

/* The average since the last look that lies a whole window back. */
static bool is_slow(pace *p, uint64_t taken, uint64_t now) {
    for (size_t second; p->count > 1; p->oldest = second, p->count--) {
        second = (p->oldest + 1) % (PACE_LOOKS + 1);
        if (now - p->looks[second].moment < p->window)
            break;
    }
    const uint64_t time = now - p->looks[p->oldest].moment;
    return time >= p->window && taken - p->looks[p->oldest].taken < PACE_LEAST * (time / 1000) / 1000000;
}

uint64_t pace_start(pace *p, uint64_t window, uint64_t taken, uint64_t now) {
    p->window = window;
    p->taken = taken;
    p->chews_until = p->looked = now;
    p->oldest = p->count = 0;
    keep(p, taken, now);
    return next_kept(p);
}

/* What its system has taken, the client reads at the least pace until then. */
static void chew(pace *p, uint64_t taken, uint64_t now) {
    const uint64_t mouthful = lesser(taken - p->taken, PACE_MOUTHFUL) * SECOND / PACE_LEAST;
    const uint64_t longest = PACE_MOUTHFUL * SECOND / PACE_LEAST;
    const uint64_t from = p->chews_until > p->looked ? p->chews_until : p->looked;
    p->chews_until = lesser(from + mouthful, now + longest);
    p->taken = taken;
    p->looked = now;
}

bool pace_look(pace *p, uint64_t taken, uint64_t now, uint64_t *next) {
    chew(p, taken, now);
    const bool slow = is_slow(p, taken, now);
    if (now >= next_kept(p))
        keep(p, taken, now);
    *next = slow ? lesser(p->chews_until, next_kept(p)) : next_kept(p);
    return !slow || now < p->chews_until;
}
