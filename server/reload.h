/* reload.h: SIGHUP. A thread of its own loads what is served anew, beside what is being served, and swaps the
 * two; and it frees what is no longer served when the last request has done with it, which may be gigabytes
 * and would keep an I/O thread from its connections. */
#ifndef SERVER_RELOAD_H
#define SERVER_RELOAD_H

#include "server/service.h"

#include <pthread.h>
#include <semaphore.h>

typedef struct {
    service *service;
    sem_t wake; /* the thread has something to do */
    atomic_bool asked, ends;
    snapshot *replaced; /* held until nobody else has them */
    pthread_t thread;
} reloader;

/* Makes reload_ask possible. */
void reload_prepare(reloader *r);

/* Asks for a reload, also from a signal handler. One that runs is followed by one more, however often it was
 * asked for meanwhile; before reload_start it waits for that. Nothing is reloaded once the service drains. */
void reload_ask(reloader *r);

/* Starts the thread, which reloads what `s` serves. False: there is none. */
bool reload_start(reloader *r, service *s);

/* Ends the thread, once the service drains and no request runs any more. False: it is in the middle of a
 * model, which is not waited for; it goes on to use the service, and the process had better end. */
bool reload_stop(reloader *r);

#endif
