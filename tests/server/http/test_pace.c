#include "server/http/pace.h"

#include "tests/random.h"

#include <criterion/criterion.h>

#define MS     ((uint64_t)1000000) /* nanoseconds */
#define SECOND (1000 * MS)
#define KIB    ((uint64_t)1024)

/* A client whose system has a buffer of so many bytes and whose program reads at an even rate, `step` at a
 * time. Its system takes bytes when a sixteenth of the buffer is free, as Linux's does. */
typedef struct {
    uint64_t buffer, rate, step;
    uint64_t silent_from; /* when the program stops reading */
    uint64_t taken, read;
} reader;

static void live(reader *r, uint64_t now) {
    const uint64_t until = now < r->silent_from ? now : r->silent_from;
    const uint64_t wanted = until * r->rate / SECOND / r->step * r->step;
    r->read = wanted < r->taken ? wanted : r->taken;
    const uint64_t room = r->buffer - (r->taken - r->read);
    if (room >= r->buffer / 16)
        r->taken += room;
}

/* Looks when it should, for so long; returns when the client was too slow, or `end`. */
static uint64_t follow(reader *r, uint64_t window, uint64_t end) {
    pace p;
    uint64_t next = pace_start(&p, window, 0, 0);
    for (uint64_t now = 0; now < end; now += MS) {
        live(r, now);
        if (now < next)
            continue;
        if (!pace_check(&p, r->taken, now, &next))
            return now;
        cr_assert(next > now, "it would look for ever");
    }
    return end;
}

/* At 100 KiB/s, whatever its buffer, its steps and the window. */
Test(pace, a_steady_reader_is_never_slow) {
    static const uint64_t windows[] = {1, 50, 300, 1000, 2000, 5000, 30000};
    static const uint64_t buffers[] = {4, 64, 128, 300, 1024, 6144};
    static const uint64_t steps[] = {1, 10, 50};
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++)
        for (size_t b = 0; b < sizeof buffers / sizeof *buffers; b++)
            for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
                /* A step that is longer than the window is not steady. */
                if (steps[s] * 10 > windows[w] && steps[s] > buffers[b])
                    continue;
                reader r = {.buffer = buffers[b] * KIB,
                            .rate = 100 * KIB,
                            .step = steps[s] * KIB,
                            .silent_from = UINT64_MAX};
                const uint64_t end = 100 * SECOND;
                const uint64_t slow = follow(&r, windows[w] * MS, end);
                cr_assert_eq(slow, end, "window %zu ms, buffer %zu KiB, steps of %zu KiB: slow at %zu ms",
                             (size_t)windows[w], (size_t)buffers[b], (size_t)steps[s], (size_t)(slow / MS));
            }
}

/* ... after the window, or as long as it takes to read at 64 KiB/s what its system took, up to 384 KiB. */
Test(pace, a_silent_one_is_slow_soon_after_the_window) {
    static const uint64_t windows[] = {1000, 5000, 30000}, buffers[] = {4, 64, 128, 1024, 32768};
    for (size_t w = 0; w < 3; w++)
        for (size_t b = 0; b < 5; b++) {
            reader r = {.buffer = buffers[b] * KIB, .rate = KIB, .step = 1, .silent_from = 0};
            const uint64_t window = windows[w] * MS, slow = follow(&r, window, 200 * SECOND);
            const uint64_t chewing = (buffers[b] < 384 ? buffers[b] : 384) * SECOND / 64;
            const uint64_t late = window > chewing ? window : chewing;
            cr_assert(slow >= window && slow <= late + window / 4 + 10 * MS,
                      "window %zu ms, buffer %zu KiB: slow at %zu ms", (size_t)windows[w], (size_t)buffers[b],
                      (size_t)(slow / MS));
        }
}

Test(pace, one_that_falls_silent_is_slow_soon_after) {
    reader r = {.buffer = 128 * KIB, .rate = 10240 * KIB, .step = KIB, .silent_from = 20 * SECOND};
    const uint64_t slow = follow(&r, 5 * SECOND, 100 * SECOND);
    cr_assert(slow > 24 * SECOND && slow <= 28 * SECOND, "%zu ms", (size_t)(slow / MS));
}

/* Half of the least pace, whether evenly or in portions. */
Test(pace, a_slow_one_is_slow) {
    static const uint64_t windows[] = {1000, 5000, 30000}, buffers[] = {4, 64, 128};
    for (size_t w = 0; w < 3; w++)
        for (size_t b = 0; b < 3; b++) {
            reader r = {.buffer = buffers[b] * KIB, .rate = 32 * KIB, .step = KIB, .silent_from = UINT64_MAX};
            const uint64_t window = windows[w] * MS, slow = follow(&r, window, 200 * SECOND);
            cr_assert(slow >= window && slow <= 2 * window + 8 * SECOND,
                      "window %zu ms, buffer %zu KiB: slow at %zu ms", (size_t)windows[w], (size_t)buffers[b],
                      (size_t)(slow / MS));
        }
}

/* A look that comes late, as on a machine without time for it, judges by the time that has really passed. */
Test(pace, late_looks_do_not_matter) {
    uint64_t seed = 20261201;
    for (int round = 0; round < 50; round++) {
        pace p;
        reader r = {.buffer = 64 * KIB,
                    .rate = (round % 2 == 0 ? 100 : 16) * KIB,
                    .step = KIB,
                    .silent_from = UINT64_MAX};
        uint64_t next = pace_start(&p, 2 * SECOND, 0, 0), now = 0;
        bool good = true;
        while (good && now < 60 * SECOND) {
            const uint64_t at = next + random_below(&seed, 3) * SECOND;
            for (; now < at; now += MS)
                live(&r, now);
            good = pace_check(&p, r.taken, now, &next);
        }
        cr_assert_eq(good, round % 2 == 0, "round %d (seed 20261201): %zu ms", round, (size_t)(now / MS));
    }
}
