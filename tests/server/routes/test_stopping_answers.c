/* No phase of a request goes on for long after its deadline: whatever an answer is written from, the control
 * is asked at least every 50 milliseconds, and what it says is obeyed. */
#include "server/attend/kept_copy.h"
#include "server/attend/outputs.h"
#include "server/picture/picture.h"
#include "server/wire/json/json.h"
#include "server/wire/oip/oip.h"
#include "server/wire/safetensors/safetensors.h"
#include "tests/server/requests.h"
#include "tests/server/routes/stopping.h"

static problem trouble;

/* ---- Answers ---- */

/* A call whose answer is one array of these dimensions. */
typedef struct {
    attn_model model;
    attend_call call;
} made;

static made make_call(const size_t *shape, size_t rank, bool is_int32) {
    made m = {.model.name = "m"};
    size_t count = 1;
    for (size_t n = 0; n < rank; n++)
        count *= shape[n];
    m.call.array_count = 1;
    m.call.arrays[0] = (attend_array){.name = "output", .is_int32 = is_int32, .rank = rank};
    memcpy(m.call.arrays[0].shape, shape, rank * sizeof *shape);
    m.call.arrays[0].data = take(count, sizeof(float));
    return m;
}

typedef bool write_function(const attend_call *call, wire_buffer *out);

static bool write_json(const attend_call *call, wire_buffer *out) {
    const attend_request asked = {.id = NULL};
    return json_write_answer(&asked, call, out);
}

static bool write_base64(const attend_call *call, wire_buffer *out) {
    const attend_request asked = {.encoding = 1 + TENSORS_AS_BASE64};
    return json_write_answer(&asked, call, out);
}

static bool write_safetensors(const attend_call *call, wire_buffer *out) {
    const attend_request asked = {.id = NULL};
    return safetensors_write_answer(&asked, call, out);
}

static bool write_oip(const attend_call *call, wire_buffer *out) {
    const attend_request asked = {.id = NULL};
    const oip_options none = {.timeout = {false, 0}};
    size_t json;
    return oip_write_answer(&asked, call, &none, out, &json);
}

static bool write_oip_binary(const attend_call *call, wire_buffer *out) {
    const attend_request asked = {.id = NULL};
    const oip_options binary = {.binary_output = true};
    size_t json;
    return oip_write_answer(&asked, call, &binary, out, &json);
}

Test(stopping, answers) {
    static const struct {
        const char *name;
        write_function *write;
    } formats[] = {{"JSON", write_json},
                   {"base64", write_base64},
                   {"safetensors", write_safetensors},
                   {"OIP", write_oip},
                   {"OIP, binary", write_oip_binary}};
    const size_t many = BODY / 4;
    const size_t shapes[][3] = {{1, 1, many}, {1, many, 1}, {many, 1, 0}, {many / 16, 16, 1}};
    for (size_t n = 0; n < sizeof formats / sizeof formats[0]; n++)
        for (size_t i = 0; i < 2 * sizeof shapes / sizeof shapes[0]; i++) {
            made m = make_call(shapes[i / 2], 3, i % 2 == 1);
            looks counted = {0}, halfway = {0};
            attn_control control = {looks_ask, &counted};
            wire_buffer out = {.arena = arena, .control = &control};
            m.call.model = &m.model;
            looks_mark(&counted);
            cr_expect(formats[n].write(&m.call, &out));
            looks_mark(&counted);
            cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "%s, %zu: nobody looked for %.1f ms",
                         formats[n].name, i, counted.longest);
            cr_expect_geq(counted.looks, out.length >> 21, "%s, %zu: %zu looks", formats[n].name, i,
                          counted.looks);
            attn_arena_release(arena, out.bytes);
            halfway.stops_at = counted.looks / 2;
            control.context = &halfway;
            out = (wire_buffer){.arena = arena, .control = &control};
            cr_expect(counted.looks < 2 || !formats[n].write(&m.call, &out), "%s, %zu", formats[n].name, i);
            cr_expect(counted.looks < 2 || halfway.looks == halfway.stops_at, "%s, %zu", formats[n].name, i);
            attn_arena_release(arena, out.bytes);
            attn_arena_release(arena, (void *)(uintptr_t)m.call.arrays[0].data);
        }
}

/* ---- Kept results, and pictures ---- */

typedef struct {
    attn_model model;
    attend_request request;
    attend_call call;
    picture_options options;
} scene;

/* Weights of H heads with L queries and S keys, and a mask of booleans; zeros, all of them. */
static void begin(scene *s, size_t H, size_t L, size_t S, bool picture) {
    problem p;
    *s = (scene){.model.name = "m"};
    s->model.layer.config =
        (attn_config){.embed_dim = H, .num_heads = H, .num_kv_heads = H, .head_dim = 1, .kdim = H, .vdim = H};
    s->request.query = (request_tensor){.present = true, .rank = 2, .shape = {L, H}};
    s->request.query.data = take(L * H, sizeof(float));
    s->request.key = (request_tensor){.present = true, .rank = 2, .shape = {S, H}};
    s->request.key.data = take(S * H, sizeof(float));
    s->request.attn_mask = (request_tensor){.present = true, .boolean = true, .rank = 2, .shape = {L, S}};
    s->request.attn_mask.data = take(L * S, sizeof(float));
    s->request.key_padding_mask = (request_tensor){.present = true, .rank = 1, .shape = {S}};
    s->request.key_padding_mask.data = take(S, sizeof(float));
    s->request.need_weights = true;
    if (picture)
        cr_assert_eq(picture_plan(&s->options, &s->model, &s->request, arena, &p), PROBLEM_NONE, "%s",
                     p.text);
    cr_assert_eq(request_resolve(&s->request, &s->model, SIZE_MAX, arena, &s->call, &p), PROBLEM_NONE, "%s",
                 p.text);
    size_t bytes;
    const attend_array *weights = &s->call.arrays[1];
    cr_assert(shape_bytes(weights->shape, weights->rank, &bytes));
    memset(s->call.output.weights.values, 0, bytes);
}

