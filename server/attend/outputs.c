#include "server/attend/outputs.h"

#include "core/size.h"

#include <stddef.h>
#include <string.h>

#define AT(member) offsetof(attn_output, member)

#define LENGTH(array) (sizeof(array) / sizeof *(array))

// clang-format off
static const attend_output weights[] = {
    {"attn_weights.values", .offset = AT(weights.values)},
    {"attn_weights.indices", .offset = AT(weights.indices), .is_int32 = true},
    {.name = NULL},
};

static const attend_output scores[] = {
    {"scores.values", .offset = AT(scores.values)},
    {"scores.indices", .offset = AT(scores.indices), .is_int32 = true},
    {.name = NULL},
};

static const attend_output stats[] = {
    {"stats.max", "BHL", .offset = AT(stats.max)},
    {"stats.argmax", "BHL", .offset = AT(stats.argmax), .is_int32 = true},
    {"stats.first", "BHL", .offset = AT(stats.first)},
    {"stats.self", "BHL", .offset = AT(stats.self)},
    {"stats.previous", "BHL", .offset = AT(stats.previous)},
    {"stats.received", "BHT", .offset = AT(stats.received)},
    {.name = NULL},
};

const attend_output attend_outputs[] = {
    {"output", "BLE", .offset = AT(output)},
    [OUTPUT_WEIGHTS] = {"attn_weights", "BHLT", .offset = AT(weights.values), .is_map = true, .members = weights},
    [OUTPUT_RETURNED] =
    {"q", "BHLD", .offset = AT(q)},
    {"k", "BKTD", .offset = AT(k)},
    {"v", "BKTD", .offset = AT(v)},
    {"scores", "BHLT", .offset = AT(scores.values), .is_map = true, .members = scores},
    {"lse", "BHL", .offset = AT(lse), .may_be_minus_infinity = true},
    {"entropy", "BHL", .offset = AT(entropy)},
    {"head_output", "BHLD", .offset = AT(head_output)},
    {"stats", .members = stats},
    {.name = NULL},
};
// clang-format on

_Static_assert(LENGTH(attend_outputs) + LENGTH(weights) + LENGTH(scores) + LENGTH(stats) - 4 <=
                   ATTEND_ARRAYS_MAX,
               "ATTEND_ARRAYS_MAX");
_Static_assert(LENGTH(attend_outputs) - OUTPUT_RETURNED <= 8 * sizeof((attend_request *)0)->returned,
               "a bit for each");

const attend_output *output_at(size_t n, size_t *whole) {
    for (*whole = 0; attend_outputs[*whole].name != NULL; ++*whole) {
        if (n-- == 0)
            return &attend_outputs[*whole];
        for (const attend_output *m = attend_outputs[*whole].members; m != NULL && m->name != NULL; m++)
            if (n-- == 0)
                return m;
    }
    return NULL;
}

bool output_asked(const attend_request *request, size_t n) {
    if (n < OUTPUT_RETURNED)
        return n != OUTPUT_WEIGHTS || request->need_weights;
    return (request->returned >> (n - OUTPUT_RETURNED) & 1) != 0;
}

void output_ask(attend_request *request, size_t n) {
    if (n >= OUTPUT_RETURNED)
        request->returned |= 1U << (n - OUTPUT_RETURNED);
    else
        request->need_weights |= n == OUTPUT_WEIGHTS;
}

/* The list while it is made: beside each array, where attn_output has its pointer. */
typedef struct {
    attend_call *call;
    const view_shape *map;
    size_t offsets[ATTEND_ARRAYS_MAX];
} listing;

