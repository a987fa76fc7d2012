/* A view of attn_weights and scores is the part of the whole that it says, bit for bit: held against a plain
 * recomputation from the whole. */
#include "tests/service/layers.h"

#include <float.h>
#include <math.h>

enum { B = 2, H = 4, MOST_KEYS = 320 };

/* L, S and S+ of the requests at hand. */
static size_t queries, keys, all_keys;

/* What a random view says. */
typedef struct {
    size_t batch[B], heads[H], batch_count, head_count;
    size_t from[2], to[2]; /* of rows and columns */
    size_t size[2];        /* 0: not pooled */
    int pool;              /* place in the names, or -1 for none */
    size_t top_k;          /* 0: not asked for */
    bool average;
} view;

static const char *const pools[] = {"max", "mean", "sum"};

/* The first `count` of these are a random choice out of n. */
static size_t choose(size_t *items, size_t n, uint64_t *seed) {
    for (size_t i = 0; i < n; i++) {
        const size_t j = random_below(seed, i + 1);
        items[i] = items[j];
        items[j] = i;
    }
    return 1 + random_below(seed, n);
}

static json_t *list(const size_t *items, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_integer((json_int_t)items[i]));
    return array;
}

/* Draws a view; each part is left out now and then. */
static json_t *draw(view *v, uint64_t *seed) {
    static const char *const names[] = {"rows", "cols"};
    const size_t ends[] = {queries, all_keys};
    json_t *object = json_object();
    *v = (view){.batch_count = B, .head_count = H, .pool = -1, .average = random_below(seed, 2) == 0};
    for (size_t i = 0; i < H; i++)
        v->batch[i % B] = i % B, v->heads[i] = i;
    if (random_below(seed, 2) == 0) {
        v->batch_count = choose(v->batch, B, seed);
        json_object_set_new(object, "batch", list(v->batch, v->batch_count));
    }
    if (random_below(seed, 2) == 0) {
        v->head_count = choose(v->heads, H, seed);
        json_object_set_new(object, "heads", list(v->heads, v->head_count));
    }
    for (size_t n = 0; n < 2; n++) {
        v->to[n] = ends[n];
        if (random_below(seed, 3) == 0)
            continue;
        v->from[n] = random_below(seed, ends[n]);
        v->to[n] = v->from[n] + 1 + random_below(seed, ends[n] - v->from[n]);
        json_object_set_new(object, names[n], list((size_t[]){v->from[n], v->to[n]}, 2));
    }
    const size_t kind = random_below(seed, 3);
    if (kind == 1) {
        v->top_k = 1 + random_below(seed, all_keys < 20 ? all_keys + 3 : 20);
        json_object_set_new(object, "top_k", json_integer((json_int_t)v->top_k));
    }
    if (kind == 2) {
        v->size[0] = 1 + random_below(seed, queries + 3);
        v->size[1] = 1 + random_below(seed, all_keys + 3);
        json_object_set_new(object, "size", list(v->size, 2));
        v->pool = (int)random_below(seed, 4) - 1;
        if (v->pool >= 0)
            json_object_set_new(object, "pool", json_string(pools[v->pool]));
    }
    return object;
}

/* ---- The plain recomputation ---- */

/* The whole of attn_weights or scores, [B, H, L, S+]; the caller frees it. */
static float *floats(const json_t *array) {
    const size_t count = B * H * queries * all_keys;
    double *numbers = malloc(count * sizeof *numbers);
    float *whole = malloc(count * sizeof *whole);
    cr_assert_eq(flatten(array, numbers), count);
    for (size_t i = 0; i < count; i++)
        whole[i] = (float)numbers[i];
    free(numbers);
    return whole;
}

static float whole_at(const float *whole, size_t b, size_t h, size_t i, size_t j) {
    return whole[((b * H + h) * queries + i) * all_keys + j];
}

/* One cell of the window: of one head (number `head` of the view), or the mean of all heads of the view,
 * which are added up in ascending order. */
static float cell(const view *v, const float *whole, bool average, size_t batch, size_t head, size_t row,
                  size_t column) {
    const size_t b = v->batch[batch], i = v->from[0] + row, j = v->from[1] + column;
    if (!average)
        return whole_at(whole, b, v->heads[head], i, j);
    float sum = 0;
    for (size_t h = 0; h < H; h++)
        for (size_t n = 0; n < v->head_count; n++)
            if (v->heads[n] == h)
                sum += whole_at(whole, b, h, i, j);
    return sum / (float)v->head_count;
}

