/* pace.h: does a client take its answer fast enough? Judged by the bytes that its system has acknowledged:
 * what goes into our own system's buffers, which hold megabytes, says nothing about the client. Knows no
 * sockets and no clock. */
#ifndef HTTP_PACE_H
#define HTTP_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_MINIMUM ((uint64_t)64 * 1024) /* bytes a second, averaged over the window */

/* A client's system acknowledges in bursts, of up to a sixteenth of its buffer or more, however steadily the
 * client itself reads. While it may still be reading the last burst at the minimum pace it is not slow, even
 * if that takes longer than the window; a larger burst counts as one of this size. */
#define PACE_BURST ((uint64_t)384 * 1024)

#define PACE_SAMPLES 8 /* within a window */

typedef struct {
    uint64_t window;        /* nanoseconds */
    uint64_t checked;       /* the last check ... */
    uint64_t acknowledged;  /* ... and the bytes by then */
    uint64_t reading_until; /* the client may still be reading what its system has */
    struct {
        uint64_t moment, acknowledged;
    } samples[PACE_SAMPLES + 1]; /* ring buffer */
    size_t oldest, count;
} pace;

/* From now on bytes wait for the client, whose system has acknowledged so many so far. Returns when to check
 * first. Times are in nanoseconds. */
uint64_t pace_start(pace *p, uint64_t window, uint64_t acknowledged, uint64_t now);

/* False if the client is too slow, else *next is when to check again. Bytes must have waited for it all the
 * time since the start. */
bool pace_check(pace *p, uint64_t acknowledged, uint64_t now, uint64_t *next);

#endif
