/* head.h: a request's head, of which each header is known once, however many lines it has. */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "server/wire/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAD_PARAMETERS 8 /* of the query string that are kept; no path takes as many */
#define HEAD_LISTS      6 /* headers that are lists */

/* A header that is absent is NULL. What is around a value, blanks, is not part of it (RFC 9110, 5.5). */
typedef struct {
    const char *method, *path; /* the path without its query, percent-decoded */
    bool http_1_0;
    struct {
        const char *name, *value; /* percent-decoded; a name without = has the value NULL */
    } parameters[HEAD_PARAMETERS];
    size_t parameter_count; /* of all of them */
    /* Lists: several lines are joined with commas (RFC 9110, 5.3). */
    const char *accept, *accept_encoding, *content_encoding, *if_none_match, *connection, *request_id;
    /* Of these there is one. */
    const char *content_type, *content_length, *host, *request_timeout, *authorization;
    const char *origin, *fetch_site,
        *request_method;            /* Origin, Sec-Fetch-Site, Access-Control-Request-Method */
    const char *inference_header;   /* Inference-Header-Content-Length */
    const char *repeated;           /* the name of one that was there twice */
    bool transfer_encoding;         /* there is such a header */
    bool bad_transfer_encoding;     /* ... more than one, or with another value than "chunked" */
    bool spaced_name;               /* a header's name ends in a space: what it says may be read or not */
    bool encoded_slash;             /* the path has an encoded slash or NUL */
    bool extra;                     /* its connection is one beyond --max-connections */
    wire_buffer joined[HEAD_LISTS]; /* of those that were joined */
} request_head;

/* Takes one line. What has to be copied goes into the arena; `name` and `value` must live as long as the
 * head. False: no memory. */
bool head_take(request_head *head, attn_arena *arena, const char *name, const char *value);

/* The path of a first line: a request for a proxy has the whole URL there, and goes to the same path (RFC
 * 9112, 3.2.2). The host in it becomes the head's, in the arena. False: no memory. */
bool head_set_path(request_head *head, attn_arena *arena, const char *path);

/* Could this be the value of a Host header, a name or an address and perhaps a port (RFC 3986, 3.2.2)? */
bool head_is_host(const char *text);

/* A part of a header. */
typedef struct {
    const char *text;
    size_t length;
} head_part;

/* The whole of a header, or of none (NULL). */
head_part head_part_of(const char *header);

/* Cuts the next part that is not empty off `rest`, up to `separator`, which does not count in a quoted
 * string; blanks around the part are left out. False: there is none. */
bool head_next(head_part *rest, char separator, head_part *part);

/* Is the part this word, upper or lower case? */
bool head_is(head_part part, const char *word);

/* Reads a header that is digits alone, no sign, no spaces, nothing behind them. */
bool head_read_whole(const char *text, uint64_t *number);

/* Has the list (or NULL) this word? */
bool head_lists(const char *list, const char *word);

#endif
