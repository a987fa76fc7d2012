/* keys.h: the API keys that open the service. Only their hashes are held in memory. */
#ifndef SERVER_KEYS_H
#define SERVER_KEYS_H

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>

#define KEYS_KEY_SIZE  64 /* room for a fresh key */
#define KEYS_LINE_SIZE 80 /* room for its line in the key file */

typedef struct keys keys;

/* Reads a key file: on each line a key (the characters of a bearer token, RFC 6750, section 2.1) or
 * "sha256:" and the 64 hexadecimal digits of one; # begins a comment. Returns NULL if a line is neither or
 * the file has no key, with a sentence that never shows one. The caller frees with keys_free. */
keys *keys_read(const char *path, attn_error *error);

/* The same keys once more; NULL: no memory. */
keys *keys_copy(const keys *k);

void keys_free(keys *k);

/* Is `authorization`, the value of that header or NULL, "Bearer" and one of the keys? Which key it is, and
 * where a wrong one differs, does not change which instructions are executed. */
bool keys_allow(const keys *k, const char *authorization);

/* Draws a key of 256 random bits, and makes the line that lets it in. False: there is no randomness. */
bool keys_draw(char key[KEYS_KEY_SIZE], char line[KEYS_LINE_SIZE]);

#endif
