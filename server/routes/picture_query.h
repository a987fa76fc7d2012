/* picture_query.h: the parameters of a picture in a path's query. */
#ifndef ROUTES_PICTURE_QUERY_H
#define ROUTES_PICTURE_QUERY_H

#include "server/http/route.h"

/* http_query of a picture: x->route_data becomes its picture_options, which live as long as the exchange. */
http_query picture_query;

#endif
