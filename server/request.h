/* request.h: what a caller asks for, whatever the wire format; checked against a model it becomes an
 * attn_input. */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include "core/arena.h"
#include "core/model/model.h"
#include "server/problem.h"

#include <stdbool.h>
#include <stddef.h>

#define REQUEST_MAX_RANK      4
#define REQUEST_MAX_DIMENSION ((size_t)1 << 24)

/* A tensor as it was decoded. Booleans arrive as numbers: true (may not be attended to) is minus infinity,
 * false is 0. */
typedef struct {
    bool present;
    bool boolean;     /* its elements were booleans */
    bool is_zero_one; /* numbers, all of them 0 or 1, a 1 among them: most likely a boolean mask gone wrong */
    bool open;   /* a nested array that ended at an empty dimension: the dimensions after it are not known */
    size_t rank; /* dimensions that are known */
    size_t shape[REQUEST_MAX_RANK];
    float *data; /* row-major, in the request's arena */
} request_tensor;

typedef struct {
    char *model; /* NULL if absent, like every string here; in the request's arena, NUL-terminated */
    char *id;
    request_tensor query, key, value, attn_mask, key_padding_mask;
    bool is_causal, need_weights, average_attn_weights;
} attend_request;

/* A request that fits its model, and where its results go. */
typedef struct {
    const attn_model *model;
    attn_input input;
    attn_output output;
    bool batched;            /* false: the query came without B, and no result has it */
    const char *warnings[2]; /* sentences */
    size_t warning_count;
} attend_call;

/* Checks `request` against `model`, fills in the defaults (key = query, value = key), and allocates the
 * results from `arena`. `max_answer` bounds the bytes of the answer's tensors. On failure *p says what does
 * not fit. */
problem_code request_resolve(attend_request *request, const attn_model *model, size_t max_answer,
                             attn_arena *arena, attend_call *call, problem *p);

#endif
