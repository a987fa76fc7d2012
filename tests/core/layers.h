/* layers.h: random layers and inputs for tests, from a seed. */
#ifndef TESTS_LAYERS_H
#define TESTS_LAYERS_H

#include "core/attention.h"
#include "core/kernels/choose.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* What layers are packed for; NULL: the best of this CPU. */
static const attn_kernels *kernels_under_test;

/* The next set of kernels that this CPU has, from *names on, which is what attn_kernels_names says; NULL
 * after the last. */
static inline const attn_kernels *next_kernels(const char **names) {
    char name[32];
    *names += strspn(*names, ", ");
    const size_t length = strcspn(*names, ", ");
    snprintf(name, sizeof name, "%.*s", (int)length, *names);
    *names += length;
    return length == 0 ? NULL : attn_kernels_named(name);
}

/* What set-ups and results point to, until the round of a test ends. */
static void **kept_blocks;
static attn_packed *kept_weights;
static size_t kept_count, kept_weight_count;

static inline void *keep(void *block) {
    cr_assert_not_null(block);
    kept_blocks = realloc(kept_blocks, (kept_count + 1) * sizeof *kept_blocks);
    return kept_blocks[kept_count++] = block;
}

/* Frees the blocks that have been kept since there were so many. */
static inline void free_since(size_t count) {
    while (kept_count > count)
        free(kept_blocks[--kept_count]);
}

static inline void free_round(void) {
    free_since(0);
    while (kept_weight_count > 0)
        attn_packed_free(&kept_weights[--kept_weight_count]);
}

