/* unsupported.h: directories with a model in a form that is not served. */
#ifndef ATTN_UNSUPPORTED_H
#define ATTN_UNSUPPORTED_H

#include <stdbool.h>
#include <stddef.h>

/* Finds weights in a well-known format other than safetensors. If the directory has some, and none in the
 * format that is served, writes which, and how to convert them, into advice [size], and returns true. */
bool attn_unsupported_find(const char *directory, char *advice, size_t size);

#endif
