#include "server/attend/resolve.h"

#include "server/attend/fields.h"
#include "server/attend/outputs.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define ZERO_ONE                                                                                             \
    " holds only the numbers 0 and 1, which were added to the scores; to exclude keys, send true or "        \
    "-Infinity"

typedef struct {
    attend_request *request;
    const attn_model *model;
    attend_call *call;
    problem *p;
} resolution;

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
        return problem_set_at(r->p, PROBLEM_MISSING_FIELD, "query",
                              "query is missing: expected numbers [B,L,%zu] or [L,%zu]", E, E);
    if (t->open && t->rank < 3) { /* [] is [0,0,E], [[],[]] is [2,0,E] */
        t->shape[1] = t->rank == 2 ? t->shape[1] : 0;
        t->shape[2] = E;
        t->rank = 3;
        t->open = false;
    }
    if (t->rank < 2 || t->rank > 3 || t->shape[t->rank - 1] != E)
        return problem_set_at(r->p, PROBLEM_BAD_SHAPE, "query",
                              "query has the shape %s, but model %s expects [B,L,%zu] or [L,%zu]",
                              shape_show(t->shape, t->rank).text, r->model->name, E, E);
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
    const shape_text found = shape_show(t->shape, t->rank);
    if (!decides_S)
        return problem_set_at(r->p, PROBLEM_BAD_SHAPE, name,
                              "%s has the shape %s, but with this query and key it must be %s (%s is %zu)",
                              name, found.text, shape_show(expected, rank).text, width_name, width);
    if (batched)
        return problem_set_at(r->p, PROBLEM_BAD_SHAPE, name,
                              "%s has the shape %s, but with this query it must be [%zu,S,%zu] (%s is %zu)",
                              name, found.text, in->B, width, width_name, width);
    return problem_set_at(r->p, PROBLEM_BAD_SHAPE, name,
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
        return problem_set_at(
            r->p, PROBLEM_MISSING_FIELD, "key",
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
        return problem_set_at(
            r->p, PROBLEM_MISSING_FIELD, "value",
            "value is missing: it cannot be the key, whose width is %zu; model %s expects %zu", config->kdim,
            r->model->name, config->vdim);
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
    const shape_text found = shape_show(t->shape, t->rank);
    if (!r->call->batched)
        return problem_set_at(
            r->p, PROBLEM_BAD_SHAPE, "attn_mask",
            "attn_mask has the shape %s, but with this 2-D query it must be [L,S] = [%zu,%zu] or [H,L,S] = "
            "[%zu,%zu,%zu]",
            found.text, L, S, H, L, S);
    return problem_set_at(
        r->p, PROBLEM_BAD_SHAPE, "attn_mask",
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
    return problem_set_at(r->p, PROBLEM_BAD_SHAPE, "key_padding_mask",
                          "key_padding_mask has the shape %s, but with this query and key it must be %s = %s",
                          shape_show(t->shape, t->rank).text, r->call->batched ? "[B,S]" : "[S]",
                          shape_show(shape + skipped, 2 - skipped).text);
}

/* One name for each of `count` things, or of `more` where that is another number of them. */
static problem_code check_labels(resolution *r, const request_labels *labels, const char *name,
                                 const char *letter, size_t count, size_t more) {
    char or_more[48] = "";
    if (!labels->present || labels->count == count || labels->count == more)
        return PROBLEM_NONE;
    if (more != count)
        snprintf(or_more, sizeof or_more, ", or %zu with the model's extra keys", more);
    return problem_set_at(r->p, PROBLEM_BAD_SHAPE, name, "%s has %zu string%s, expected %s = %zu%s", name,
                          labels->count, labels->count == 1 ? "" : "s", letter, count, or_more);
}

static problem_code resolve_labels(resolution *r) {
    const attn_input *in = &r->call->input;
    const attend_request *request = r->request;
    const size_t keys = attn_keys_with_extra(&r->model->layer.config, in->S, request->omit_extra);
    const problem_code code = check_labels(r, &request->query_labels, "query_labels", "L", in->L, in->L);
    return code != PROBLEM_NONE ? code
                                : check_labels(r, &request->key_labels, "key_labels", "S", in->S, keys);
}

static void warn(attend_call *call, const char *sentence) {
    call->warnings[call->warning_count++] = sentence;
}

/* Instead of query, key and value: [B,H,L,D], or unbatched [H,L,D]. A nested array that ends early has no
 * queries: [] is [0,H,0,D], H times [] are unbatched. */
static problem_code resolve_head_output(resolution *r) {
    request_tensor *t = &r->request->head_output;
    const attn_config *config = &r->model->layer.config;
    const size_t H = config->num_heads, D = config->head_dim;
    const bool batched = t->open ? t->rank != 2 : t->rank == 4;
    const size_t axis_B = 0, axis_L = batched ? 2 : 1;
    const size_t shape[4] = {t->shape[axis_B], H, t->rank > axis_L ? t->shape[axis_L] : 0, D};
    const size_t skipped = batched ? 0 : 1;
    if (!fits(t, shape + skipped, 4 - skipped))
        return problem_set_at(
            r->p, PROBLEM_BAD_SHAPE, "head_output",
            "head_output has the shape %s, but model %s expects [B,%zu,L,%zu] or [%zu,L,%zu]",
            shape_show(t->shape, t->rank).text, r->model->name, H, D, H, D);
    r->call->batched = batched;
    r->call->input.B = batched ? shape[0] : 1;
    r->call->input.L = shape[2];
    r->call->input.head_output = t->data;
    return PROBLEM_NONE;
}

/* What is given beside head_output and would be computed from query, key and value. */
static problem_code check_beside_head_output(resolution *r) {
    bool idle = false;
    for (size_t i = 0; i < request_fields.count; i++) {
        const field *f = &request_fields.fields[i];
        if (!field_asked(f, r->request))
            continue;
        if (f->beside_head_output == BESIDE_REFUSED)
            return problem_set_at(r->p, PROBLEM_BAD_VALUE, f->name,
                                  "%s is there beside head_output, to which only the output projection is "
                                  "applied; expected one without the other",
                                  f->name);
        idle |= f->beside_head_output == BESIDE_IDLE;
    }
    if (idle)
        warn(r->call, "only the output projection was applied to head_output; the options that concern "
                      "queries, keys and weights had no effect");
    return PROBLEM_NONE;
}

/* The tensors, and with them B, L and S. */
static problem_code resolve_tensors(resolution *r) {
    problem_code code;
    if (r->request->head_output.present)
        return (code = check_beside_head_output(r)) != PROBLEM_NONE ? code : resolve_head_output(r);
    PROBLEM_TRY(resolve_query(r));
    PROBLEM_TRY(resolve_key(r));
    PROBLEM_TRY(resolve_value(r));
    PROBLEM_TRY(resolve_attn_mask(r));
    return resolve_key_padding_mask(r);
}

/* A seed for the dropout, if none is given. */
static problem_code draw_seed(resolution *r) {
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        return problem_set(r->p, PROBLEM_UNAVAILABLE,
                           "the system has no random numbers for a seed; send one with the request");
    r->call->input.seed = bits >> 11; /* 53 bits */
    return PROBLEM_NONE;
}

static problem_code resolve_options(resolution *r) {
    const attend_request *request = r->request;
    attn_input *in = &r->call->input;
    in->is_causal =
        request->is_causal == SWITCH_ABSENT ? r->model->layer.config.causal : request->is_causal == SWITCH_ON;
    in->query_offset = request->query_offset.value;
    in->key_offset = request->key_offset.value;
    in->omit_extra = request->omit_extra;
    in->training = request->training;
    in->seed = request->seed.value;
    return in->training && !request->seed.present ? draw_seed(r) : PROBLEM_NONE;
}

/* Is there any map in the answer, or one that is kept? */
static bool uses_view(const attend_request *request) {
    bool any = request->keep;
    for (size_t n = 0; attend_outputs[n].name != NULL; n++)
        any |= attend_outputs[n].is_map && output_asked(request, n);
    return any;
}

static void collect_warnings(const attend_request *request, attend_call *call) {
    if (request->attn_mask.is_zero_one)
        warn(call, "attn_mask" ZERO_ONE);
    if (request->key_padding_mask.is_zero_one)
        warn(call, "key_padding_mask" ZERO_ONE);
    if (request->view.present && !uses_view(request))
        warn(call, "view had no effect: it is of attn_weights and scores, and neither need_weights nor "
                   "return asks for one");
    if (request->seed.present && !request->training)
        warn(call, "seed had no effect: without training there is no dropout");
}

problem_code request_resolve(attend_request *request, const attn_model *model, size_t max_answer,
                             attn_arena *arena, attend_call *call, problem *p) {
    resolution r = {.request = request, .model = model, .call = call, .p = p};
    view_shape map = {0};
    memset(call, 0, sizeof *call);
    call->model = model;
    PROBLEM_TRY(resolve_tensors(&r));
    PROBLEM_TRY(resolve_labels(&r));
    if (!request->head_output.present) {
        PROBLEM_TRY(resolve_options(&r));
        PROBLEM_TRY(view_resolve(&request->view, &model->layer.config, &call->input, arena,
                                 &call->output.view, &map, p));
        call->output.view.average = request->average_attn_weights;
        collect_warnings(request, call);
    }
    return outputs_allocate(request, &map, max_answer, arena, call, p);
}
