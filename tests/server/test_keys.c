/* The keys of a key file: which lines are keys, who gets in, and that no sentence shows one. */
#include "server/keys.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* SHA-256 of "abc": FIPS 180-4's example, NIST's "SHA256.pdf". */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static attn_error error;

/* Reads a file of this text. */
static keys *read_text(const char *text) {
    char path[] = "/tmp/attend-keys-XXXXXX";
    const int descriptor = mkstemp(path);
    cr_assert(descriptor >= 0 && write(descriptor, text, strlen(text)) == (ssize_t)strlen(text));
    close(descriptor);
    error.text[0] = '\0';
    keys *k = keys_read(path, &error);
    unlink(path);
    return k;
}

Test(keys, a_key_lets_in_and_others_do_not) {
    keys *k = read_text("# the team's\n\n  first-key \t\r\nsha256:" ABC " # of abc\n second~+/.key== # why");
    cr_assert_not_null(k, "%s", error.text);
    static const char *const let_in[] = {"Bearer first-key", "Bearer abc", "bearer abc", "BEARER  abc",
                                         "Bearer second~+/.key=="};
    static const char *const kept_out[] = {
        "Bearer first-ke", "Bearer first-key2", "Bearer ", "Bearer",    "abc",
        "Basic abc",       ("Bearer " ABC),     "",        "Bearerabc", "Bearer abC"};
    for (size_t i = 0; i < sizeof let_in / sizeof *let_in; i++)
        cr_expect(keys_allow(k, let_in[i]), "%s", let_in[i]);
    for (size_t i = 0; i < sizeof kept_out / sizeof *kept_out; i++)
        cr_expect_not(keys_allow(k, kept_out[i]), "%s", kept_out[i]);
    cr_expect_not(keys_allow(k, NULL));
    keys_free(k);
}

Test(keys, what_is_no_key_is_refused_by_its_line_alone) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "there is no key in it"},
        {"# nothing\n \n", "there is no key in it"},
        {"good\nsecret word\n", "line 2: neither a key"},
        {"secret\x01", "line 1: neither a key"},
        {"secr\xc3\xa9t", "line 1: neither a key"},
        {"==secret", "line 1: neither a key"},
        {"se=cret", "line 1: neither a key"},
        {"good\n\nsha256:secret", "line 3: neither a key"},
        {"sha256:" ABC "0", "line 1: neither a key"},
        {"sha256:g" ABC, "line 1: neither a key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_null(read_text(cases[i].text), "case %zu", i);
        cr_expect_not_null(strstr(error.text, cases[i].says), "case %zu: %s", i, error.text);
        cr_expect_null(strstr(error.text, "secret"), "case %zu: %s", i, error.text);
    }
    cr_expect_null(keys_read("/nothing/here", &error));
    cr_expect_not_null(strstr(error.text, "/nothing/here"), "%s", error.text);
}

Test(keys, a_fresh_key_opens_with_its_line) {
    char key[2][KEYS_KEY_SIZE], line[2][KEYS_LINE_SIZE], authorization[80];
    for (size_t i = 0; i < 2; i++)
        cr_assert(keys_draw(key[i], line[i]));
    cr_expect_str_neq(key[0], key[1]);
    cr_expect_eq(strlen(key[0]), 7 + 43);
    cr_expect_eq(strncmp(key[0], "attend_", 7), 0);
    keys *k = read_text(line[0]);
    cr_assert_not_null(k, "%s", error.text);
    for (size_t i = 0; i < 2; i++) {
        snprintf(authorization, sizeof authorization, "Bearer %s", key[i]);
        cr_expect_eq(keys_allow(k, authorization), i == 0);
    }
    keys_free(k);
}
