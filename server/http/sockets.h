/* sockets.h: what the system knows of a connection, whatever the HTTP library has made of it. All of it is
 * about TCP; of another kind of socket, the totals are 0. */
#ifndef HTTP_SOCKETS_H
#define HTTP_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that the peer has sent over the whole life of the connection. */
uint64_t socket_received(int descriptor);

/* Bytes that the peer's system has acknowledged over the whole life of the connection. */
uint64_t socket_acknowledged(int descriptor);

/* Were bytes handed to the system that the peer's has not acknowledged? */
bool socket_has_unsent(int descriptor);

/* Are bytes there that nobody has read? */
bool socket_has_unread(int descriptor);

/* Ends both directions; and wakes whoever waits on the descriptor. What the system holds still goes to the
 * peer, unless `abrupt`: then it is dropped when the descriptor is closed, and the peer's side is reset. */
void socket_shut_down(int descriptor, bool abrupt);

/* What the system holds when the descriptor is closed is dropped if the peer acknowledges nothing for so
 * long. */
void socket_bound_rest(int descriptor, uint64_t milliseconds);

#endif
