#include "server/wire/json/json.h"
#include "server/wire/json/reading.h"

#include <string.h>

/* Takes the '{' that a request begins with. */
static problem_code open_request(json_reader *r) {
    static const char byte_order_mark[3] = "\xef\xbb\xbf";
    if (r->end - r->at >= 3 && memcmp(r->at, byte_order_mark, 3) == 0)
        return json_fail(r, r->at, PROBLEM_MALFORMED_JSON,
                         "the body begins with a byte order mark, which JSON may not have");
    if (!json_skip_space(r))
        return json_fail(r, r->at, PROBLEM_MALFORMED_JSON, "the body is empty, expected a JSON object");
    if (json_accept(r, '{'))
        return PROBLEM_NONE;
    const json_kind kind = json_peek(r);
    if (kind == JSON_NO_VALUE)
        return json_fail_expected(r, "a JSON object");
    return json_fail(r, r->at, PROBLEM_BAD_VALUE, "the request is %s, expected an object",
                     json_describe(kind));
}

static problem_code read_request(json_reader *r, attend_request *request) {
    PROBLEM_TRY(open_request(r));
    PROBLEM_TRY(json_read_members(r, &request_fields, request));
    return json_skip_space(r) ? json_fail_expected(r, "the end of the body") : PROBLEM_NONE;
}

problem_code json_read_request(const char *text, size_t length, attn_arena *arena,
                               const attn_control *control, attend_request *request, problem *p) {
    if (length == 0)
        text = ""; /* an empty body may come without a pointer */
    json_reader r = {
        .start = text, .at = text, .end = text + length, .arena = arena, .p = p, .control = control};
    memset(request, 0, sizeof *request);
    return json_end(&r, read_request(&r, request));
}
