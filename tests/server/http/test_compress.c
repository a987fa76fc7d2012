/* Content-Encoding: what is read, what is refused, and what is written. The HTTP tests of tests/python hold
 * it against Python's gzip and zlib. */
#include "server/http/compress.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <string.h>
#include <zlib.h>

#define TEXT "attention, attention, attention"

/* python3 -c "import gzip, zlib; t = b'attention, attention, attention'; print(gzip.compress(t, mtime=0),
 * zlib.compress(t))" */
static const char gzipped[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x4b\x2c\x29\x49\xcd\x2b\xc9\xcc\xcf"
                              "\xd3\x51\x48\xc4\xc2\x04\x00\x88\x3d\x43\xd4\x1f\x00\x00\x00";
static const char deflated[] =
    "\x78\x9c\x4b\x2c\x29\x49\xcd\x2b\xc9\xcc\xcf\xd3\x51\x48\xc4\xc2\x04\x00\xc1\x71\x0c\x1b";

static wire_buffer buffer_of(attn_arena *arena, const char *bytes, size_t count) {
    wire_buffer b = {.arena = arena};
    cr_assert(wire_buffer_append(&b, bytes, count));
    return b;
}

static problem_code inflated(const char *bytes, size_t count, content_encoding encoding, size_t limit,
                             const char *expected) {
    attn_arena *arena = attn_arena_new(NULL);
    wire_buffer body = buffer_of(arena, bytes, count);
    problem p;
    const bool good = compress_inflate(&body, encoding, limit, NULL, &p);
    cr_assert_eq(good, p.code == PROBLEM_NONE);
    if (good)
        cr_assert(expected != NULL && body.length == strlen(expected) &&
                  memcmp(body.bytes, expected, body.length) == 0);
    attn_arena_free(arena);
    return p.code;
}

Test(compress, reads_what_others_have_written) {
    cr_assert_eq(inflated(gzipped, sizeof gzipped - 1, ENCODING_GZIP, 31, TEXT), PROBLEM_NONE);
    cr_assert_eq(inflated(deflated, sizeof deflated - 1, ENCODING_DEFLATE, 31, TEXT), PROBLEM_NONE);
    char twice[2 * sizeof gzipped];
    memcpy(twice, gzipped, sizeof gzipped - 1);
    memcpy(twice + sizeof gzipped - 1, gzipped, sizeof gzipped - 1);
    cr_assert_eq(inflated(twice, 2 * (sizeof gzipped - 1), ENCODING_GZIP, 62, TEXT TEXT), PROBLEM_NONE);
}

Test(compress, refuses_what_is_larger_than_the_limit) {
    cr_assert_eq(inflated(gzipped, sizeof gzipped - 1, ENCODING_GZIP, 30, NULL), PROBLEM_TOO_LARGE);
    cr_assert_eq(inflated(deflated, sizeof deflated - 1, ENCODING_DEFLATE, 0, NULL), PROBLEM_TOO_LARGE);
}

Test(compress, refuses_what_is_cut_changed_or_followed) {
    char damaged[sizeof gzipped + 8];
    for (size_t n = 0; n < sizeof gzipped - 1; n++)
        cr_assert_eq(inflated(gzipped, n, ENCODING_GZIP, 1000, NULL), PROBLEM_BAD_REQUEST, "cut at %zu", n);
    for (size_t n = 0; n < sizeof deflated - 1; n++)
        cr_assert_eq(inflated(deflated, n, ENCODING_DEFLATE, 1000, NULL), PROBLEM_BAD_REQUEST, "cut at %zu",
                     n);
    for (size_t n = sizeof gzipped - 9; n < sizeof gzipped - 1; n++) { /* its checksum and length */
        memcpy(damaged, gzipped, sizeof gzipped);
        damaged[n] ^= 1;
        cr_assert_eq(inflated(damaged, sizeof gzipped - 1, ENCODING_GZIP, 1000, NULL), PROBLEM_BAD_REQUEST);
    }
    memcpy(damaged, deflated, sizeof deflated - 1);
    damaged[sizeof deflated - 1] = 'x';
    cr_assert_eq(inflated(damaged, sizeof deflated, ENCODING_DEFLATE, 1000, NULL), PROBLEM_BAD_REQUEST);
    memcpy(damaged, gzipped, sizeof gzipped - 1);
    damaged[sizeof gzipped - 1] = 'x';
    cr_assert_eq(inflated(damaged, sizeof gzipped, ENCODING_GZIP, 1000, NULL), PROBLEM_BAD_REQUEST);
    cr_assert_eq(inflated(deflated, sizeof deflated - 1, ENCODING_GZIP, 1000, NULL), PROBLEM_BAD_REQUEST);
    cr_assert_eq(inflated(TEXT, strlen(TEXT), ENCODING_DEFLATE, 1000, NULL), PROBLEM_BAD_REQUEST);
}

/* A zlib stream (RFC 1950, RFC 1951: one block that is not compressed) of exactly `count` bytes. */
static void make_stream(unsigned char *bytes, size_t count) {
    const size_t length = count - 11;
    const unsigned char head[] = {0x78,
                                  0x01,
                                  1,
                                  (unsigned char)length,
                                  (unsigned char)(length >> 8),
                                  (unsigned char)~length,
                                  (unsigned char)(~length >> 8)};
    memcpy(bytes, head, sizeof head);
    memset(bytes + 7, ' ', length);
    const unsigned long sum = adler32(1, bytes + 7, (unsigned)length);
    for (int n = 0; n < 4; n++)
        bytes[count - 4 + (size_t)n] = (unsigned char)(sum >> (24 - 8 * n));
}

/* deflate is one stream (RFC 9110, 8.4.1.2), wherever it ends in what is read at once; gzip may be several.
 */
Test(compress, a_second_stream_is_refused_unless_it_is_of_gzip) {
    static unsigned char two[2 * 65536];
    char twice[2 * sizeof gzipped];
    memcpy(twice, deflated, sizeof deflated - 1);
    memcpy(twice + sizeof deflated - 1, deflated, sizeof deflated - 1);
    cr_assert_eq(inflated(twice, 2 * (sizeof deflated - 1), ENCODING_DEFLATE, 1000, NULL),
                 PROBLEM_BAD_REQUEST);
    memcpy(twice, gzipped, sizeof gzipped - 1);
    memcpy(twice + sizeof gzipped - 1, gzipped, sizeof gzipped - 1);
    cr_assert_eq(inflated(twice, 2 * (sizeof gzipped - 1), ENCODING_GZIP, 1000, TEXT TEXT), PROBLEM_NONE);
    for (size_t count = 65534; count <= 65536; count++) {
        attn_arena *arena = attn_arena_new(NULL);
        problem p;
        make_stream(two, count);
        make_stream(two + count, 100);
        wire_buffer alone = buffer_of(arena, (const char *)two, count);
        cr_assert(compress_inflate(&alone, ENCODING_DEFLATE, 65536, NULL, &p), "%zu: %s", count, p.text);
        cr_assert_eq(alone.length, count - 11);
        wire_buffer both = buffer_of(arena, (const char *)two, count + 100);
        cr_assert_not(compress_inflate(&both, ENCODING_DEFLATE, 1 << 20, NULL, &p), "%zu", count);
        cr_assert_eq(p.code, PROBLEM_BAD_REQUEST);
        attn_arena_free(arena);
    }
}

/* Random text of random length, there and back, in a budget that holds both forms and zlib's memory. */
Test(compress, reads_what_it_has_written) {
    uint64_t seed = test_seed("reads_what_it_has_written");
    for (int n = 0; n < 60; n++) {
        const size_t length = random_below(&seed, n % 5 == 0 ? 3000000 : 5000);
        const content_encoding encoding = n % 2 == 0 ? ENCODING_GZIP : ENCODING_DEFLATE;
        char *text = malloc(length + 1);
        for (size_t i = 0; i < length; i++)
            text[i] = "0123456789.,-e[]"[random_below(&seed, 16)];
        attn_arena *arena = attn_arena_new(NULL);
        wire_buffer b = buffer_of(arena, text, length);
        problem p;
        cr_assert(compress_deflate(&b, encoding, NULL));
        cr_assert(length < 1000 || b.length < length * 3 / 4);
        cr_assert(compress_inflate(&b, encoding, length, NULL, &p), "%s", p.text);
        cr_assert(b.length == length && (length == 0 || memcmp(b.bytes, text, length) == 0));
        attn_arena_free(arena);
        free(text);
    }
}

static bool at_once(void *context) {
    (void)context;
    return true;
}

/* A body of a megabyte that inflates to a gigabyte takes no more than twice the limit, and is stopped when it
 * is told to be. */
Test(compress, a_bomb_costs_the_limit_at_most) {
    attn_budget budget = {.limit = 24 << 20};
    attn_arena *arena = attn_arena_new(&budget);
    wire_buffer member = {.arena = arena}, bomb = {.arena = arena};
    static char zeros[1 << 20];
    problem p;
    cr_assert(wire_buffer_append(&member, zeros, sizeof zeros) &&
              compress_deflate(&member, ENCODING_GZIP, NULL));
    for (int n = 0; n < 1000; n++)
        cr_assert(wire_buffer_append(&bomb, member.bytes, member.length));
    cr_assert_not(compress_inflate(&bomb, ENCODING_GZIP, 4 << 20, NULL, &p));
    cr_assert_eq(p.code, PROBLEM_TOO_LARGE, "%s", p.text);
    cr_assert_not(compress_inflate(&bomb, ENCODING_GZIP, 40 << 20, NULL, &p));
    cr_assert_eq(p.code, PROBLEM_QUEUE_FULL, "%s", p.text); /* --max-memory */
    const attn_control stop = {at_once, NULL};
    wire_buffer body = buffer_of(arena, gzipped, sizeof gzipped - 1);
    cr_assert_not(compress_inflate(&body, ENCODING_GZIP, 1000, &stop, &p));
    cr_assert_eq(p.code, PROBLEM_NONE);
    cr_assert_not(compress_deflate(&body, ENCODING_GZIP, &stop));
    attn_arena_free(arena);
}

Test(compress, ends_cleanly_without_memory) {
    char text[40000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('0' + i * i % 10);
    bool good = false;
    for (size_t limit = 4096; !good; limit += 8192) {
        attn_budget budget = {.limit = limit};
        attn_arena *arena = attn_arena_new(&budget);
        problem p;
        wire_buffer b = {.arena = arena};
        good = wire_buffer_append(&b, text, sizeof text) && compress_deflate(&b, ENCODING_GZIP, NULL) &&
               compress_inflate(&b, ENCODING_GZIP, sizeof text, NULL, &p);
        attn_arena_free(arena);
        cr_assert_eq(budget.used, 0);
        cr_assert_lt(limit, 4 << 20);
    }
}
