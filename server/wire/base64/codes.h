/* codes.h: the ways to code base64 that base64.c chooses from, and the tables that they share. */
#ifndef WIRE_BASE64_CODES_H
#define WIRE_BASE64_CODES_H

#include "server/wire/base64/base64.h"

#if defined __x86_64__
extern const base64_code base64_ssse3, base64_avx2;
#elif defined __aarch64__
extern const base64_code base64_neon;
#endif

#define BASE64_NO_VALUE 0xff

extern const uint8_t base64_alphabet[64];
extern const uint8_t base64_values[256]; /* of each character; BASE64_NO_VALUE for what is none */

#endif
