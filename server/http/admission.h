/* admission.h: what can be said against a request from its headers, before a byte of its body is read. */
#ifndef HTTP_ADMISSION_H
#define HTTP_ADMISSION_H

#include "server/http/head.h"
#include "server/http/http.h"
#include "server/options.h"
#include "server/problem.h"

/* Fills in the route, its argument, the formats and encodings, the time allowed and the expected size of the
 * body, or says in *p why the request is refused. */
problem_code admit(const request_head *head, const options *o, http_exchange *x, problem *p);

#endif
