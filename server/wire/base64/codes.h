/* codes.h: what a way to code base64 is, those that need instructions of some CPU, and the tables they share.
 */
#ifndef WIRE_BASE64_CODES_H
#define WIRE_BASE64_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Codes the whole blocks at the beginning, and returns how much of the input it has dealt with: a multiple of
 * three bytes, or of four characters. It never touches memory beyond the input, nor beyond the output for all
 * of the input. Decoding leaves the last four characters alone, and ends before a block with a character that
 * is not of the alphabet. */
typedef struct {
    const char *name;
    bool (*usable)(void); /* has this CPU got the instructions? */
    size_t (*encode)(const uint8_t *bytes, size_t count, char *text);
    size_t (*decode)(const char *text, size_t length, uint8_t *bytes);
} base64_code;

#if defined __x86_64__
extern const base64_code base64_ssse3, base64_avx2;
#elif defined __aarch64__
extern const base64_code base64_neon;
#endif

#define BASE64_NO_VALUE 0xff

extern const uint8_t base64_alphabet[64];
extern const uint8_t base64_values[256]; /* of each character; BASE64_NO_VALUE for what is none */

#endif
