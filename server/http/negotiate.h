/* negotiate.h: in which media type and which compression a body comes and an answer goes (RFC 9110, section
 * 12).
 */
#ifndef HTTP_NEGOTIATE_H
#define HTTP_NEGOTIATE_H

#include "server/http/route.h"

/* Chooses what the head and the exchange's route agree on, or says in *p why they do not. */
problem_code negotiate(const request_head *head, bool has_body, http_exchange *x, problem *p);

#endif
