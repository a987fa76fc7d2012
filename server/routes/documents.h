/* documents.h: answers that are small JSON documents. */
#ifndef ROUTES_DOCUMENTS_H
#define ROUTES_DOCUMENTS_H

#include "server/http/exchange.h"

#include <jansson.h>

/* The answer is this document, whose reference is taken over; NULL means that memory ran out. */
void answer_document(http_exchange *x, json_t *object);

/* The answer is *d, of the exchange's snapshot, which `describe` makes when it is asked for first: it is
 * long, and this is the thread that serves everybody. */
void answer_once(http_exchange *x, document *d, json_t *(*describe)(const attn_registry *models));

#endif
