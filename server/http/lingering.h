/* lingering.h: sockets whose answer went out before the request had been read. Closing a socket that holds
 * unread bytes resets it, and the client would lose the answer; so what it still sends is read and
 * discarded for a while. One thread does that for all of them. */
#ifndef HTTP_LINGERING_H
#define HTTP_LINGERING_H

#include <stdbool.h>
#include <stddef.h>

typedef struct lingering lingering;

/* Each socket lingers for `maximum` milliseconds at most, however much still comes. NULL if a thread, a
 * descriptor or memory could not be had. */
lingering *lingering_new(size_t maximum);

/* Closes those that are left. NULL is allowed. */
void lingering_free(lingering *l);

/* Keeps this socket open, by a descriptor of its own, until nothing has come for a while. Where too many
 * linger it may be the next to go. */
void lingering_add(lingering *l, int descriptor);

/* Sockets that linger. */
size_t lingering_count(lingering *l);

#endif
