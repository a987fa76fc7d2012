#include "server/http/compress.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>

#define STEP         ((size_t)256 * 1024) /* bytes between two checks of the control */
#define STEP_IN      ((size_t)64 * 1024) /* likewise of a compressed body: a block of nothing has two bytes */
#define FIRST        ((size_t)64 * 1024) /* of an inflated body; then twice as much each time */
#define GZIP_FRAMING 16                  /* zlib.h, inflateInit2 and deflateInit2 */
#define LEVEL        1

const char *encoding_name(content_encoding encoding) {
    static const char *const names[] = {"", "gzip", "deflate"};
    return names[encoding];
}

/* zlib's memory comes from the request's arena like all else. */
static voidpf allocate(voidpf arena, uInt count, uInt size) {
    return attn_arena_array(arena, count, size);
}

static void release(voidpf arena, voidpf block) {
    attn_arena_release(arena, block);
}

static int window_bits(content_encoding encoding) {
    return MAX_WBITS + (encoding == ENCODING_GZIP ? GZIP_FRAMING : 0);
}

static bool stopped(const attn_control *control) {
    return control != NULL && control->should_stop(control->context);
}

/* ---- Inflating ---- */

typedef struct {
    z_stream z;
    const wire_buffer *body;
    size_t taken; /* bytes of the body that zlib has been given */
    wire_buffer out;
    content_encoding encoding;
    size_t limit;
    const attn_control *control;
    problem *p;
} inflation;

static bool fail_memory(const inflation *i) {
    problem_from_core(i->p, attn_arena_failure(i->body->arena), NULL);
    return false;
}

/* Room for more bytes, but for no more than one beyond the limit: that one shows that there are too many. */
static bool make_room(inflation *i) {
    const size_t enough = i->limit + 1;
    size_t wanted = i->out.capacity < FIRST / 2 ? FIRST : 2 * i->out.capacity;
    wanted = wanted < enough ? wanted : enough;
    return i->out.length < i->out.capacity || wire_buffer_grow(&i->out, wanted) || fail_memory(i);
}

static bool fail_damaged(const inflation *i, const char *how) {
    problem_set(i->p, PROBLEM_BAD_REQUEST,
                "the body is not what Content-Encoding: %s says: %s at byte %zu of %zu",
                encoding_name(i->encoding), how, i->taken - i->z.avail_in, i->body->length);
    return false;
}

/* The next bytes of the body, if those before are used up. */
static void feed(inflation *i) {
    const size_t left = i->body->length - i->taken, now = left < STEP_IN ? left : STEP_IN;
    if (i->z.avail_in > 0)
        return;
    i->z.next_in = (Bytef *)i->body->bytes + i->taken;
    i->z.avail_in = (uInt)now;
    i->taken += now;
}

/* One step of at most STEP bytes. *done after the last one. */
static bool inflate_some(inflation *i, bool *done) {
    const size_t room = i->out.capacity - i->out.length, now = room < STEP ? room : STEP;
    feed(i);
    i->z.next_out = (Bytef *)i->out.bytes + i->out.length;
    i->z.avail_out = (uInt)now;
    const int result = inflate(&i->z, Z_NO_FLUSH);
    i->out.length += now - i->z.avail_out;
    if (i->out.length > i->limit) {
        problem_set(i->p, PROBLEM_TOO_LARGE,
                    "the body inflates to more than the %zu bytes that --max-body allows", i->limit);
        return false;
    }
    switch (result) {
    case Z_OK:
        return true;
    case Z_STREAM_END:
        *done = i->z.avail_in == 0 && i->taken == i->body->length;
        if (*done)
            return true;
        if (i->encoding == ENCODING_GZIP) /* RFC 1952, section 2.2: members may follow each other */
            return inflateReset(&i->z) == Z_OK;
        return fail_damaged(i, "more bytes after its end");
    case Z_BUF_ERROR:
        return i->z.avail_out == 0 || i->taken < i->body->length || fail_damaged(i, "it ends early");
    case Z_MEM_ERROR:
        return fail_memory(i);
    default:
        return fail_damaged(i, i->z.msg != NULL ? i->z.msg : "a dictionary is asked for");
    }
}

bool compress_inflate(wire_buffer *body, content_encoding encoding, size_t limit, const attn_control *control,
                      problem *p) {
    inflation i = {.z = {.zalloc = allocate, .zfree = release, .opaque = body->arena},
                   .body = body,
                   .out = {.arena = body->arena},
                   .encoding = encoding,
                   .limit = limit,
                   .control = control,
                   .p = p};
    bool done = false, good;
    memset(p, 0, sizeof *p);
    good = inflateInit2(&i.z, window_bits(encoding)) == Z_OK || fail_memory(&i);
    while (good && !done)
        good = !stopped(control) && make_room(&i) && inflate_some(&i, &done);
    inflateEnd(&i.z);
    attn_arena_release(body->arena, good ? body->bytes : i.out.bytes);
    if (good)
        *body = i.out;
    return good;
}

/* ---- Deflating ---- */

static bool deflate_all(z_stream *z, const wire_buffer *from, wire_buffer *to, const attn_control *control) {
    size_t taken = 0;
    int result = Z_OK;
    while (result == Z_OK) {
        const size_t left = from->length - taken, now = left < STEP ? left : STEP;
        if (stopped(control) || !wire_buffer_reserve(to, deflateBound(z, now) + 64))
            return false;
        z->next_in = (Bytef *)from->bytes + taken;
        z->avail_in = (uInt)now;
        z->next_out = (Bytef *)to->bytes + to->length;
        const size_t room = to->capacity - to->length;
        z->avail_out = (uInt)(room < UINT_MAX ? room : UINT_MAX);
        const uInt offered = z->avail_out;
        result = deflate(z, now == left ? Z_FINISH : Z_NO_FLUSH);
        taken += now - z->avail_in;
        to->length += offered - z->avail_out;
    }
    return result == Z_STREAM_END;
}

bool compress_deflate(wire_buffer *answer, content_encoding encoding, const attn_control *control) {
    z_stream z = {.zalloc = allocate, .zfree = release, .opaque = answer->arena};
    wire_buffer out = {.arena = answer->arena};
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, window_bits(encoding), 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    const bool good = deflate_all(&z, answer, &out, control);
    deflateEnd(&z);
    attn_arena_release(answer->arena, good ? answer->bytes : out.bytes);
    if (good)
        *answer = out;
    return good;
}
