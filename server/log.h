/* log.h: one line an event on stderr: time, level, sentence. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include "server/options.h"

/* Lines above `level` are left out from now on. Called once, before there are threads. */
void log_set_level(log_level level);

/* Writes one line, in one piece. Control bytes and bytes outside ASCII are escaped as \xNN. */
void log_line(log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
