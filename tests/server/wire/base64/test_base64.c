/* Base64: RFC 4648, section 10; every way that this CPU has against one that goes bit by bit; every wrong
 * byte at every place; the rules of padding. All buffers end where their contents do. */
#include "server/wire/base64/base64.h"

#include "tests/random.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 400 /* bytes: several blocks of the widest code, and every rest */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* `count` bytes on the heap, so that a sanitizer sees one too many; none is allocated where there are none.
 */
static void *exact(size_t count) {
    void *block = malloc(count);
    cr_assert(block != NULL || count == 0);
    return block;
}

/* RFC 4648, section 4, to the letter: a stream of bits, most significant first, six at a time. */
static void encode_bits(const uint8_t *bytes, size_t count, char *text) {
    size_t length = 0;
    for (size_t bit = 0; bit < 8 * count; bit += 6) {
        unsigned value = 0;
        for (size_t i = bit; i < bit + 6; i++)
            value = value << 1 | (i < 8 * count ? (unsigned)bytes[i / 8] >> (7 - i % 8) & 1 : 0);
        text[length++] = alphabet[value];
    }
    while (length % 4 != 0)
        text[length++] = '=';
}

static base64_status decode_text(const base64_code *code, const char *text, size_t length, size_t *bad) {
    char *copy = exact(length);
    if (length > 0)
        memcpy(copy, text, length);
    uint8_t *bytes = exact(base64_decoded_length(copy, length));
    const base64_status status = base64_decode_by(code, copy, length, bytes, bad);
    free(bytes);
    free(copy);
    return status;
}

/* Runs for each code that this CPU has. */
#define EACH_CODE(code)                                                                                      \
    for (size_t n_ = 0; n_ < base64_code_count; n_++)                                                        \
        for (const base64_code *code = base64_codes[n_]; code != NULL && code->usable(); code = NULL)

Test(base64, vectors_of_the_rfc) {
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    EACH_CODE(code)
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char text[16] = "", bytes[16] = "";
        size_t bad;
        base64_encode_by(code, vectors[i][0], strlen(vectors[i][0]), text);
        cr_assert_str_eq(text, vectors[i][1], "%s", code->name);
        cr_assert_eq(base64_decode_by(code, text, strlen(text), bytes, &bad), BASE64_OK);
        cr_assert_str_eq(bytes, vectors[i][0], "%s", code->name);
    }
}

Test(base64, every_length_both_ways) {
    uint64_t state = test_seed("every_length_both_ways");
    EACH_CODE(code)
    for (size_t count = 0; count <= LONGEST; count++) {
        size_t length, bad;
        cr_assert(base64_encoded_length(count, &length));
        uint8_t *bytes = exact(count), *back = exact(count);
        char *text = exact(length), *expected = exact(length);
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)random_bits(&state);
        encode_bits(bytes, count, expected);
        base64_encode_by(code, bytes, count, text);
        cr_assert(count == 0 || memcmp(text, expected, length) == 0, "%s: %zu bytes", code->name, count);
        cr_assert_eq(base64_decoded_length(text, length), count);
        cr_assert_eq(base64_decode_by(code, text, length, back, &bad), BASE64_OK, "%s: %zu bytes", code->name,
                     count);
        cr_assert(count == 0 || memcmp(back, bytes, count) == 0, "%s: %zu bytes", code->name, count);
        cr_assert_eq(base64_decode_by(code, text, length, text, &bad), BASE64_OK);
        cr_assert(count == 0 || memcmp(text, bytes, count) == 0, "%s in place: %zu bytes", code->name, count);
        free(bytes);
        free(back);
        free(text);
        free(expected);
    }
}

Test(base64, every_value_at_every_place) {
    EACH_CODE(code)
    for (size_t place = 0; place < 128; place++)
        for (unsigned value = 0; value < 64; value++) {
            char text[128];
            uint8_t bytes[96], expected[128];
            size_t bad;
            memset(text, 'A', sizeof text);
            text[place] = alphabet[value];
            cr_assert_eq(base64_decode_by(code, text, sizeof text, bytes, &bad), BASE64_OK, "%s", code->name);
            encode_bits(bytes, sizeof bytes, (char *)expected);
            cr_assert_arr_eq(expected, text, sizeof text, "%s: %c at %zu", code->name, text[place], place);
        }
}

Test(base64, every_wrong_byte_at_every_place) {
    EACH_CODE(code)
    for (size_t place = 0; place < 132; place++)
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[132];
            size_t bad = 999;
            if (byte == '=' || (byte != 0 && strchr(alphabet, (int)byte) != NULL))
                continue;
            memset(text, 'x', sizeof text);
            text[place] = (char)byte;
            cr_assert_eq(decode_text(code, text, sizeof text, &bad), BASE64_BAD_CHARACTER,
                         "%s: 0x%02x at %zu", code->name, byte, place);
            cr_assert_eq(bad, place, "%s: 0x%02x found at %zu, expected at %zu", code->name, byte, bad,
                         place);
        }
}

