/* origin.h: which pages of a browser may use the service, and under which names it may be asked.
 *
 * A browser lets any page send simple requests anywhere, to a service on the user's own machine too, and a
 * page whose name is given another address once it is loaded (DNS rebinding) may read the answers. */
#ifndef HTTP_ORIGIN_H
#define HTTP_ORIGIN_H

#include "server/http/exchange.h"
#include "server/options.h"
#include "server/problem.h"

/* Is the service asked under a name of its own (--allowed-host)? Else *p is 421. */
problem_code origin_check_host(const request_head *head, const options *o, problem *p);

/* Does a page of another origin ask for more than to read, without --cors-origin? Then *p is 403. */
problem_code origin_check_page(const request_head *head, const options *o, problem *p);

/* Sets the headers that let a page of an allowed origin read the answer, whatever it will be; and those of
 * the answer to a browser's question what it may send (a preflight; Fetch, section 3.3). Never with
 * credentials. */
void origin_set_headers(const request_head *head, const options *o, http_exchange *x);

#endif