/* One bin of the pooled window. */
static float bin(const view *v, const float *whole, bool average, size_t batch, size_t head, const size_t *n,
                 const size_t *bins) {
    size_t from[2], to[2];
    double sum = 0, most = -DBL_MAX;
    for (size_t axis = 0; axis < 2; axis++) {
        const size_t length = v->to[axis] - v->from[axis];
        from[axis] = n[axis] * length / bins[axis];
        to[axis] = (n[axis] + 1) * length / bins[axis];
    }
    for (size_t i = from[0]; i < to[0]; i++)
        for (size_t j = from[1]; j < to[1]; j++) {
            const double value = (double)cell(v, whole, average, batch, head, i, j);
            sum += value;
            most = value > most ? value : most;
        }
    const size_t cells = (to[0] - from[0]) * (to[1] - from[1]);
    return (float)(v->pool <= 0 ? most : v->pool == 1 ? sum / (double)cells : sum);
}

static bool is(const json_t *number, float value) {
    const float found = (float)json_number_value(number);
    /* a mean of small weights may be smaller than what a pass counts */
    const bool is_flushed = fabsf(value) < FLT_MIN && found == 0;
    return json_is_number(number) && (is_flushed || memcmp(&found, &value, sizeof value) == 0);
}

/* A row of values and one of absolute key indices: the largest first, and of equals the first one. */
static void check_largest(const view *v, const float *whole, bool average, bool are_weights, const size_t *at,
                          const json_t *values, const json_t *indices) {
    const size_t columns = v->to[1] - v->from[1], k = v->top_k < columns ? v->top_k : columns;
    bool taken[MOST_KEYS] = {false};
    cr_assert(json_array_size(values) == k && json_array_size(indices) == k);
    for (size_t n = 0; n < k; n++) {
        size_t best = columns;
        for (size_t j = columns; j-- > 0;)
            if (!taken[j] && (best == columns || cell(v, whole, average, at[0], at[1], at[2], j) >=
                                                     cell(v, whole, average, at[0], at[1], at[2], best)))
                best = j;
        const float value = cell(v, whole, average, at[0], at[1], at[2], best);
        taken[best] = true;
        cr_assert(is(json_array_get(values, n), value));
        cr_assert_eq(json_integer_value(json_array_get(indices, n)),
                     are_weights && value == 0 ? -1 : (json_int_t)(v->from[1] + best));
    }
}

/* What the view shows of attn_weights or scores. */
static void check(const view *v, const float *whole, bool average, bool are_weights, const json_t *found) {
    const json_t *values = v->top_k != 0 ? json_object_get(found, "values") : found;
    const json_t *indices = json_object_get(found, "indices");
    const size_t rows = v->to[0] - v->from[0], columns = v->to[1] - v->from[1],
                 heads = average ? 1 : v->head_count;
    const size_t bins[] = {v->size[0] < rows ? v->size[0] : rows,
                           v->size[1] < columns ? v->size[1] : columns};
    const bool pooled = v->size[0] != 0;
    cr_assert_eq(json_array_size(values), v->batch_count);
    for (size_t b = 0; b < v->batch_count; b++) {
        cr_assert_eq(json_array_size(json_array_get(values, b)), heads);
        for (size_t h = 0; h < heads; h++) {
            const json_t *map = json_array_get(json_array_get(values, b), h);
            const json_t *places = json_array_get(json_array_get(indices, b), h);
            cr_assert_eq(json_array_size(map), pooled ? bins[0] : rows);
            for (size_t i = 0; i < json_array_size(map); i++) {
                const json_t *row = json_array_get(map, i);
                if (v->top_k != 0) {
                    check_largest(v, whole, average, are_weights, (size_t[]){b, h, i}, row,
                                  json_array_get(places, i));
                    continue;
                }
                cr_assert_eq(json_array_size(row), pooled ? bins[1] : columns);
                for (size_t j = 0; j < json_array_size(row); j++)
                    cr_assert(is(json_array_get(row, j),
                                 pooled ? bin(v, whole, average, b, h, (size_t[]){i, j}, bins)
                                        : cell(v, whole, average, b, h, i, j)),
                              "[%zu][%zu][%zu][%zu]", b, h, i, j);
            }
        }
    }
}

static json_t *draw_request(uint64_t *seed) {
    json_t *request = json_object();
    json_object_set_new(request, "query", random_array((size_t[]){B, queries, 8}, 3, seed));
    json_object_set_new(request, "key", random_array((size_t[]){B, keys, 8}, 3, seed));
    json_t *mask = random_mask(queries, keys, seed);
    if (mask != NULL)
        json_object_set_new(request, "attn_mask", mask);
    json_object_set_new(request, "is_causal", json_boolean(random_below(seed, 2) == 0));
    json_object_set_new(request, "query_offset", json_integer((json_int_t)random_below(seed, 8)));
    if (random_below(seed, 3) == 0) {
        json_object_set_new(request, "training", json_true());
        json_object_set_new(request, "seed", json_integer((json_int_t)random_below(seed, 1000)));
    }
    return request;
}

