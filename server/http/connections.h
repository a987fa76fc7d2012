/* connections.h: what the HTTP library does not do for a connection: a deadline for the whole of a request
 * however slowly it dribbles in, and an end that does not cut off the answer.
 *
 * One thread watches all connections, whose states are connection.h's; the table's lock protects every
 * member.
 */
#ifndef HTTP_CONNECTIONS_H
#define HTTP_CONNECTIONS_H

#include "server/http/connection.h"

typedef struct connections connections;

/* Connections by how far their requests are. */
typedef struct {
    size_t idle, arriving, running, sending;
} connection_counts;

/* `limits` is copied, its text is not. NULL if a thread, a descriptor or memory could not be had. */
connections *connections_new(const connection_limits *limits);

/* All connections must have been closed. NULL is allowed. */
void connections_free(connections *table);

/* Is there room for one more, be it an extra one? Where as many as allowed are open, the one that has waited
 * longest for a request is closed first. */
bool connections_make_room(connections *table);

/* As they are. One that waits is idle, though the first bytes of a request may just have come. */
connection_counts connections_count(connections *table);

/* No more connections come. Those without a request are closed, and each other one after its answer. */
void connections_drain(connections *table);

/* Cuts off what is under way and returns how much that was, what has just begun to come included. A request
 * that is running keeps its connection for a moment more, so that the client can be told. */
connection_counts connections_cut(connections *table);

/* Is no connection open any more, and none read to its end (once they are cut off, that is not waited for)?
 */
bool connections_are_over(connections *table);

/* A connection was accepted; its first request must be complete within the read timeout. NULL: no memory. */
connection *connection_open(connections *table, int descriptor);

/* Was it opened when as many as allowed were open already? */
bool connection_is_extra(const connection *c);

/* A request begins: it must be complete within the read timeout. */
void connection_begin(connection *c);

/* What the request is for write_late (NULL: nothing yet), and its id, cut to REQUEST_ID_MAX, for the log.
 * What write_late looks at must stay as it is until connection_end_reading, or until it is told of something
 * else.
 */
void connection_identify(connection *c, const void *request, const char *request_id);

/* The request is complete, nothing more is expected of the client. False if the connection is being shut down
 * already, because its time was up or the client left: the request is not worth serving. */
bool connection_end_reading(connection *c);

/* Its answer is being sent. From now on the client must read 64 KiB a second or more of what is there for it,
 * averaged over the write timeout (pace.h); one that is slower is cut off. While there is nothing for it, it
 * is not the client that is slow. */
void connection_sending(connection *c);

/* The request is over. The next may take the idle timeout to begin, from when the client has taken the whole
 * answer. Says whether the request ended early, and why. */
connection_end connection_idle(connection *c);

/* The answer goes out before the request has been read, and the connection will be closed. Closing a socket
 * that holds unread bytes resets it, and the client would lose the answer; so what it still sends is read and
 * thrown away for a while. */
void connection_linger(connection *c);

/* The descriptor is about to be closed; frees the connection. */
void connection_close(connection *c);

typedef enum {
    PEER_OPEN,
    PEER_HALF_CLOSED, /* the client will send no more; it may have closed for good, or only this direction */
    PEER_GONE,        /* nobody will read an answer */
} connection_peer;

/* Asks the system, without a lock; for the thread that serves this connection's request. */
connection_peer connection_ask_peer(const connection *c);

#endif
