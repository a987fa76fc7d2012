/* answer.h: all headers of an answer, one list for every way that it can leave: through the HTTP library, or
 * written into the connection while the library still waits for the request. */
#ifndef HTTP_ANSWER_H
#define HTTP_ANSWER_H

#include "server/http/exchange.h"

#include <stdbool.h>
#include <stddef.h>

#define ANSWER_TIMINGS_SIZE 256 /* bytes of the value of a Server-Timing header */

/* Writes that value; "" if nothing was computed. */
void answer_write_timings(const http_timings *t, char text[ANSWER_TIMINGS_SIZE]);

typedef struct {
    const char *request_id;
    bool closes;         /* the connection ends with this answer */
    bool is_kept;        /* else: the client is told that it keeps the connection ... */
    size_t idle_seconds; /* ... for as long as this */
} answer_ending;

typedef struct {
    http_header headers[HTTP_HEADERS_MAX + 9];
    size_t count;
    char vary[64], timings[ANSWER_TIMINGS_SIZE], keep_alive[32];
} answer_headers;

/* Lists them; all but Content-Length, which is the length of the body. */
void answer_list_headers(const http_exchange *x, const answer_ending *ending, answer_headers *list);

/* Writes the whole answer into `text` [size] as the bytes of HTTP/1.1, and returns their number, 0 if they do
 * not fit. `reason` is the phrase of its status. */
size_t answer_write(const http_exchange *x, const answer_ending *ending, const char *reason, char *text,
                    size_t size);

#endif
