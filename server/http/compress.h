/* compress.h: Content-Encoding gzip (RFC 1952) and deflate (RFC 1950, zlib's framing, as RFC 9110, section
 * 8.4.1.2, means it), by zlib. */
#ifndef HTTP_COMPRESS_H
#define HTTP_COMPRESS_H

#include "core/attention.h"
#include "server/problem.h"
#include "server/wire/buffer.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum { ENCODING_IDENTITY, ENCODING_GZIP, ENCODING_DEFLATE } content_encoding;

/* "gzip", "deflate"; "" for the identity. */
const char *encoding_name(content_encoding encoding);

/* Replaces the compressed body by what it inflates to, in the same arena. Past `limit` bytes (--max-body) it
 * stops with PROBLEM_TOO_LARGE; memory is taken as it is needed, at most twice as much. Fails with *p filled
 * in, PROBLEM_NONE in it if the control said stop. False on failure. */
bool compress_inflate(wire_buffer *body, content_encoding encoding, size_t limit, const attn_control *control,
                      problem *p);

/* Replaces the answer by its compressed form, at level 1. False if memory ran out (the arena knows why) or
 * the control said stop; the answer is then as it was. */
bool compress_deflate(wire_buffer *answer, content_encoding encoding, const attn_control *control);

#endif
