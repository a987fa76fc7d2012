/* mhd_head.h: a request's head, as libmicrohttpd has read it. For http/request.c only. */
#ifndef HTTP_MHD_HEAD_H
#define HTTP_MHD_HEAD_H

#include "server/http/head.h"

#include <microhttpd.h>
#include <stdbool.h>

/* Reads the head of the connection's request, but for what is known of the connection. What must be copied
 * goes into the arena, the rest stays the library's. False, with a part of it, if memory ran out. */
bool http_read_head(struct MHD_Connection *mhd, attn_arena *arena, const char *method, const char *path,
                    const char *version, request_head *head);

#endif
