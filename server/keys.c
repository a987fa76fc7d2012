#include "server/keys.h"

#include "core/model/files/file.h"
#include "core/printable.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HASH_SIZE  32                /* bytes of SHA-256 */
#define MOST_BYTES ((size_t)1 << 20) /* of a key file */
#define PREFIX     "attend_"         /* of a fresh key, so that whoever finds one knows what it opens */
#define HASHED     "sha256:"
#define TOKEN      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
#define HEX        "0123456789abcdefABCDEF"

typedef struct {
    unsigned char bytes[HASH_SIZE];
} hash;

struct keys {
    size_t count;
    hash hashes[];
};

static bool hash_of(const char *text, size_t length, hash *h) {
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, text, length, h->bytes) == 0;
}

/* RFC 6750: b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=" */
static bool is_token(const char *text, size_t length) {
    size_t at = 0;
    while (at < length && strchr(TOKEN, text[at]) != NULL && text[at] != '\0')
        at++;
    const bool begins = at > 0;
    while (at < length && text[at] == '=')
        at++;
    return begins && at == length;
}

static bool read_hex(const char *text, hash *h) {
    for (size_t i = 0; i < HASH_SIZE; i++) {
        const char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        if (strspn(digits, HEX) != 2)
            return false;
        h->bytes[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
    return true;
}

/* One line, without white space at its ends and without its comment. */
static bool read_line(const char *text, size_t length, hash *h) {
    const size_t prefix = strlen(HASHED);
    if (length == prefix + 2 * HASH_SIZE && memcmp(text, HASHED, prefix) == 0)
        return read_hex(text + prefix, h);
    return is_token(text, length) && hash_of(text, length, h);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* The lines of a key file into `k`, which has room for as many. The number of the first bad line, or 0. */
static size_t read_lines(const char *text, size_t length, keys *k) {
    const char *const end = text + length;
    for (size_t number = 1; text < end; number++) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        next = next == NULL ? end : next;
        const char *comment = memchr(text, '#', (size_t)(next - text));
        const char *stop = comment == NULL ? next : comment;
        while (text < stop && is_blank(*text))
            text++;
        while (stop > text && is_blank(stop[-1]))
            stop--;
        if (stop > text && !read_line(text, (size_t)(stop - text), &k->hashes[k->count++]))
            return number;
        text = next + 1;
    }
    return 0;
}

static size_t lines_of(const char *text, size_t length) {
    size_t count = 1;
    for (size_t i = 0; i < length; i++)
        count += text[i] == '\n';
    return count;
}

keys *keys_read(const char *path, attn_error *error) {
    char *text;
    size_t length;
    if (attn_file_read_all(path, MOST_BYTES, &text, &length, error) != ATTN_OK)
        return NULL;
    attn_printable shown;
    keys *k = calloc(1, sizeof *k + lines_of(text, length) * sizeof(hash));
    const size_t bad = k == NULL ? 0 : read_lines(text, length, k);
    if (k == NULL)
        attn_fail(error, ATTN_NO_MEMORY, "no memory for the keys");
    else if (bad > 0)
        attn_fail(error, ATTN_BAD_MODEL,
                  "%s, line %zu: neither a key (letters, digits and -._~+/, with = at its end) nor sha256: "
                  "and 64 hexadecimal digits",
                  attn_make_printable(&shown, path), bad);
    else if (k->count == 0)
        attn_fail(error, ATTN_BAD_MODEL, "%s: there is no key in it", attn_make_printable(&shown, path));
    gnutls_memset(text, 0, length);
    free(text);
    if (k == NULL || (bad == 0 && k->count > 0))
        return k;
    keys_free(k);
    return NULL;
}

keys *keys_copy(const keys *k) {
    const size_t bytes = sizeof *k + k->count * sizeof(hash);
    keys *copy = malloc(bytes);
    return copy == NULL ? NULL : memcpy(copy, k, bytes);
}

void keys_free(keys *k) {
    free(k);
}

bool keys_allow(const keys *k, const char *authorization) {
    static const char scheme[] = "Bearer ";
    hash given;
    if (authorization == NULL || strncasecmp(authorization, scheme, strlen(scheme)) != 0)
        return false;
    const char *key = authorization + strlen(scheme);
    key += strspn(key, " ");
    if (!hash_of(key, strlen(key), &given))
        return false;
    unsigned found = 0;
    for (size_t i = 0; i < k->count; i++)
        found |= gnutls_memcmp(given.bytes, k->hashes[i].bytes, HASH_SIZE) == 0;
    return found != 0;
}

bool keys_draw(char key[KEYS_KEY_SIZE], char line[KEYS_LINE_SIZE]) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char random[43]; /* six bits of each: 258 */
    hash h;
    if (gnutls_rnd(GNUTLS_RND_KEY, random, sizeof random) != 0)
        return false;
    size_t length = (size_t)snprintf(key, KEYS_KEY_SIZE, "%s", PREFIX);
    for (size_t i = 0; i < sizeof random; i++)
        key[length++] = letters[random[i] & 63];
    key[length] = '\0';
    gnutls_memset(random, 0, sizeof random);
    if (!hash_of(key, length, &h))
        return false;
    length = (size_t)snprintf(line, KEYS_LINE_SIZE, "%s", HASHED);
    for (size_t i = 0; i < HASH_SIZE; i++)
        length += (size_t)snprintf(line + length, KEYS_LINE_SIZE - length, "%02x", h.bytes[i]);
    return true;
}