Test(base64, padding_only_at_the_end) {
    EACH_CODE(code)
    for (size_t place = 0; place < 131; place++) {
        char text[132];
        size_t bad = 999;
        memset(text, 'A', sizeof text);
        text[place] = '=';
        cr_assert_eq(decode_text(code, text, sizeof text, &bad), BASE64_BAD_PADDING, "%s: %zu", code->name,
                     place);
        cr_assert_eq(bad, place, "%s: %zu", code->name, place);
    }
}

Test(base64, endings) {
    static const struct {
        const char *text;
        base64_status status;
        size_t bad;
    } cases[] = {
        // clang-format off
        {"AA==", BASE64_OK, 0},            {"AAA=", BASE64_OK, 0},
        {"AAAA", BASE64_OK, 0},            {"A", BASE64_BAD_LENGTH, 1},
        {"AA", BASE64_BAD_LENGTH, 2},      {"AAA", BASE64_BAD_LENGTH, 3},
        {"AAAAA", BASE64_BAD_LENGTH, 5},   {"AAAAAAA", BASE64_BAD_LENGTH, 7},
        {"=", BASE64_BAD_PADDING, 0},      {"A=", BASE64_BAD_PADDING, 1},
        {"AA=", BASE64_BAD_PADDING, 2},    {"====", BASE64_BAD_PADDING, 0},
        {"A===", BASE64_BAD_PADDING, 1},   {"AA=A", BASE64_BAD_PADDING, 2},
        {"=AAA", BASE64_BAD_PADDING, 0},
        {"AA==AAAA", BASE64_BAD_PADDING, 2},
        {"AAAAAA==A", BASE64_BAD_PADDING, 6},
        {"AAAA====", BASE64_BAD_PADDING, 4},
        {"AB==", BASE64_BAD_BITS, 1},      {"AP==", BASE64_BAD_BITS, 1},
        {"AQ==", BASE64_OK, 0},            {"AAB=", BASE64_BAD_BITS, 2},
        {"AAD=", BASE64_BAD_BITS, 2},      {"AAE=", BASE64_OK, 0},
        {"AAAAAAB=", BASE64_BAD_BITS, 6},
        {"AA\n=", BASE64_BAD_CHARACTER, 2},
        {"AAAA\n", BASE64_BAD_CHARACTER, 4},
        {" AAA", BASE64_BAD_CHARACTER, 0}, {"A-_A", BASE64_BAD_CHARACTER, 1},
        {"AAA-", BASE64_BAD_CHARACTER, 3},
        {"AAAAA-", BASE64_BAD_CHARACTER, 5},
        {"-A==", BASE64_BAD_CHARACTER, 0},
        // clang-format on
    };
    EACH_CODE(code)
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t bad = 0;
        const base64_status status = decode_text(code, cases[i].text, strlen(cases[i].text), &bad);
        cr_expect_eq(status, cases[i].status, "%s: \"%s\": %d", code->name, cases[i].text, (int)status);
        if (status != BASE64_OK)
            cr_expect_eq(bad, cases[i].bad, "%s: \"%s\": at %zu", code->name, cases[i].text, bad);
    }
}

Test(base64, lengths) {
    size_t length = 0;
    cr_assert_not(base64_encoded_length(SIZE_MAX, &length));
    cr_assert_not(base64_encoded_length(SIZE_MAX / 4 * 3 + 1, &length));
    cr_assert(base64_encoded_length(SIZE_MAX / 4 * 3, &length));
    cr_assert_eq(length, SIZE_MAX - 3);
}

/* The one that is taken by itself is a usable one, and the last of the list always is. */
Test(base64, chosen) {
    char text[8];
    uint8_t bytes[4];
    size_t bad;
    cr_assert(base64_codes[base64_code_count - 1]->usable());
    base64_encode("abcd", 4, text);
    cr_assert_arr_eq(text, "YWJjZA==", 8);
    cr_assert_eq(base64_decode(text, 8, bytes, &bad), BASE64_OK);
    cr_assert_arr_eq(bytes, "abcd", 4);
}

/* Bits that code nothing must be zero: or one tensor would have several texts. */
Test(base64, unused_bits) {
    EACH_CODE(code)
    for (unsigned value = 0; value < 64; value++) {
        const char two[] = {'A', alphabet[value], '=', '='}, three[] = {'A', 'A', alphabet[value], '='};
        size_t bad;
        cr_assert_eq(decode_text(code, two, 4, &bad), value % 16 == 0 ? BASE64_OK : BASE64_BAD_BITS);
        cr_assert_eq(decode_text(code, three, 4, &bad), value % 4 == 0 ? BASE64_OK : BASE64_BAD_BITS);
    }
}
