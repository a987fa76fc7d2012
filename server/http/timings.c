#include "server/http/timings.h"

#include <stdio.h>

static double milliseconds(uint64_t nanoseconds) {
    return (double)nanoseconds / 1e6;
}

void http_write_timings(const http_timings *t, char text[HTTP_TIMINGS_SIZE]) {
    *text = '\0';
    if (t->batch > 0)
        snprintf(
            text, HTTP_TIMINGS_SIZE,
            "parse;dur=%.3f, queue;dur=%.3f, compute;dur=%.3f;desc=\"%s%s%s\";batch=%zu, encode;dur=%.3f",
            milliseconds(t->parse), milliseconds(t->queue), milliseconds(t->compute), t->kernels,
            *t->precision == '\0' ? "" : " ", t->precision, t->batch, milliseconds(t->encode));
}