static void add(listing *list, const attend_output *output, size_t batch, const size_t *shape, size_t rank) {
    attend_call *const call = list->call;
    attend_array *const array = &call->arrays[call->array_count];
    *array = (attend_array){.name = output->name,
                            .is_int32 = output->is_int32,
                            .may_be_minus_infinity = output->may_be_minus_infinity};
    if (call->batched)
        array->shape[array->rank++] = batch;
    memcpy(array->shape + array->rank, shape, rank * sizeof *shape);
    array->rank += rank;
    list->offsets[call->array_count++] = output->offset;
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

static void add_array(listing *list, const attend_output *output) {
    const char *const letters = output->letters + 1; /* after B */
    size_t shape[SHAPE_MAX_RANK];
    const size_t rank = strlen(letters);
    for (size_t i = 0; i < rank; i++)
        shape[i] = dimension(list->call, letters[i]);
    add(list, output, list->call->input.B, shape, rank);
}

/* What the view shows of attn_weights or scores; without a dimension of heads if `heads` is 0. */
static void add_map(listing *list, const attend_output *output, size_t heads) {
    const view_shape *map = list->map;
    const size_t shape[] = {heads, map->rows, map->columns}, skipped = heads == 0 ? 1 : 0;
    const size_t batch = list->call->output.view.batch_count;
    if (!map->top_k) {
        add(list, output, batch, shape + skipped, 3 - skipped);
        return;
    }
    for (const attend_output *m = output->members; m->name != NULL; m++)
        add(list, m, batch, shape + skipped, 3 - skipped);
}

static void add_weights(listing *list, const attend_request *request) {
    const size_t heads = list->call->output.view.head_count;
    /* With a view, the mean has a dimension of one head. */
    add_map(list, &attend_outputs[OUTPUT_WEIGHTS],
            !request->average_attn_weights ? heads
            : request->view.present        ? 1
                                           : 0);
}

static void list_arrays(listing *list, const attend_request *request) {
    for (size_t n = 0; attend_outputs[n].name != NULL; n++) {
        const attend_output *const output = &attend_outputs[n];
        if (!output_asked(request, n))
            continue;
        if (n == OUTPUT_WEIGHTS)
            add_weights(list, request);
        else if (output->is_map)
            add_map(list, output, list->call->output.view.head_count);
        else if (output->members == NULL)
            add_array(list, output);
        else
            for (const attend_output *m = output->members; m->name != NULL; m++)
                add_array(list, m);
    }
}

/* A result that is kept has its weights, whether the answer has them or not. */
static void list_withheld(listing *list, const attend_request *request) {
    const size_t count = list->call->array_count;
    if (!request->keep || request->need_weights || request->head_output.present)
        return;
    add_weights(list, request);
    list->call->withheld_count = list->call->array_count - count;
    list->call->array_count = count;
}

/* Memory for an array, whose size is known not to overflow. An empty one takes none, though it counts.
 */
static void *allocate(const attend_array *array, attn_arena *arena) {
    size_t numbers;
    return attn_multiply_all(array->shape, array->rank, &numbers)
               ? attn_arena_array(arena, numbers, sizeof(float))
               : NULL;
}

problem_code outputs_allocate(const attend_request *request, const view_shape *map, size_t max_answer,
                              attn_arena *arena, attend_call *call, problem *p) {
    listing list = {.call = call, .map = map};
    size_t bytes, left = max_answer;
    list_arrays(&list, request);
    for (size_t i = 0; i < call->array_count; i++) {
        const attend_array *array = &call->arrays[i];
        if (!shape_bytes(array->shape, array->rank, &bytes) || bytes > left)
            return problem_set(p, PROBLEM_TOO_LARGE,
                               "the answer's tensors would be larger than the %zu bytes that --max-answer "
                               "allows, counted up to %s %s",
                               max_answer, array->name, shape_show(array->shape, array->rank).text);
        left -= bytes;
    }
    for (size_t i = 0; i < call->array_count; i++) {
        void *data = allocate(&call->arrays[i], arena);
        if (data == NULL)
            return problem_from_core(p, attn_arena_failure(arena), NULL);
        call->arrays[i].data = data;
        memcpy((char *)&call->output + list.offsets[i], &data, sizeof data);
    }
    list_withheld(&list, request);
    return PROBLEM_NONE;
}

problem_code outputs_allocate_withheld(attend_call *call, attn_arena *arena, problem *p) {
    for (size_t i = 0; i < call->withheld_count; i++) {
        attend_array *const array = &call->arrays[call->array_count + i];
        size_t bytes;
        void *data = shape_bytes(array->shape, array->rank, &bytes) ? allocate(array, arena) : NULL;
        if (data == NULL)
            return problem_from_core(p, attn_arena_failure(arena), NULL);
        array->data = data;
        if (array->is_int32)
            call->output.weights.indices = data;
        else
            call->output.weights.values = data;
    }
    return PROBLEM_NONE;
}