/* Draws a view of a request and holds it against the whole. */
static void check_a_view(const server *s, const char *path, const json_t *request, const json_t *whole,
                         const float *weights, const float *scores, uint64_t *seed) {
    static const char *const asked[] = {"'need_weights':true", "'return':['scores']",
                                        "'need_weights':true,'return':['stats','scores','lse']"};
    const size_t kind = random_below(seed, 3);
    view v;
    json_t *with_view = json_copy((json_t *)(uintptr_t)request);
    json_object_set_new(with_view, "view", draw(&v, seed));
    json_object_set_new(with_view, "average_attn_weights", json_boolean(v.average));
    json_t *found = post_with(s, path, with_view, 200, asked[kind]);
    cr_assert(json_equal(json_object_get(found, "output"), json_object_get(whole, "output")));
    if (kind != 1)
        check(&v, weights, v.average, true, json_object_get(found, "attn_weights"));
    if (kind != 0)
        check(&v, scores, false, false, json_object_get(found, "scores"));
    if (kind == 2) {
        cr_assert(json_equal(json_object_get(found, "lse"), json_object_get(whole, "lse")));
        cr_assert(json_equal(json_object_get(found, "stats"), json_object_get(whole, "stats")));
    }
    json_decref(found);
    json_decref(with_view);
}

/* Small maps, and a few that are larger than the blocks in which they are computed. */
Test(views, are_parts_of_the_whole) {
    uint64_t seed = test_seed("are_parts_of_the_whole");
    char *folder = new_folder();
    write_layer(folder, "rotated", ROTATED, &seed);
    write_layer(folder, "sloped", SLOPED, &seed);
    server s =
        server_start("--model", in_folder(folder, "rotated"), "--model", in_folder(folder, "sloped"), NULL);
    for (int round = 0; round < 14; round++) {
        const char *path = round % 2 == 0 ? "/attend" : "/attend/sloped";
        queries = round < 12 ? 11 : 90;
        keys = round < 12 ? 13 : 300;
        all_keys = keys + 2;
        json_t *request = draw_request(&seed);
        json_t *whole =
            post_with(&s, path, request, 200, "'need_weights':true,'return':['scores','lse','stats']");
        float *weights = floats(json_object_get(whole, "attn_weights"));
        float *scores = floats(json_object_get(whole, "scores"));
        for (int n = 0; n < (round < 12 ? 25 : 8); n++)
            check_a_view(&s, path, request, whole, weights, scores, &seed);
        free(weights);
        free(scores);
        json_decref(whole);
        json_decref(request);
    }
    remove_folder(folder);
    cr_assert_eq(server_stop(&s), 0);
}

/* A query of zeros likes all keys alike. */
Test(views, of_equals_show_the_first) {
    server s = server_start("--model", "init:embed_dim=8,num_heads=2,bias=false", NULL);
    char body[600];
    const char *row = "[1,2,3,4,5,6,7,8]";
    snprintf(body, sizeof body,
             "{\"query\":[[0,0,0,0,0,0,0,0]],\"key\":[%s,%s,%s,%s,%s],\"return\":[\"scores\"],\"need_"
             "weights\":true,"
             "\"view\":{\"cols\":[1,5],\"top_k\":3}}",
             row, row, row, row, row);
    answer a = http_request(&s, "/attend", body, NULL);
    cr_assert_eq(a.status, 200, "%s", a.body);
    const char *first = strstr(a.body, "\"indices\":[[[1,2,3]],[[1,2,3]]]}");
    cr_assert(first != NULL && strstr(first + 1, "\"indices\":[[[1,2,3]],[[1,2,3]]]}") != NULL, "%s", a.body);
    cr_assert_eq(server_stop(&s), 0);
}

/* Two rows of a map that --max-answer would not let through, and --max-memory not hold. */
Test(views, of_two_rows_do_not_need_the_whole) {
    server s = server_start("--model", "init:embed_dim=8,num_heads=2", "--max-answer", "2000000",
                            "--max-memory", "30000000", NULL);
    char *body = make_request(1, 4096, 8, "\"need_weights\":true,\"view\":{\"rows\":[4094,4096]},", 3);
    answer a = http_request(&s, "/attend", body, NULL);
    cr_assert_eq(a.status, 200, "%.300s", a.body);
    body = make_request(1, 4096, 8, "\"need_weights\":true,", 3);
    a = http_request(&s, "/attend", body, NULL);
    cr_assert_eq(a.status, 413, "%.300s", a.body);
    cr_assert_not_null(strstr(a.body, "--max-answer"), "%s", a.body);
    cr_assert_eq(server_stop(&s), 0);
}
