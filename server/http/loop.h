/* loop.h: a thread of ours that drives one daemon of libmicrohttpd.
 *
 * Everything that the daemon calls back is called on this thread, and whatever touches the daemon otherwise
 * has to run there too (http_loop_call), with two exceptions that the library makes safe:
 * MHD_resume_connection, followed by http_loop_wake, and MHD_stop_daemon once the loop has ended. A second
 * daemon can have a loop of its own. */
#ifndef HTTP_LOOP_H
#define HTTP_LOOP_H

#include <microhttpd.h>
#include <stdbool.h>

typedef struct http_loop http_loop;

/* Starts the thread, which serves from now on; *loop is set before it calls anything. The daemon is one with
 * MHD_USE_EPOLL and without an internal thread. False, with *loop NULL, if a thread, a descriptor or memory
 * could not be had. */
bool http_loop_start(struct MHD_Daemon *daemon, http_loop **loop);

/* From any thread: the daemon has something to do that its sockets do not tell, like a connection that was
 * resumed. */
void http_loop_wake(http_loop *loop);

/* Runs call(context) on the loop's thread, and returns when it is done. From one other thread at a time. */
void http_loop_call(http_loop *loop, void (*call)(void *context), void *context);

/* Ends the thread and frees the loop; the daemon is left as it is, for MHD_stop_daemon. */
void http_loop_end(http_loop *loop);

#endif
