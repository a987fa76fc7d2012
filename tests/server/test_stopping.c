/* No phase of a request goes on for long after its deadline: whatever a body holds, and whatever an answer
 * is written from, the control is asked at least every 50 milliseconds, and what it says is obeyed. */
#include "server/compress.h"
#include "tests/looks.h"
#include "tests/server/requests.h"

#define BODY ((size_t)16 << 20) /* bytes */

static attn_arena *arena;

static void set_up(void) {
    arena = attn_arena_new(NULL);
    cr_assert_not_null(arena);
}

static void tear_down(void) {
    attn_arena_free(arena);
}

TestSuite(stopping, .init = set_up, .fini = tear_down, .timeout = 600);

static void *take(size_t count, size_t size) {
    void *block = attn_arena_array(arena, count, size);
    cr_assert_not_null(block);
    memset(block, 0, count * size);
    return block;
}

/* ---- Bodies ---- */

typedef struct {
    char *bytes;
    size_t length;
} body;

/* `head`, then `unit` again and again, then `tail`. */
static body repeat(const char *head, const char *unit, const char *tail, size_t length) {
    const size_t before = strlen(head), each = strlen(unit), after = strlen(tail);
    body b = {take(length + 1, 1), before};
    memcpy(b.bytes, head, before);
    for (; b.length + each + after <= length; b.length += each)
        memcpy(b.bytes + b.length, unit, each);
    memcpy(b.bytes + b.length, tail, after);
    b.length += after;
    return b;
}

static problem trouble;

/* ---- Compressed bodies, and answers ---- */

/* What does not inflate to anything takes its time all the same. */
Test(stopping, inflate_and_deflate) {
    body empty =
        repeat("\x78\x9c", "\x02\x0c\x30\xc0", "", BODY); /* without end: four empty blocks in five bytes */
    for (size_t n = 2; n + 5 <= empty.length; n += 5)
        memcpy(empty.bytes + n, "\x02\x08\x20\x80\x00", 5);
    body zeros = {take(BODY, 1), BODY};
    looks counted = {0};
    const attn_control control = {looks_ask, &counted};
    wire_buffer b = {.arena = arena, .bytes = empty.bytes, .length = empty.length, .capacity = empty.length};
    looks_mark(&counted);
    cr_expect_not(compress_inflate(&b, ENCODING_DEFLATE, BODY, &control, &trouble));
    looks_mark(&counted);
    cr_expect_eq(trouble.code, PROBLEM_BAD_REQUEST, "%s", trouble.text);
    cr_expect_geq(counted.looks, BODY >> 17);
    b = (wire_buffer){.arena = arena, .bytes = zeros.bytes, .length = zeros.length, .capacity = zeros.length};
    counted.looks = 0;
    looks_mark(&counted);
    cr_expect(compress_deflate(&b, ENCODING_GZIP, &control));
    cr_expect_geq(counted.looks, BODY >> 19);
    counted.looks = 0;
    cr_expect(compress_inflate(&b, ENCODING_GZIP, BODY, &control, &trouble));
    looks_mark(&counted);
    cr_expect_geq(counted.looks, BODY >> 19);
    cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "nobody looked for %.1f ms", counted.longest);
}
