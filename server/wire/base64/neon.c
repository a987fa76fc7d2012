/* Base64 with the vector instructions of AArch64, which load and store three or four interleaved streams, and
 * look up 64 bytes at once: 48 bytes, 64 characters. */
#include "server/wire/base64/codes.h"

#if defined __aarch64__

#include <arm_neon.h>

static bool always(void) {
    return true; /* AArch64 comes with it */
}

static size_t encode_neon(const uint8_t *bytes, size_t count, char *text) {
    const uint8x16x4_t alphabet = vld1q_u8_x4(base64_alphabet);
    const uint8x16_t six_bits = vdupq_n_u8(63);
    size_t at = 0;
    for (; count - at >= 48; at += 48, text += 64) {
        const uint8x16x3_t in = vld3q_u8(bytes + at);
        const uint8x16x4_t out = {{
            vqtbl4q_u8(alphabet, vshrq_n_u8(in.val[0], 2)),
            vqtbl4q_u8(alphabet,
                       vandq_u8(vorrq_u8(vshlq_n_u8(in.val[0], 4), vshrq_n_u8(in.val[1], 4)), six_bits)),
            vqtbl4q_u8(alphabet,
                       vandq_u8(vorrq_u8(vshlq_n_u8(in.val[1], 2), vshrq_n_u8(in.val[2], 6)), six_bits)),
            vqtbl4q_u8(alphabet, vandq_u8(in.val[2], six_bits)),
        }};
        vst4q_u8((uint8_t *)text, out);
    }
    return at;
}

/* The values of 16 characters, above 63 where one is none. A lookup beyond its 64 bytes gives zero, so that
 * the two tables can be joined; bytes from 128 on are in neither. */
static inline uint8x16_t values_of(uint8x16_t in, uint8x16x4_t first, uint8x16x4_t second) {
    const uint8x16_t values =
        vorrq_u8(vqtbl4q_u8(first, in), vqtbl4q_u8(second, veorq_u8(in, vdupq_n_u8(64))));
    return vorrq_u8(values, vandq_u8(in, vdupq_n_u8(128)));
}

static size_t decode_neon(const char *text, size_t length, uint8_t *bytes) {
    const uint8x16x4_t first = vld1q_u8_x4(base64_values), second = vld1q_u8_x4(base64_values + 64);
    size_t at = 0;
    for (; length - at > 64; at += 64, bytes += 48) {
        const uint8x16x4_t in = vld4q_u8((const uint8_t *)text + at);
        const uint8x16_t a = values_of(in.val[0], first, second), b = values_of(in.val[1], first, second),
                         c = values_of(in.val[2], first, second), d = values_of(in.val[3], first, second);
        if (vmaxvq_u8(vorrq_u8(vorrq_u8(a, b), vorrq_u8(c, d))) > 63)
            break;
        const uint8x16x3_t out = {{
            vorrq_u8(vshlq_n_u8(a, 2), vshrq_n_u8(b, 4)),
            vorrq_u8(vshlq_n_u8(b, 4), vshrq_n_u8(c, 2)),
            vorrq_u8(vshlq_n_u8(c, 6), d),
        }};
        vst3q_u8(bytes, out);
    }
    return at;
}

const base64_code base64_neon = {"neon", always, encode_neon, decode_neon};

#else

typedef int base64_has_no_neon_code; /* ISO C wants a declaration in every file */

#endif
