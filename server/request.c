#include "server/request.h"

#include "core/size.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ZERO_ONE                                                                                             \
    " holds only the numbers 0 and 1, which were added to the scores; to exclude keys, send true or "        \
    "-Infinity"

typedef struct {
    attend_request *request;
    const attn_model *model;
    attend_call *call;
    problem *p;
} resolution;

static problem_code __attribute__((format(printf, 4, 5)))
refuse(resolution *r, problem_code code, const char *path, const char *format, ...) {
    char text[sizeof r->p->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    problem_set(r->p, code, "%s", text);
    problem_at(r->p, path);
    return code;
}

/* A shape for people: "[2,10,512]". */
typedef struct {
    char text[REQUEST_MAX_RANK * 22 + 3];
} shape_text;

static shape_text text_of(const size_t *shape, size_t rank) {
    shape_text s = {"["};
    size_t n = 1;
    for (size_t i = 0; i < rank; i++)
        n += (size_t)snprintf(s.text + n, sizeof s.text - n, "%s%zu", i == 0 ? "" : ",", shape[i]);
    s.text[n] = ']';
    return s;
}

/* Does `t` have this shape? A tensor that ended at an empty dimension takes on the dimensions it lacks. */
static bool fits(request_tensor *t, const size_t *shape, size_t rank) {
    if (t->rank != rank && !(t->open && t->rank < rank))
        return false;
    if (memcmp(t->shape, shape, t->rank * sizeof *shape) != 0)
        return false;
    memcpy(t->shape, shape, rank * sizeof *shape);
    t->rank = rank;
    t->open = false;
    return true;
}

/* The query decides B and L, and whether the request is batched. */
static problem_code resolve_query(resolution *r) {
    request_tensor *t = &r->request->query;
    const size_t E = r->model->layer.config.embed_dim;
    if (!t->present)
        return refuse(r, PROBLEM_MISSING_FIELD, "query",
                      "query is missing: expected numbers [B,L,%zu] or [L,%zu]", E, E);
    if (t->open && t->rank < 3) { /* [] is [0,0,E], [[],[]] is [2,0,E] */
        t->shape[1] = t->rank == 2 ? t->shape[1] : 0;
        t->shape[2] = E;
        t->rank = 3;
        t->open = false;
    }
    if (t->rank < 2 || t->rank > 3 || t->shape[t->rank - 1] != E)
        return refuse(r, PROBLEM_BAD_SHAPE, "query",
                      "query has the shape %s, but model %s expects [B,L,%zu] or [L,%zu]",
                      text_of(t->shape, t->rank).text, r->model->name, E, E);
    r->call->batched = t->rank == 3;
    r->call->input.B = t->rank == 3 ? t->shape[0] : 1;
    r->call->input.L = t->shape[t->rank - 2];
    r->call->input.query = t->data;
    return PROBLEM_NONE;
}

/* Key or value: [B,S,width], or [S,width] beside an unbatched query. `S` is *S, or taken from the tensor if
 * `decides_S`. */
static problem_code resolve_source(resolution *r, request_tensor *t, const char *name, const char *width_name,
                                   size_t width, bool decides_S) {
    attn_input *in = &r->call->input;
    const bool batched = r->call->batched;
    size_t shape[3] = {in->B, in->S, width};
    const size_t *expected = batched ? shape : shape + 1;
    const size_t rank = batched ? 3 : 2, s = rank - 2;
    if (decides_S) /* an empty tensor may end before S; then it is 0 */
        in->S = shape[1] = t->rank > s ? t->shape[s] : 0;
    if (fits(t, expected, rank))
        return PROBLEM_NONE;
    const shape_text found = text_of(t->shape, t->rank);
    if (!decides_S)
        return refuse(r, PROBLEM_BAD_SHAPE, name,
                      "%s has the shape %s, but with this query and key it must be %s (%s is %zu)", name,
                      found.text, text_of(expected, rank).text, width_name, width);
    if (batched)
        return refuse(r, PROBLEM_BAD_SHAPE, name,
                      "%s has the shape %s, but with this query it must be [%zu,S,%zu] (%s is %zu)", name,
                      found.text, in->B, width, width_name, width);
    return refuse(r, PROBLEM_BAD_SHAPE, name,
                  "%s has the shape %s, but with this 2-D query it must be [S,%zu] (%s is %zu)", name,
                  found.text, width, width_name, width);
}

static problem_code resolve_key(resolution *r) {
    const attn_config *config = &r->model->layer.config;
    attn_input *in = &r->call->input;
    if (r->request->key.present) {
        in->key = r->request->key.data;
        return resolve_source(r, &r->request->key, "key", "kdim", config->kdim, true);
    }
    if (config->kdim != config->embed_dim)
        return refuse(r, PROBLEM_MISSING_FIELD, "key",
                      "key is missing: it cannot be the query, whose width is %zu; model %s expects %zu",
                      config->embed_dim, r->model->name, config->kdim);
    in->S = in->L;
    in->key = in->query;
    return PROBLEM_NONE;
}

static problem_code resolve_value(resolution *r) {
    const attn_config *config = &r->model->layer.config;
    attn_input *in = &r->call->input;
    if (r->request->value.present) {
        in->value = r->request->value.data;
        return resolve_source(r, &r->request->value, "value", "vdim", config->vdim, false);
    }
    if (config->vdim != config->kdim)
        return refuse(r, PROBLEM_MISSING_FIELD, "value",
                      "value is missing: it cannot be the key, whose width is %zu; model %s expects %zu",
                      config->kdim, r->model->name, config->vdim);
    in->value = in->key;
    return PROBLEM_NONE;
}

static problem_code resolve_attn_mask(resolution *r) {
    request_tensor *t = &r->request->attn_mask;
    attn_input *in = &r->call->input;
    const size_t B = in->B, H = r->model->layer.config.num_heads, L = in->L, S = in->S;
    if (!t->present)
        return PROBLEM_NONE;
    in->attn_mask = t->data;
    in->mask_B = in->mask_H = 1;
    if (fits(t, (const size_t[]){L, S}, 2))
        return PROBLEM_NONE;
    if (fits(t, (const size_t[]){B * H, L, S}, 3)) {
        in->mask_B = B;
        in->mask_H = H;
        return PROBLEM_NONE;
    }
    const size_t batches[] = {B, 1}, heads[] = {H, 1};
    for (size_t n = 0; r->call->batched && n < 4; n++)
        if (fits(t, (const size_t[]){batches[n / 2], heads[n % 2], L, S}, 4)) {
            in->mask_B = batches[n / 2];
            in->mask_H = heads[n % 2];
            return PROBLEM_NONE;
        }
    const shape_text found = text_of(t->shape, t->rank);
    if (!r->call->batched)
        return refuse(
            r, PROBLEM_BAD_SHAPE, "attn_mask",
            "attn_mask has the shape %s, but with this 2-D query it must be [L,S] = [%zu,%zu] or [H,L,S] = "
            "[%zu,%zu,%zu]",
            found.text, L, S, H, L, S);
    return refuse(
        r, PROBLEM_BAD_SHAPE, "attn_mask",
        "attn_mask has the shape %s, but with this query and key it must be [L,S] = [%zu,%zu], [B*H,L,S] = "
        "[%zu,%zu,%zu], or [B,H,L,S] = [%zu,%zu,%zu,%zu] with B or H also 1",
        found.text, L, S, B * H, L, S, B, H, L, S);
}

static problem_code resolve_key_padding_mask(resolution *r) {
    request_tensor *t = &r->request->key_padding_mask;
    attn_input *in = &r->call->input;
    if (!t->present)
        return PROBLEM_NONE;
    const size_t shape[2] = {in->B, in->S};
    const size_t skipped = r->call->batched ? 0 : 1;
    in->key_padding_mask = t->data;
    if (fits(t, shape + skipped, 2 - skipped))
        return PROBLEM_NONE;
    return refuse(r, PROBLEM_BAD_SHAPE, "key_padding_mask",
                  "key_padding_mask has the shape %s, but with this query and key it must be %s = %s",
                  text_of(t->shape, t->rank).text, r->call->batched ? "[B,S]" : "[S]",
                  text_of(shape + skipped, 2 - skipped).text);
}

static void collect_warnings(const attend_request *request, attend_call *call) {
    if (request->attn_mask.is_zero_one)
        call->warnings[call->warning_count++] = "attn_mask" ZERO_ONE;
    if (request->key_padding_mask.is_zero_one)
        call->warnings[call->warning_count++] = "key_padding_mask" ZERO_ONE;
}

/* Bytes of a float32 array of this shape, if they fit into `limit`. A zero counts as one: an answer of empty
 * arrays is text all the same. */
static bool counted(const size_t *shape, size_t rank, size_t limit, size_t *bytes) {
    size_t numbers = 1;
    for (size_t i = 0; i < rank; i++)
        if (!attn_multiply(numbers, shape[i] == 0 ? 1 : shape[i], &numbers))
            return false;
    return attn_multiply(numbers, sizeof(float), bytes) && *bytes <= limit;
}

/* The results' arrays, if they are not larger than the service lets an answer be. */
static problem_code allocate_output(resolution *r, size_t max_answer, attn_arena *arena) {
    const attn_input *in = &r->call->input;
    const attn_config *config = &r->model->layer.config;
    const size_t heads = r->request->average_attn_weights ? 1 : config->num_heads;
    size_t output, weights = 0;
    if (!counted((const size_t[]){in->B, in->L, config->embed_dim}, 3, max_answer, &output) ||
        (r->request->need_weights &&
         !counted((const size_t[]){in->B, heads, in->L, in->S}, 4, max_answer - output, &weights)))
        return refuse(r, PROBLEM_TOO_LARGE, "",
                      "the answer's tensors would be larger than the %zu bytes that --max-answer allows",
                      max_answer);
    attn_output *out = &r->call->output;
    out->average = r->request->average_attn_weights;
    if ((out->output = attn_arena_alloc(arena, output)) == NULL ||
        (r->request->need_weights && (out->weights = attn_arena_alloc(arena, weights)) == NULL))
        return problem_from_core(r->p, attn_arena_failure(arena), NULL);
    return PROBLEM_NONE;
}

problem_code request_resolve(attend_request *request, const attn_model *model, size_t max_answer,
                             attn_arena *arena, attend_call *call, problem *p) {
    resolution r = {.request = request, .model = model, .call = call, .p = p};
    problem_code code;
    memset(call, 0, sizeof *call);
    call->model = model;
    call->input.is_causal = request->is_causal;
    if ((code = resolve_query(&r)) != PROBLEM_NONE || (code = resolve_key(&r)) != PROBLEM_NONE ||
        (code = resolve_value(&r)) != PROBLEM_NONE || (code = resolve_attn_mask(&r)) != PROBLEM_NONE ||
        (code = resolve_key_padding_mask(&r)) != PROBLEM_NONE)
        return code;
    collect_warnings(request, call);
    return allocate_output(&r, max_answer, arena);
}
