/* request.h: what a caller asks for, whatever the wire format, and what becomes of it beside a model: a call,
 * which has an attn_input and a list of arrays. */
#ifndef ATTEND_REQUEST_H
#define ATTEND_REQUEST_H

#include "core/arena.h"
#include "core/model/model.h"
#include "server/attend/shape.h"
#include "server/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_MAX_RANK      SHAPE_MAX_RANK
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

typedef enum { SWITCH_ABSENT = 0, SWITCH_OFF, SWITCH_ON } request_switch;

typedef struct {
    bool present;
    uint64_t value;
} request_whole;

typedef struct {
    bool present;
    size_t count;
    size_t *items; /* in the request's arena */
} request_wholes;

/* Names for people. */
typedef struct {
    bool present;
    size_t count;
    size_t length; /* bytes of `text` */
    char *text;    /* one after the other, each with a NUL behind it; in the request's arena */
} request_labels;

/* Which part of attn_weights and scores is wanted. */
typedef struct {
    bool present;
    request_wholes batch, heads;
    request_wholes rows, cols, size; /* two numbers each */
    size_t pool;                     /* 1 + an attn_pool; 0 if absent */
    request_whole top_k;
} request_view;

/* How tensors come back in JSON. */
typedef enum { TENSORS_AS_ARRAYS, TENSORS_AS_BASE64 } request_tensor_form;

typedef struct {
    char *model; /* NULL if absent, like every string here; in the request's arena, NUL-terminated */
    char *id;
    request_tensor query, key, value, attn_mask, key_padding_mask, head_output;
    request_switch is_causal;
    request_whole query_offset, key_offset, seed;
    bool need_weights, average_attn_weights, omit_extra, training, keep;
    request_labels query_labels, key_labels;
    unsigned returned;                     /* what `return` names, a bit each: outputs.h */
    const struct picture_options *picture; /* the answer is a picture (picture/picture.h); NULL: it is none */
    request_view view;
    size_t encoding; /* 1 + a request_tensor_form; 0 if absent */
} attend_request;

/* One array of the answer. */
typedef struct {
    const char *name; /* "output"; "stats.max" is the member max of an object stats, whose members are
                       * neighbours in the list */
    bool is_int32;    /* its elements are int32_t, not float */
    bool may_be_minus_infinity;
    size_t rank;
    size_t shape[SHAPE_MAX_RANK]; /* without B, if the request had none */
    const void *data;             /* row-major; NULL until it is allocated */
} attend_array;

#define ATTEND_ARRAYS_MAX   24 /* not less than all rows of the table of outputs */
#define ATTEND_WARNINGS_MAX 5
#define RESULT_URL_SIZE     48 /* of the path of a kept result, with its NUL */

/* A request that fits its model, and where its answer goes. */
typedef struct {
    const attn_model *model;
    attn_input input;
    attn_output output;
    bool batched;                           /* false: the request came without B, and no array has it */
    attend_array arrays[ATTEND_ARRAYS_MAX]; /* of the answer */
    size_t array_count;
    size_t withheld_count; /* behind those: arrays that are kept, but are not in the answer. They have no
                            * data until outputs_allocate_withheld */
    char result_url[RESULT_URL_SIZE];          /* where the result is kept; "" if it is not */
    const char *warnings[ATTEND_WARNINGS_MAX]; /* sentences */
    size_t warning_count;
} attend_call;

#endif
