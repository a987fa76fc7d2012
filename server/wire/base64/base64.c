#include "server/wire/base64/base64.h"

#include "core/size.h"

/* ---- Plain C ---- */

static bool always(void) {
    return true;
}

static size_t encode_plain(const uint8_t *bytes, size_t count, char *text) {
    size_t at = 0;
    for (; count - at >= 3; at += 3, text += 4) {
        const unsigned a = bytes[at], b = bytes[at + 1], c = bytes[at + 2];
        text[0] = (char)base64_alphabet[a >> 2];
        text[1] = (char)base64_alphabet[(a << 4 | b >> 4) & 63];
        text[2] = (char)base64_alphabet[(b << 2 | c >> 6) & 63];
        text[3] = (char)base64_alphabet[c & 63];
    }
    return at;
}

static unsigned value_of(char c) {
    return base64_values[(unsigned char)c];
}

static size_t decode_plain(const char *text, size_t length, uint8_t *bytes) {
    size_t at = 0;
    for (; length - at > 4; at += 4, bytes += 3) {
        const unsigned a = value_of(text[at]), b = value_of(text[at + 1]), c = value_of(text[at + 2]),
                       d = value_of(text[at + 3]);
        if ((a | b | c | d) > 63)
            break;
        bytes[0] = (uint8_t)(a << 2 | b >> 4);
        bytes[1] = (uint8_t)(b << 4 | c >> 2);
        bytes[2] = (uint8_t)(c << 6 | d);
    }
    return at;
}

static const base64_code base64_plain = {"plain", always, encode_plain, decode_plain};

const base64_code *const base64_codes[] = {
#if defined __x86_64__
    &base64_avx2,
    &base64_ssse3,
#elif defined __aarch64__
    &base64_neon,
#endif
    &base64_plain,
};
const size_t base64_code_count = sizeof base64_codes / sizeof base64_codes[0];

/* ---- What is left for after the whole blocks ---- */

/* The last one or two bytes. */
static void encode_rest(const uint8_t *bytes, size_t count, char *text) {
    const unsigned a = bytes[0], b = count > 1 ? bytes[1] : 0;
    text[0] = (char)base64_alphabet[a >> 2];
    text[1] = (char)base64_alphabet[(a << 4 | b >> 4) & 63];
    text[2] = count > 1 ? (char)base64_alphabet[b << 2 & 63] : '=';
    text[3] = '=';
}

/* How many of four characters stand before the padding they may end with: 2 to 4. */
static size_t before_padding(const char *text) {
    return text[3] != '=' ? 4 : text[2] != '=' ? 3 : 2;
}

/* The first of `count` characters that is none of the alphabet; BASE64_OK if there is none. */
static base64_status find_bad(const char *text, size_t count, size_t *index) {
    for (*index = 0; *index < count; ++*index)
        if (value_of(text[*index]) == BASE64_NO_VALUE)
            return text[*index] == '=' ? BASE64_BAD_PADDING : BASE64_BAD_CHARACTER;
    return BASE64_OK;
}

/* The four last characters, with their padding. */
static base64_status decode_last(const char *text, uint8_t *bytes, size_t *index) {
    const size_t count = before_padding(text);
    const base64_status status = find_bad(text, count, index);
    if (status != BASE64_OK)
        return status;
    const unsigned a = value_of(text[0]), b = value_of(text[1]), c = count > 2 ? value_of(text[2]) : 0,
                   d = count > 3 ? value_of(text[3]) : 0;
    if ((count == 2 && (b & 15) != 0) || (count == 3 && (c & 3) != 0)) {
        *index = count - 1;
        return BASE64_BAD_BITS;
    }
    bytes[0] = (uint8_t)(a << 2 | b >> 4);
    if (count > 2)
        bytes[1] = (uint8_t)(b << 4 | c >> 2);
    if (count > 3)
        bytes[2] = (uint8_t)(c << 6 | d);
    return BASE64_OK;
}

/* ---- All of it ---- */

bool base64_encoded_length(size_t count, size_t *length) {
    return attn_multiply(count / 3 + (count % 3 != 0 ? 1 : 0), 4, length);
}

size_t base64_decoded_length(const char *text, size_t length) {
    const size_t whole = length / 4 * 3;
    return length == 0 || length % 4 != 0 ? whole : whole - 4 + before_padding(text + length - 4);
}

void base64_encode_by(const base64_code *code, const void *bytes, size_t count, char *text) {
    const uint8_t *const from = bytes;
    size_t at = code->encode(from, count, text);
    at += encode_plain(from + at, count - at, text + at / 3 * 4);
    if (at < count)
        encode_rest(from + at, count - at, text + at / 3 * 4);
}

base64_status base64_decode_by(const base64_code *code, const char *text, size_t length, void *bytes,
                               size_t *bad) {
    uint8_t *const to = bytes;
    base64_status status;
    size_t index = 0, at = code->decode(text, length, to);
    at += decode_plain(text + at, length - at, to + at / 4 * 3);
    const size_t left = length - at;
    if (left == 4) {
        status = decode_last(text + at, to + at / 4 * 3, &index);
    } else { /* a bad character in the next four, or a piece that is too short */
        status = find_bad(text + at, left < 4 ? left : 4, &index);
        if (status == BASE64_OK && left != 0)
            status = BASE64_BAD_LENGTH;
    }
    *bad = at + index;
    return status;
}

/* Asks the CPU each time: the answer is one bit of a word that is there already. */
static const base64_code *fastest(void) {
    size_t i = 0;
    while (!base64_codes[i]->usable())
        i++;
    return base64_codes[i];
}

void base64_encode(const void *bytes, size_t count, char *text) {
    base64_encode_by(fastest(), bytes, count, text);
}

base64_status base64_decode(const char *text, size_t length, void *bytes, size_t *bad) {
    return base64_decode_by(fastest(), text, length, bytes, bad);
}
