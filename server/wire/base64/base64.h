/* base64.h: base64 with the alphabet and the padding of RFC 4648, section 4, and nothing beside them. */
#ifndef WIRE_BASE64_H
#define WIRE_BASE64_H

#include "server/wire/base64/codes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    BASE64_OK,
    BASE64_BAD_CHARACTER, /* not of the alphabet */
    BASE64_BAD_PADDING,   /* '=' that is not one of the last two characters, or not followed by another '=' */
    BASE64_BAD_BITS,      /* the bits of the last character that code nothing are not zero */
    BASE64_BAD_LENGTH,    /* the number of characters is no multiple of four */
} base64_status;

/* The characters that `count` bytes take; false if that overflows. */
bool base64_encoded_length(size_t count, size_t *length);

/* The bytes that `length` characters code, if they are well-formed; room for so many is enough for
 * base64_decode in any case. */
size_t base64_decoded_length(const char *text, size_t length);

/* Writes `count` bytes as base64_encoded_length characters, without a NUL. */
void base64_encode(const void *bytes, size_t count, char *text);

/* Decodes exactly `length` characters. `bytes` may be `text`. On failure *bad is the index of the first
 * character that is wrong (`length` for BASE64_BAD_LENGTH), and what `bytes` holds means nothing. */
base64_status base64_decode(const char *text, size_t length, void *bytes, size_t *bad);

/* ---- One way to do it among several, for the program that holds them against each other ---- */

/* Fastest first; the last is plain C, which every CPU can do. */
extern const base64_code *const base64_codes[];
extern const size_t base64_code_count;

void base64_encode_by(const base64_code *code, const void *bytes, size_t count, char *text);
base64_status base64_decode_by(const base64_code *code, const char *text, size_t length, void *bytes,
                               size_t *bad);

#endif
