/* warnings.h: what somebody should know of a model that is served all the same. Nothing in core prints: who
 * loads the model shows them. */
#ifndef ATTN_WARNINGS_H
#define ATTN_WARNINGS_H

#include <stddef.h>

#define ATTN_WARNINGS_MAX ((size_t)32) /* of one model; what would come after them is left out */

/* One sentence each, without the end of the line, no two alike. */
typedef struct {
    char **lines;
    size_t count;
} attn_warnings;

/* Adds a sentence; *warnings is empty ({NULL, 0}) before the first. One that is there already, or for which
 * there is no room, is left out: the layers of a checkpoint have one configuration, and each reads it. */
void attn_warn(attn_warnings *warnings, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Moves all sentences of `from` to the end of `to`, as far as there is memory. */
void attn_warnings_move(attn_warnings *to, attn_warnings *from);

/* Frees the sentences; there are none then. */
void attn_warnings_free(attn_warnings *warnings);

#endif
