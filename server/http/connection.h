// clang-format off
/* connection.h: one connection: the state that it is in, and what happens when its deadline passes.
 *
 *   state    since                           deadline                            when it passes
 *   -----------------------------------------------------------------------------------------------------------------
 *   WAITING  it was opened, or its last      the next check; the idle timeout    bytes have come: READING; the client takes
 *            request was over                                                    the rest of its answer too slowly, or
 *                                                                                nothing has come: ENDED
 *   READING  the first byte of a request     the read timeout                    the client is told: 408; ENDED
 *   WORKING  its last byte                   none: the request has its own       -
 *   SENDING  the answer was handed over      the next check of the pace          too slow: ENDED
 *   ENDED    it was shut down                none: the library closes it         -
 *
 * It knows sockets, not HTTP. All of it is for connections.c, whose lock is held in every call. */
// clang-format on
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include "core/ring.h"
#include "server/http/pace.h"
#include "server/http/request_id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t read_timeout, idle_timeout, write_timeout; /* milliseconds */
    size_t max_connections;                           /* those beyond are extra: there to be told so ... */
    size_t extra_connections;                         /* ... as many as this */
    /* Writes what a client is sent whose request is not complete in time into `text` [size], and returns its
     * length; `request` is that of connection_identify, or NULL. Called on a thread of the table's own, with
     * its lock held. NULL: nothing is written into a connection from here, because its bytes are not plain
     * text. */
    size_t (*write_late)(const void *context, const void *request, char *text, size_t size);
    const void *context;
} connection_limits;

/* Why a connection was shut down from here. */
typedef enum {
    CONNECTION_GOES_ON,  /* it was not */
    CONNECTION_LATE,     /* its request was not complete within the read timeout: the client has been told */
    CONNECTION_SLOW,     /* it took too little of its answer within the write timeout */
    CONNECTION_CUT,      /* the service could wait no longer */
    CONNECTION_UNNEEDED, /* nothing was under way */
} connection_end;

/* What all connections share. */
typedef struct {
    connection_limits limits;
    enum { ACCEPTING, DRAINING, CUTTING } phase;
    size_t ended; /* connections that are shut down but not closed yet */
} connection_table;

typedef struct connection {
    connection_table *table;
    attn_ring link;
    int descriptor;
    uint64_t deadline;   /* or CLOCK_NEVER */
    uint64_t since;      /* while WAITING: when that began */
    uint64_t idle_until; /* while WAITING: when it is closed */
    uint64_t received;   /* bytes that had come when the last request was over */
    enum { WAITING, READING, WORKING, SENDING, ENDED } state;
    connection_end why;
    bool fresh;          /* it has had no request yet */
    bool extra;          /* it was opened when as many as allowed were open already */
    bool hung_up;        /* the client sends no more */
    bool is_taking;      /* while WAITING: the client has yet to take the rest of its last answer */
    pace pace;           /* while SENDING or is_taking */
    const void *request; /* for write_late; NULL: its head has not been read */
    char request_id[REQUEST_ID_MAX + 1];
} connection;

/* It was accepted; fills in *c. */
void connection_start(connection *c, connection_table *table, int descriptor, bool extra);

/* While it waits: have bytes of a request come? */
bool connection_has_begun(const connection *c);

/* From one state to the next. */
void connection_start_reading(connection *c);
void connection_start_sending(connection *c);
void connection_start_waiting(connection *c);

/* No more connections come: one that waits is closed, but for what it has begun to send. */
void connection_drain(connection *c);

/* The client has hung up. */
void connection_note_hang_up(connection *c);

/* Its deadline has passed. */
void connection_expire(connection *c, uint64_t now);

/* Shuts it down: the library will notice, and close it. */
void connection_shut_down(connection *c, connection_end why);

#endif
