/* routes.h: the table of routes. */
#ifndef ROUTES_H
#define ROUTES_H

#include "server/http/route.h"

extern const http_routes service_routes, admin_routes;

#endif
