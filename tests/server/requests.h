/* requests.h: requests and models that tests make without a wire format. */
#ifndef TESTS_SERVER_REQUESTS_H
#define TESTS_SERVER_REQUESTS_H

#include "server/attend/resolve.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { NO_LIMIT = 1 << 30 };

/* Bit n of `returned`, in the order of the table of outputs. */
enum {
    RETURN_Q,
    RETURN_K,
    RETURN_V,
    RETURN_SCORES,
    RETURN_LSE,
    RETURN_ENTROPY,
    RETURN_HEAD_OUTPUT,
    RETURN_STATS,
    RETURN_COUNT,
};

/* "2,10,8" is a tensor of that shape; "2,0,..." one that ended at an empty dimension; NULL is absent. */
static inline request_tensor tensor(const char *shape) {
    static float data[1];
    request_tensor t = {.present = shape != NULL, .data = data};
    for (const char *p = shape; p != NULL && *p != '\0'; p += strspn(p, ",")) {
        if (*p == '.') {
            t.open = true;
            break;
        }
        char *end;
        t.shape[t.rank++] = strtoul(p, &end, 10);
        p = end;
    }
    return t;
}

/* E 8, H 2, kdim and vdim as given. */
static inline attn_model make_model(size_t kdim, size_t vdim) {
    return (attn_model){
        .name = "m",
        .layer.config = {
            .embed_dim = 8, .num_heads = 2, .num_kv_heads = 2, .head_dim = 4, .kdim = kdim, .vdim = vdim}};
}

/* Resolves a request; what it allocates is freed before this returns. */
static inline problem_code resolve_request(const attn_model *model, attend_request *request, size_t limit,
                                           attend_call *call, problem *p) {
    attn_arena *arena = attn_arena_new(NULL);
    memset(p, 0, sizeof *p);
    const problem_code code = request_resolve(request, model, limit, arena, call, p);
    attn_arena_free(arena);
    return code;
}

#endif
