/* watch.h: how loops of any length ask a control often enough, and not too often. */
#ifndef ATTN_WATCH_H
#define ATTN_WATCH_H

#include "core/attention.h"

/* Steps before the control is asked again, each of some nanoseconds at most: less than a few milliseconds. */
#define ATTN_WATCH_STEPS ((size_t)1 << 18)

/* Steps of copying a row, beside those of its numbers. */
#define ATTN_ROW_STEPS ((size_t)8)

/* Counts the steps since the control was asked last; begins with none. */
typedef struct {
    const attn_control *control; /* NULL: never stop */
    size_t steps;
} attn_watch;

static inline bool attn_control_stops(const attn_control *control) {
    return control != NULL && control->should_stop(control->context);
}

/* So many steps more are done, or about to be: asks the control if it is time. True: stop. */
static inline bool attn_watch_stops(attn_watch *watch, size_t steps) {
    watch->steps += steps;
    if (watch->steps < ATTN_WATCH_STEPS)
        return false;
    watch->steps = 0;
    return attn_control_stops(watch->control);
}

/* How many of `left` items, of so many steps each, to do before the control is asked; at least 1, if any is
 * left. */
static inline size_t attn_watch_some(size_t left, size_t steps) {
    const size_t some = ATTN_WATCH_STEPS / (steps == 0 ? 1 : steps);
    return left < some ? left : some > 0 ? some : left > 0;
}

/* Columns of a long row before the control is asked again. */
#define ATTN_WATCH_COLUMNS ((size_t)4096)

/* Asks the control after every ATTN_WATCH_COLUMNS, of so many steps each. */
static inline bool attn_watch_stops_after(attn_watch *watch, size_t column, size_t steps) {
    return column % ATTN_WATCH_COLUMNS == ATTN_WATCH_COLUMNS - 1 &&
           attn_watch_stops(watch, ATTN_WATCH_COLUMNS * steps);
}

#endif
