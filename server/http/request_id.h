/* request_id.h: the name under which the caller and the log know a request. */
#ifndef HTTP_REQUEST_ID_H
#define HTTP_REQUEST_ID_H

#define REQUEST_ID_MAX 128

/* Takes the caller's id (may be NULL) if it is one to [A-Za-z0-9._-]{1,128}, else a fresh one of 32
 * hexadecimal digits. `id` has REQUEST_ID_MAX + 1 bytes. */
void request_id_choose(const char *given, char *id);

#endif
