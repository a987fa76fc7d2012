/* health.h: is the process alive, and does it want requests? */
#ifndef ROUTES_HEALTH_H
#define ROUTES_HEALTH_H

#include "server/http/exchange.h"

/* Does the service want new requests? False with the answer given: 503. */
bool check_ready(http_exchange *x);

#endif
