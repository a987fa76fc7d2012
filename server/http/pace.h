/* pace.h: does a client take its answer fast enough? Judged by the bytes that its system has acknowledged:
 * what goes into our own system's buffers, which hold megabytes, says nothing of the client. Knows no
 * sockets and no clock. */
#ifndef HTTP_PACE_H
#define HTTP_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_LEAST ((uint64_t)64 * 1024) /* bytes a second, averaged over the window */

/* A client's system takes bytes in mouthfuls, up to a sixteenth of its buffer or more, however steadily the
 * client itself reads them. While it may still be reading what its system has taken, at the least pace, it is
 * not called slow, even if that is longer than the window; more than this counts as this. */
#define PACE_MOUTHFUL ((uint64_t)384 * 1024)

#define PACE_LOOKS 8 /* within a window */

typedef struct {
    uint64_t window;      /* nanoseconds */
    uint64_t looked;      /* the last look ... */
    uint64_t taken;       /* ... and the bytes by then */
    uint64_t chews_until; /* what its system has taken */
    struct {
        uint64_t moment, taken;
    } looks[PACE_LOOKS + 1]; /* ring */
    size_t oldest, count;
} pace;

/* Bytes wait for the client from now on, who has taken `taken` bytes so far. Returns when to look first.
 * Times are in nanoseconds. */
uint64_t pace_start(pace *p, uint64_t window, uint64_t taken, uint64_t now);

/* Looks at what has been taken by now. False if it is too slow, else *next is when to look again. Bytes must
 * have waited for the client all the time since the start. */
bool pace_look(pace *p, uint64_t taken, uint64_t now, uint64_t *next);

#endif