Test(stopping, kept_results) {
    scene s;
    looks counted = {0}, halfway = {.stops_at = 20};
    attn_control control = {looks_ask, &counted};
    begin(&s, 2, 1024, BODY / 2048, false);
    looks_mark(&counted);
    kept_result *kept = kept_copy(&s.request, &s.call, &control);
    looks_mark(&counted);
    cr_assert_not_null(kept);
    cr_expect_gt(counted.looks, BODY >> 21);
    cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "copying: nobody looked for %.1f ms", counted.longest);
    control.context = &halfway;
    cr_expect_null(kept_copy(&s.request, &s.call, &control));
    cr_expect_eq(halfway.looks, halfway.stops_at);

    counted = (looks){0};
    control.context = &counted;
    wire_buffer out = {.arena = arena, .control = &control};
    looks_mark(&counted);
    cr_expect(json_write_kept(kept, 0, 0, &out));
    looks_mark(&counted);
    cr_expect_gt(counted.looks, out.length >> 21);
    cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "writing: nobody looked for %.1f ms", counted.longest);

    attend_call shown;
    static const picture_heads heads[] = {PICTURE_HEADS_ALL, PICTURE_HEADS_MEAN, PICTURE_HEADS_MAX_OF};
    for (size_t n = 0; n < sizeof heads / sizeof heads[0]; n++) {
        s.options.heads = heads[n];
        counted = (looks){0};
        looks_mark(&counted);
        cr_expect_eq(
            picture_map_show(&s.options, &kept->request, &kept->call, &control, arena, &shown, &trouble),
            PROBLEM_NONE, "%s", trouble.text);
        looks_mark(&counted);
        cr_expect_gt(counted.looks, BODY >> 23);
        cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "%zu: nobody looked for %.1f ms", n, counted.longest);
        halfway = (looks){.stops_at = counted.looks / 2};
        const attn_control stop = {looks_ask, &halfway};
        cr_expect_eq(
            picture_map_show(&s.options, &kept->request, &kept->call, &stop, arena, &shown, &trouble),
            PROBLEM_DEADLINE_EXCEEDED);
    }
    free(kept);
}

/* A row of a picture may be of very many queries, which have very many keys. */
Test(stopping, pictures) {
    static const size_t sizes[][3] = {{1, 1 << 20, 8}, {1, 8, 1 << 20}, {64, 1, 4096}, {2, 2048, 2048}};
    for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
        scene s;
        looks counted = {0}, halfway = {0};
        attn_control control = {looks_ask, &counted};
        begin(&s, sizes[n][0], sizes[n][1], sizes[n][2], true);
        wire_buffer out = {.arena = arena, .control = &control};
        looks_mark(&counted);
        cr_expect(png_write_picture(&s.options, &s.call, &out), "%zu", n);
        looks_mark(&counted);
        cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "%zu: nobody looked for %.1f ms", n, counted.longest);
        halfway.stops_at = counted.looks / 2;
        control.context = &halfway;
        cr_expect_not(png_write_picture(&s.options, &s.call, &out), "%zu", n);
        cr_expect_eq(halfway.looks, halfway.stops_at);
    }
    /* Without a mask nothing is as large as the picture's work: many queries of a row, many columns. */
    scene s;
    looks counted = {0};
    const attn_control control = {looks_ask, &counted};
    begin(&s, 1, 4096, 4096, true);
    s.call.input.L = s.call.output.view.row_to = (size_t)1 << 20;
    s.call.output.view.pooled_rows = 1;
    s.call.output.view.pooled_cols = 2048;
    s.call.input.attn_mask = NULL;
    wire_buffer out = {.arena = arena, .control = &control};
    looks stopped = {.stops_at = 200};
    const attn_control stop = {looks_ask, &stopped};
    out.control = &stop;
    looks_mark(&stopped);
    cr_expect_not(png_write_picture(&s.options, &s.call, &out));
    looks_mark(&stopped);
    cr_expect_lt(stopped.longest, LONGEST_UNLOOKED, "nobody looked for %.1f ms", stopped.longest);
    cr_expect_eq(stopped.looks, stopped.stops_at);
}

/* A shape whose dimensions are large, one of them 0: each result counts for --max-answer, and takes nothing.
 */
Test(stopping, what_has_no_numbers_takes_no_memory) {
    attn_budget budget = {.limit = 1 << 20};
    attn_arena *small = attn_arena_new(&budget);
    scene s = {.model.name = "m"};
    s.model.layer.config =
        (attn_config){.embed_dim = 1, .num_heads = 1, .num_kv_heads = 1, .head_dim = 1, .kdim = 1, .vdim = 1};
    s.request.query = (request_tensor){.present = true, .rank = 3, .shape = {(size_t)1 << 24, 0, 1}};
    s.request.query.data = take(1, sizeof(float));
    s.request.returned = 1U << RETURN_LSE;
    cr_expect_eq(request_resolve(&s.request, &s.model, (size_t)128 << 20, small, &s.call, &trouble),
                 PROBLEM_NONE, "%s", trouble.text);
    cr_expect_eq(s.call.array_count, 2);
    cr_expect_lt(budget.used, 100000, "%zu bytes", (size_t)budget.used);
    cr_expect_eq(request_resolve(&s.request, &s.model, ((size_t)128 << 20) - 1, small, &s.call, &trouble),
                 PROBLEM_TOO_LARGE);
    attn_arena_free(small);
}
