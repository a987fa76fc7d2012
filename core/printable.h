/* printable.h: text from outside (paths, tensor names, keys), made safe to print in a sentence. */
#ifndef ATTN_PRINTABLE_H
#define ATTN_PRINTABLE_H

#include <stddef.h>

#define ATTN_PRINTABLE_MAX 120 /* bytes of text that attn_make_printable writes at most */

typedef struct {
    char text[ATTN_PRINTABLE_MAX + 8]; /* room for a pair of quotation marks besides */
} attn_printable;

/* Copies `text` so that it can be printed: what a terminal or a log would act on (control characters, marks
 * that change the direction of writing, bytes that are not UTF-8) becomes \xNN, and the middle of a long text
 * becomes "...". Returns shown->text. */
const char *attn_make_printable(attn_printable *printable, const char *text);

/* Appends `item` to a list "a, b, c" in an array of `size` bytes; cut if it does not fit. */
void attn_list_add(char *list, size_t size, const char *item);

#endif
