/* log_path.h: what the log shows of a request's path. */
#ifndef SERVER_LOG_PATH_H
#define SERVER_LOG_PATH_H

#include <stddef.h>

/* Writes the URI of a request line, cut, into `shown` [size]; where the path of a kept result is in it,
 * however it is encoded, its route "/results/{id}" instead: the id is all that it takes to read the result.
 */
void log_path(const char *uri, char *shown, size_t size);

#endif
