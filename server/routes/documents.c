/* documents.c: answers that are small JSON documents. */
#include "server/routes/handlers.h"

#include <stdlib.h>
#include <string.h>

/* Takes over the reference. NULL: no memory. */
static char *text_of(json_t *object) {
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(object);
    return text;
}

void answer_document(http_exchange *x, json_t *object) {
    char *text = text_of(object);
    x->answer.arena = x->small;
    if (text != NULL && wire_buffer_append(&x->answer, text, strlen(text)))
        x->status = 200;
    free(text);
}

void answer_once(http_exchange *x, document *d, json_t *(*describe)(const snapshot *s)) {
    snapshot *s = x->snapshot;
    pthread_mutex_lock(&s->documents_lock);
    if (d->bytes == NULL) {
        d->bytes = text_of(describe(s));
        d->length = d->bytes == NULL ? 0 : strlen(d->bytes);
    }
    x->answer = (wire_buffer){.bytes = d->bytes, .length = d->length};
    x->status = d->bytes == NULL ? 0 : 200;
    pthread_mutex_unlock(&s->documents_lock);
}
