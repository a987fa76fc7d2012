#include "server/picture/colour_scale.h"

#include <math.h>
#include <stdbool.h>

#define DECADES_MOST 6 /* of a logarithmic scale: what is smaller is as good as nothing */

colour_scale colour_scale_for(picture_scale kind, double smallest, double largest) {
    colour_scale scale = {kind, 0, largest > 0 ? largest : 1};
    if (kind != PICTURE_LOG)
        return scale;
    scale.least = fmax(smallest, scale.most * pow(10, -DECADES_MOST));
    if (scale.least > scale.most / 10) /* about the same everywhere: that is not to look like a contrast */
        scale.least = scale.most / 10;
    return scale;
}

double colour_scale_position(const colour_scale *scale, double weight) {
    double position;
    if (scale->kind == PICTURE_LOG)
        position = weight <= scale->least ? 0 : log(weight / scale->least) / log(scale->most / scale->least);
    else
        position = scale->kind == PICTURE_SQRT ? sqrt(weight / scale->most) : weight / scale->most;
    return position < 0 ? 0 : position > 1 ? 1 : position;
}

/* The next smaller one of ..., 1, 2, 5, 10, 20, ... below `number`, or with `tens` of ..., 1, 10, 100, ... */
static double round_number_below(double number, bool tens) {
    const double below = number * (1 - 1e-9), power = pow(10, floor(log10(below)));
    return !tens && 5 * power <= below ? 5 * power : !tens && 2 * power <= below ? 2 * power : power;
}

typedef struct {
    const colour_scale *scale;
    double gap;
    double *ticks;
    size_t count;
} tick_list;

/* Adds a tick if it has the distance to all others. */
static void add_tick(tick_list *list, double weight) {
    const double position = colour_scale_position(list->scale, weight);
    for (size_t n = 0; n < list->count; n++)
        if (fabs(colour_scale_position(list->scale, list->ticks[n]) - position) < list->gap)
            return;
    if (list->count < COLOUR_SCALE_TICKS_MAX)
        list->ticks[list->count++] = weight;
}

size_t colour_scale_ticks(const colour_scale *scale, double gap, double ticks[COLOUR_SCALE_TICKS_MAX]) {
    tick_list list = {scale, gap, ticks, 0};
    add_tick(&list, scale->most);
    add_tick(&list, scale->least);
    if (scale->kind != PICTURE_LINEAR) {
        const bool tens = scale->kind == PICTURE_LOG && scale->most > scale->least * 1e3;
        const double end = scale->kind == PICTURE_LOG ? scale->least : scale->most * 1e-4;
        list.gap = fmax(gap, 0.06);
        for (double weight = scale->most; weight > end; weight = round_number_below(weight, tens))
            add_tick(&list, weight);
        return list.count;
    }
    double step = scale->most; /* the smallest round step that leaves the gap, and at most about 5 numbers */
    for (double next = round_number_below(step, false); next / scale->most >= fmax(gap, 0.17);
         next = round_number_below(next, false))
        step = next;
    for (size_t n = 1; step < scale->most && (double)n * step < scale->most; n++)
        add_tick(&list, (double)n * step);
    return list.count;
}
