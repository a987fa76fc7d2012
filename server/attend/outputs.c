#include "server/attend/outputs.h"

#include "core/size.h"

#include <stddef.h>
#include <string.h>

#define AT(member) offsetof(attn_output, member)

/* Which results there are. A shape is spelt in letters: H heads, K heads of keys and values, T all keys with
 * the extra ones, D head width; B comes before each of them. */
static const struct {
    request_return asked_by;
    const char *name;
    const char *letters; /* NULL: the map that the view shows */
    size_t offset;       /* of its pointer in attn_output */
    bool is_int32, may_be_minus_infinity;
} returned[] = {
    {RETURN_Q, "q", "HLD", AT(q), false, false},
    {RETURN_K, "k", "KTD", AT(k), false, false},
    {RETURN_V, "v", "KTD", AT(v), false, false},
    {RETURN_SCORES, "scores", NULL, AT(scores), false, false},
    {RETURN_LSE, "lse", "HL", AT(lse), false, true},
    {RETURN_ENTROPY, "entropy", "HL", AT(entropy), false, false},
    {RETURN_HEAD_OUTPUT, "head_output", "HLD", AT(head_output), false, false},
    {RETURN_STATS, "stats.max", "HL", AT(stats.max), false, false},
    {RETURN_STATS, "stats.argmax", "HL", AT(stats.argmax), true, false},
    {RETURN_STATS, "stats.first", "HL", AT(stats.first), false, false},
    {RETURN_STATS, "stats.self", "HL", AT(stats.self), false, false},
    {RETURN_STATS, "stats.previous", "HL", AT(stats.previous), false, false},
    {RETURN_STATS, "stats.received", "HT", AT(stats.received), false, false},
};

/* The list while it is made: beside each result, where attn_output has its pointer. */
typedef struct {
    attend_call *call;
    const view_shape *map;
    size_t offsets[ATTEND_RESULTS_MAX];
} listing;

static attend_result *add(listing *list, const char *name, size_t batch, const size_t *shape, size_t rank,
                          size_t offset) {
    attend_call *const call = list->call;
    attend_result *const result = &call->results[call->result_count];
    *result = (attend_result){.name = name};
    if (call->batched)
        result->shape[result->rank++] = batch;
    memcpy(result->shape + result->rank, shape, rank * sizeof *shape);
    result->rank += rank;
    list->offsets[call->result_count++] = offset;
    return result;
}

static size_t dimension(const attend_call *call, char letter) {
    const attn_config *config = &call->model->layer.config;
    switch (letter) {
    case 'H':
        return config->num_heads;
    case 'K':
        return config->num_kv_heads;
    case 'L':
        return call->input.L;
    case 'T':
        return attn_keys_with_extra(config, call->input.S, call->input.omit_extra);
    case 'D':
        return config->head_dim;
    default:
        return config->embed_dim;
    }
}

static attend_result *add_plain(listing *list, const char *name, const char *letters, size_t offset) {
    size_t shape[SHAPE_MAX_RANK];
    const size_t rank = strlen(letters);
    for (size_t i = 0; i < rank; i++)
        shape[i] = dimension(list->call, letters[i]);
    return add(list, name, list->call->input.B, shape, rank, offset);
}

/* What the view shows of attn_weights or scores; without a dimension of heads if `heads` is 0. */
static void add_map(listing *list, const char *const names[3], size_t heads, size_t offset) {
    const view_shape *map = list->map;
    const size_t shape[] = {heads, map->rows, map->columns}, skipped = heads == 0 ? 1 : 0;
    const size_t batch = list->call->output.view.batch_count, values = offset + offsetof(attn_map, values);
    if (!map->top_k) {
        add(list, names[0], batch, shape + skipped, 3 - skipped, values);
        return;
    }
    add(list, names[1], batch, shape + skipped, 3 - skipped, values);
    add(list, names[2], batch, shape + skipped, 3 - skipped, offset + offsetof(attn_map, indices))->is_int32 =
        true;
}

static void add_weights(listing *list, const attend_request *request) {
    static const char *const names[] = {"attn_weights", "attn_weights.values", "attn_weights.indices"};
    const size_t heads = list->call->output.view.head_count;
    /* With a view, the mean has a dimension of one head. */
    add_map(list, names, !request->average_attn_weights ? heads : request->view.present ? 1 : 0, AT(weights));
}

static void list_results(listing *list, const attend_request *request) {
    static const char *const scores[] = {"scores", "scores.values", "scores.indices"};
    const size_t heads = list->call->output.view.head_count;
    add_plain(list, "output", "LE", AT(output));
    if (request->need_weights)
        add_weights(list, request);
    for (size_t i = 0; i < sizeof returned / sizeof returned[0]; i++) {
        if (!request_returns(request, returned[i].asked_by))
            continue;
        if (returned[i].letters == NULL) {
            add_map(list, scores, heads, returned[i].offset);
            continue;
        }
        attend_result *result = add_plain(list, returned[i].name, returned[i].letters, returned[i].offset);
        result->is_int32 = returned[i].is_int32;
        result->may_be_minus_infinity = returned[i].may_be_minus_infinity;
    }
}

/* A result that is kept has its weights, whether the answer has them or not. */
static void list_withheld(listing *list, const attend_request *request) {
    const size_t count = list->call->result_count;
    if (!request->keep || request->need_weights || request->head_output.present)
        return;
    add_weights(list, request);
    list->call->withheld_count = list->call->result_count - count;
    list->call->result_count = count;
}

/* Memory for a result, whose size is known not to overflow. What has no numbers takes none, though it counts.
 */
static void *allocate(const attend_result *result, attn_arena *arena) {
    size_t numbers;
    return attn_multiply_all(result->shape, result->rank, &numbers)
               ? attn_arena_array(arena, numbers, sizeof(float))
               : NULL;
}

problem_code answer_allocate(const attend_request *request, const view_shape *map, size_t max_answer,
                             attn_arena *arena, attend_call *call, problem *p) {
    listing list = {.call = call, .map = map};
    size_t bytes, left = max_answer;
    list_results(&list, request);
    for (size_t i = 0; i < call->result_count; i++) {
        const attend_result *result = &call->results[i];
        if (!shape_bytes(result->shape, result->rank, &bytes) || bytes > left)
            return problem_set(p, PROBLEM_TOO_LARGE,
                               "the answer's tensors would be larger than the %zu bytes that --max-answer "
                               "allows, counted up to %s %s",
                               max_answer, result->name, shape_show(result->shape, result->rank).text);
        left -= bytes;
    }
    for (size_t i = 0; i < call->result_count; i++) {
        void *data = allocate(&call->results[i], arena);
        if (data == NULL)
            return problem_from_core(p, attn_arena_failure(arena), NULL);
        call->results[i].data = data;
        memcpy((char *)&call->output + list.offsets[i], &data, sizeof data);
    }
    list_withheld(&list, request);
    return PROBLEM_NONE;
}

problem_code answer_allocate_withheld(attend_call *call, attn_arena *arena, problem *p) {
    for (size_t i = 0; i < call->withheld_count; i++) {
        attend_result *const result = &call->results[call->result_count + i];
        size_t bytes;
        void *data = shape_bytes(result->shape, result->rank, &bytes) ? allocate(result, arena) : NULL;
        if (data == NULL)
            return problem_from_core(p, attn_arena_failure(arena), NULL);
        result->data = data;
        if (result->is_int32)
            call->output.weights.indices = data;
        else
            call->output.weights.values = data;
    }
    return PROBLEM_NONE;
}
