/* fields.h: the fields of an attention request, one table for every wire format. */
#ifndef SERVER_FIELDS_H
#define SERVER_FIELDS_H

#include <stddef.h>

typedef enum {
    FIELD_STRING, /* char * */
    FIELD_BOOL,   /* bool */
    FIELD_TENSOR, /* request_tensor, finite numbers */
    FIELD_MASK,   /* request_tensor, numbers or booleans; minus infinity allowed */
} field_type;

typedef struct {
    const char *name;
    field_type type;
    size_t offset;    /* of the member in attend_request */
    size_t max_bytes; /* of a string */
    const char *text; /* what it means, for people */
} field;

extern const field fields[];
extern const size_t field_count;

/* The field with this name, or NULL. `name` need not be NUL-terminated. */
const field *field_find(const char *name, size_t length);

#endif
