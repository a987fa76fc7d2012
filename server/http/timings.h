/* timings.h: where the time of a computed request went. */
#ifndef HTTP_TIMINGS_H
#define HTTP_TIMINGS_H

#include <stddef.h>
#include <stdint.h>

#define HTTP_TIMINGS_SIZE 256 /* bytes of its text */

typedef struct {
    uint64_t parse, queue, compute, encode; /* nanoseconds; `queue` is all waiting for a worker */
    size_t batch;                           /* requests computed together, this one included; 0: none was */
    const char *kernels, *precision;        /* that computed it; "" for the usual precision */
} http_timings;

/* Writes it as the value of a Server-Timing header; "" if nothing was computed. */
void http_write_timings(const http_timings *t, char text[HTTP_TIMINGS_SIZE]);

#endif
