/* warnings.h: what somebody should know about a model that is served all the same. Nothing in core prints:
 * whoever loads the model prints them. */
#ifndef ATTN_WARNINGS_H
#define ATTN_WARNINGS_H

#include <stddef.h>

#define ATTN_WARNINGS_MAX ((size_t)32) /* of one model; further ones are dropped */

/* One sentence each, without the end of the line, no two alike. */
typedef struct {
    char **lines;
    size_t count;
} attn_warnings;

/* Adds a sentence; *warnings is empty ({NULL, 0}) before the first. A sentence that is there already is
 * dropped, as the layers of a checkpoint all read one configuration; so is one without room or memory. */
void attn_warn(attn_warnings *warnings, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Moves all sentences of `from` to the end of `to`, as far as there is memory. */
void attn_warnings_move(attn_warnings *to, attn_warnings *from);

/* Frees the sentences; there are none then. */
void attn_warnings_free(attn_warnings *warnings);

#endif