/* A test that runs once for each set of kernels that this CPU has. */
#define TEST_OF_KERNELS(suite, test)                                                                         \
    static void suite##_##test(void);                                                                        \
    Test(suite, test) {                                                                                      \
        char list[256];                                                                                      \
        const char *names = list;                                                                            \
        snprintf(list, sizeof list, "%s", attn_kernels_names());                                             \
        while ((kernels_under_test = next_kernels(&names)) != NULL) {                                        \
            fprintf(stderr, "%s: kernels %s\n", #test, kernels_under_test->name);                            \
            suite##_##test();                                                                                \
            free_round();                                                                                    \
        }                                                                                                    \
    }                                                                                                        \
    static void suite##_##test(void)

/* A layer and an input. */
typedef struct {
    attn_layer layer;
    attn_input input;
} setup;

static inline float *numbers(size_t count, float scale, uint64_t *seed) {
    float *array = keep(malloc((count + 1) * sizeof *array));
    for (size_t i = 0; i < count; i++)
        array[i] = scale * random_float(seed);
    return array;
}

/* Packs these numbers as a weight [width, depth] of the layer, in the place of what may be there. */
static inline void pack(setup *s, attn_packed *packed, size_t width, size_t depth, const float *from) {
    cr_assert(attn_pack(packed, s->layer.kernels, s->layer.config.precision, width, depth, from));
    kept_weights = realloc(kept_weights, (kept_weight_count + 1) * sizeof *kept_weights);
    kept_weights[kept_weight_count++] = *packed;
}

static inline void pack_random(setup *s, attn_packed *packed, size_t width, size_t depth, float scale,
                               uint64_t *seed) {
    attn_layer *w = &s->layer;
    if (w->kernels == NULL)
        w->kernels = kernels_under_test != NULL ? kernels_under_test : attn_kernels_named("auto");
    pack(s, packed, width, depth, numbers(width * depth, scale, seed));
}

static inline float *mask_numbers(size_t count, uint64_t *seed) {
    float *mask = numbers(count, 2, seed);
    const int kind = (int)random_below(seed, 3); /* boolean; numbers; numbers that exclude too */
    for (size_t i = 0; i < count; i++) {
        const bool excluded = random_below(seed, 3) == 0;
        if (kind != 1)
            mask[i] = excluded ? -INFINITY : kind == 0 ? 0 : mask[i];
    }
    return mask;
}

/* The arrays that the configuration asks for, and an input. */
static inline void fill_setup(setup *s, uint64_t *seed) {
    attn_layer *w = &s->layer;
    attn_input *in = &s->input;
    const attn_config *c = &w->config;
    const size_t E = c->embed_dim, q = c->num_heads * c->head_dim, kv = c->num_kv_heads * c->head_dim;
    const float a = (float)sqrt(3.0 / (double)E);
    pack_random(s, &w->q_weight, q, E, a, seed);
    pack_random(s, &w->k_weight, kv, c->kdim, a, seed);
    pack_random(s, &w->v_weight, kv, c->vdim, a, seed);
    pack_random(s, &w->o_weight, E, q, a, seed);
    if (c->bias) {
        w->q_bias = numbers(q, 0.5f, seed);
        w->k_bias = numbers(kv, 0.5f, seed);
        w->v_bias = numbers(kv, 0.5f, seed);
        w->o_bias = numbers(E, 0.5f, seed);
    }
    if (c->add_bias_kv) {
        w->bias_k = numbers(kv, 1, seed);
        w->bias_v = numbers(kv, 1, seed);
    }
    if (c->qk_norm) {
        w->q_norm = numbers(c->head_dim, 1, seed);
        w->k_norm = numbers(c->head_dim, 1, seed);
    }
    w->sinks = c->sinks ? numbers(c->num_heads, 2, seed) : NULL;
    w->scale = c->scale_given ? numbers(c->num_heads, 0.5f, seed) : NULL;
    w->alibi_slopes = c->alibi ? numbers(c->num_heads, 0.2f, seed) : NULL;
    if (c->relative_bias.buckets != 0)
        w->relative_bias = numbers(c->relative_bias.buckets * c->num_heads, 1, seed);
    if (c->rope.scaling == ATTN_ROPE_LONGROPE) {
        float *divisors = numbers(c->rope.dims, 1, seed);
        for (size_t n = 0; n < c->rope.dims; n++)
            divisors[n] += 2;
        w->rope_short = divisors;
        w->rope_long = divisors + c->rope.dims / 2;
    }
    in->query = numbers(in->B * in->L * E, 2, seed);
    in->key = numbers(in->B * in->S * c->kdim, 2, seed);
    in->value = numbers(in->B * in->S * c->vdim, 2, seed);
}

/* A layer as torch.nn.MultiheadAttention has it, without extra keys. */
static inline setup make_setup(size_t E, size_t H, size_t B, size_t L, size_t S, uint64_t *seed) {
    setup s = {.layer.config = {.embed_dim = E, .num_heads = H, .num_kv_heads = H, .head_dim = E / H},
               .input = {.B = B, .L = L, .S = S, .mask_B = 1, .mask_H = 1}};
    attn_config *c = &s.layer.config;
    c->bias = random_below(seed, 2) == 0;
    c->kdim = random_below(seed, 3) == 0 ? 1 + random_below(seed, 40) : E;
    c->vdim = random_below(seed, 3) == 0 ? 1 + random_below(seed, 40) : E;
    fill_setup(&s, seed);
    return s;
}

static inline void add_random_masks(setup *s, uint64_t *seed) {
    attn_input *in = &s->input;
    in->is_causal = random_below(seed, 3) == 0;
    if (random_below(seed, 2) == 0) {
        in->mask_B = random_below(seed, 2) == 0 ? 1 : in->B;
        in->mask_H = random_below(seed, 2) == 0 ? 1 : s->layer.config.num_heads;
        in->attn_mask = mask_numbers(in->mask_B * in->mask_H * in->L * in->S, seed);
    }
    if (random_below(seed, 2) == 0)
        in->key_padding_mask = mask_numbers(in->B * in->S, seed);
}

static inline void add_random_rope(attn_config *c, uint64_t *seed) {
    c->rope = (attn_rope){
        .style = random_below(seed, 2) == 0 ? ATTN_ROPE_HALF : ATTN_ROPE_INTERLEAVED,
        .scaling = (attn_rope_scaling)random_below(seed, 6),
        .dims = 2 + 2 * random_below(seed, c->head_dim / 2),
        .theta = 10000,
        .factor = 4,
        .original_length = 16,
        .magnitude = random_below(seed, 2) == 0 ? 1 : 1.25,
        .low_frequency_factor = 1,
        .high_frequency_factor = 4,
        .beta_fast = 32,
        .beta_slow = 1,
        .truncate = random_below(seed, 2) == 0,
    };
}

/* A layer with any of the options, several at once, and an input with any masks; windows and offsets go with
 * numbers of queries and keys below `most`. */
static inline setup make_setup_of(size_t D, size_t L, size_t S, size_t most, uint64_t *seed) {
    const size_t Hkv = 1 + random_below(seed, 3);
    const size_t H = Hkv * (1 + random_below(seed, 3));
    const bool even = D <= 12 && random_below(seed, 2) == 0; /* E = H * D */
    setup s = {.layer.config = {.embed_dim = even ? H * D : 1 + random_below(seed, 40),
                                .num_heads = H,
                                .num_kv_heads = Hkv,
                                .head_dim = D},
               .input = {.B = random_below(seed, 3), .L = L, .S = S, .mask_B = 1, .mask_H = 1}};
    attn_config *c = &s.layer.config;
    c->kdim = random_below(seed, 3) == 0 ? 1 + random_below(seed, 40) : c->embed_dim;
    c->vdim = random_below(seed, 3) == 0 ? 1 + random_below(seed, 40) : c->embed_dim;
    c->bias = random_below(seed, 2) == 0;
    c->add_bias_kv = random_below(seed, 3) == 0;
    c->add_zero_attn = random_below(seed, 3) == 0;
    c->causal = random_below(seed, 3) == 0;
    c->sliding_window = random_below(seed, 3) == 0 ? 1 + random_below(seed, 2 * most / 5) : 0;
    c->softcap = random_below(seed, 3) == 0 ? 1 + 5 * (double)random_below(seed, 3) : 0;
    c->scale_given = random_below(seed, 3) == 0;
    c->alibi = random_below(seed, 4) == 0;
    c->qk_norm = random_below(seed, 4) == 0;
    c->qk_norm_eps = 0.01; /* a head near zero would make of a rounding error a large one */
    c->sinks = random_below(seed, 3) == 0;
    c->precision = (attn_precision)random_below(seed, ATTN_PRECISIONS);
    if (random_below(seed, 3) == 0 && D >= 2)
        add_random_rope(c, seed);
    if (random_below(seed, 4) == 0)
        c->relative_bias = (attn_relative_bias){8, 20, random_below(seed, 2) == 0};
    fill_setup(&s, seed);
    add_random_masks(&s, seed);
    s.input.query_offset = random_below(seed, 2) == 0 ? 0 : random_below(seed, 4 * most / 3);
    s.input.key_offset = random_below(seed, 2) == 0 ? 0 : random_below(seed, 4 * most / 3);
    s.input.omit_extra = random_below(seed, 4) == 0;
    return s;
}

/* Heads of up to `most_D` numbers, and fewer than `most` queries and keys. */
static inline setup make_setup_within(size_t most_D, size_t most, uint64_t *seed) {
    const size_t D = 1 + random_below(seed, most_D), L = random_below(seed, most);
    return make_setup_of(D, L, random_below(seed, most), most, seed);
}

static inline setup make_any_setup(uint64_t *seed) {
    return make_setup_within(12, 30, seed);
}

static inline size_t keys_of(const setup *s) {
    return attn_keys_with_extra(&s->layer.config, s->input.S, s->input.omit_extra);
}

/* Runs the pass; out->view is filled in, unless its rows are. */
static inline attn_status forward(const setup *s, attn_output *out) {
    attn_arena *work = attn_arena_new(NULL);
    attn_error error;
    if (out->view.row_to == 0) {
        const bool average = out->view.average;
        out->view = attn_view_all(&s->layer.config, &s->input);
        out->view.average = average;
    }
    const attn_status status = attn_forward(&s->layer, &s->input, out, work, NULL, &error);
    attn_arena_free(work);
    return status;
}

/* Room for `count` numbers, none of them a number. */
static inline float *nothing_yet(size_t count) {
    float *array = keep(malloc((count + 1) * sizeof *array));
    for (size_t i = 0; i < count; i++)
        array[i] = NAN;
    return array;
}

static inline int32_t *no_indices_yet(size_t count) {
    return (int32_t *)(void *)nothing_yet(count);
}

static inline size_t outputs_of(const setup *s) {
    return s->input.B * s->input.L * s->layer.config.embed_dim;
}

/* The rows of all maps. */
static inline size_t rows_of(const setup *s) {
    return s->input.B * s->layer.config.num_heads * s->input.L;
}

/* Everything that can be asked for, with the whole maps. */
static inline attn_output everything(const setup *s) {
    const attn_config *c = &s->layer.config;
    const size_t rows = rows_of(s), keys = keys_of(s);
    const size_t kv = s->input.B * c->num_kv_heads * keys * c->head_dim;
    return (attn_output){
        .output = nothing_yet(outputs_of(s)),
        .q = nothing_yet(rows * c->head_dim),
        .k = nothing_yet(kv),
        .v = nothing_yet(kv),
        .lse = nothing_yet(rows),
        .entropy = nothing_yet(rows),
        .head_output = nothing_yet(rows * c->head_dim),
        .stats = {nothing_yet(rows), no_indices_yet(rows), nothing_yet(rows), nothing_yet(rows),
                  nothing_yet(rows), nothing_yet(s->input.B * c->num_heads * keys)},
        .weights.values = nothing_yet(rows * keys),
        .scores.values = nothing_yet(rows * keys),
        .view = attn_view_all(c, &s->input),
    };
}

/* The same, computed. */
static inline attn_output compute_everything(const setup *s) {
    attn_output o = everything(s);
    cr_assert_eq(forward(s, &o), ATTN_OK);
    return o;
}

#endif
