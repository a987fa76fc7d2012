/* admission.h: what can be said against a request from its headers, before a byte of its body is read. */
#ifndef HTTP_ADMISSION_H
#define HTTP_ADMISSION_H

#include "server/http/route.h"
#include "server/options.h"

/* Fills in the route, its argument, the media types and compressions, the headers that every answer has, the
 * time allowed and the expected size of the body, or says in *p why the request is refused. */
problem_code admit(const request_head *head, const http_routes *routes, const options *o, http_exchange *x,
                   problem *p);

#endif
