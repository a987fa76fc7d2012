/* unsupported.h: directories with a model in a form that is not served. */
#ifndef ATTN_UNSUPPORTED_H
#define ATTN_UNSUPPORTED_H

#include <stdbool.h>
#include <stddef.h>

/* Looks into the directory for weights in a well-known form other than safetensors. If there are any, and
 * none in the form that is served, writes which, and how to convert them, into advice [size], and returns
 * true. */
bool attn_unsupported_find(const char *directory, char *advice, size_t size);

#endif
