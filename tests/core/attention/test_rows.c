/* A row has the same bits whether it is asked for by itself, with its offset, with some of its neighbours or
 * in the whole, and with or without keys that it may not see. */
#include "tests/core/layers.h"

/* What belongs to rows; a piece of it is at the same place in each array. */
typedef struct {
    attn_output out;
    size_t rows, keys; /* L, S+ */
} results;

static results room_for(const setup *s) {
    results r = {.out = everything(s), .rows = s->input.L, .keys = keys_of(s)};
    r.out.v = NULL; /* which no row has; a value that is not attended to may be beyond float32 */
    return r;
}

/* ---- The part of an input ---- */

/* Rows [from, to) of the queries, keys [0, S) of those of batch entry b. */
typedef struct {
    size_t b, from, to, S;
} piece;

/* The input of a piece, in arrays of its own where it is no part of the whole's. */
static setup piece_of(const setup *s, piece p) {
    const attn_config *c = &s->layer.config;
    const attn_input *in = &s->input;
    setup one = {.layer = s->layer, .input = *in};
    attn_input *to = &one.input;
    to->B = 1;
    to->L = p.to - p.from;
    to->S = p.S;
    to->query_offset = in->query_offset + p.from;
    to->query = in->query + (p.b * in->L + p.from) * c->embed_dim;
    to->key = in->key + p.b * in->S * c->kdim;
    to->value = in->value + p.b * in->S * c->vdim;
    if (in->key_padding_mask != NULL)
        to->key_padding_mask = in->key_padding_mask + p.b * in->S;
    to->mask_B = 1;
    if (in->attn_mask == NULL)
        return one;
    const size_t first = in->mask_B == 1 ? 0 : p.b * in->mask_H;
    float *mask = nothing_yet(in->mask_H * to->L * p.S);
    for (size_t n = 0; n < in->mask_H * to->L; n++)
        memcpy(mask + n * p.S, in->attn_mask + ((first + n / to->L) * in->L + p.from + n % to->L) * in->S,
               p.S * sizeof *mask);
    to->attn_mask = mask;
    return one;
}

/* ---- Comparing ---- */

static void same(const char *what, const setup *s, piece p, const void *whole, const void *part,
                 size_t bytes) {
    const attn_input *in = &s->input;
    cr_assert_eq(memcmp(whole, part, bytes), 0,
                 "other bits in %s: batch %zu, rows %zu to %zu of %zu, %zu of %zu keys, D %zu, %s", what, p.b,
                 p.from, p.to, in->L, p.S, in->S, s->layer.config.head_dim, s->layer.kernels->name);
}

static void same_rows(const setup *s, piece p, const results *whole, const results *part) {
    const attn_config *c = &s->layer.config;
    const attn_output *a = &whole->out, *b = &part->out;
    const size_t E = c->embed_dim, D = c->head_dim, rows = p.to - p.from, number = sizeof(float);
    same("the output", s, p, a->output + (p.b * whole->rows + p.from) * E, b->output, rows * E * number);
    for (size_t h = 0; h < c->num_heads; h++) {
        const size_t at = (p.b * c->num_heads + h) * whole->rows + p.from, to = h * rows;
        same("q", s, p, a->q + at * D, b->q + to * D, rows * D * number);
        same("the heads", s, p, a->head_output + at * D, b->head_output + to * D, rows * D * number);
        same("lse", s, p, a->lse + at, b->lse + to, rows * number);
        same("the entropy", s, p, a->entropy + at, b->entropy + to, rows * number);
        same("stats.max", s, p, a->stats.max + at, b->stats.max + to, rows * number);
        same("stats.first", s, p, a->stats.first + at, b->stats.first + to, rows * number);
        same("stats.self", s, p, a->stats.self + at, b->stats.self + to, rows * number);
        same("stats.previous", s, p, a->stats.previous + at, b->stats.previous + to, rows * number);
        if (part->keys == whole->keys) /* else an extra key has another index */
            same("stats.argmax", s, p, a->stats.argmax + at, b->stats.argmax + to, rows * sizeof(int32_t));
        for (size_t n = 0; n < rows; n++) {
            const size_t from = (at + n) * whole->keys, here = (to + n) * part->keys,
                         extra = part->keys - p.S;
            same("the weights", s, p, a->weights.values + from, b->weights.values + here, p.S * number);
            same("the scores", s, p, a->scores.values + from, b->scores.values + here, p.S * number);
            same("the extra keys' weights", s, p, a->weights.values + from + whole->keys - extra,
                 b->weights.values + here + p.S, extra * number);
        }
    }
}

static void check_piece(const setup *s, piece p, const results *whole) {
    const size_t before = kept_count;
    setup one = piece_of(s, p);
    results part = room_for(&one);
    cr_assert_eq(forward(&one, &part.out), ATTN_OK);
    same_rows(s, p, whole, &part);
    /* The output alone takes another way than with the weights. */
    attn_output plain = {.output = nothing_yet(one.input.L * s->layer.config.embed_dim)};
    cr_assert_eq(forward(&one, &plain), ATTN_OK);
    same("the output alone", s, p,
         whole->out.output + (p.b * whole->rows + p.from) * s->layer.config.embed_dim, plain.output,
         one.input.L * s->layer.config.embed_dim * sizeof(float));
    free_since(before);
}

/* How many keys rows before `to` may see for causality: the others make no difference, unless they make a
 * rotation that goes by the length another. */
static size_t keys_needed(const setup *s, size_t to) {
    const attn_input *in = &s->input;
    const attn_rope_scaling scaling = s->layer.config.rope.scaling;
    const uint64_t end = in->query_offset + to;
    if (!in->is_causal || scaling == ATTN_ROPE_DYNAMIC || scaling == ATTN_ROPE_LONGROPE)
        return in->S;
    return end <= in->key_offset ? 0 : end - in->key_offset < in->S ? (size_t)(end - in->key_offset) : in->S;
}

/* Single rows, pieces of any length, and each of them with no more keys than it may see. */
static void check_rows(const setup *s, uint64_t *seed) {
    const attn_input *in = &s->input;
    results whole = room_for(s);
    cr_assert_eq(forward(s, &whole.out), ATTN_OK);
    for (size_t b = 0; b < in->B; b++)
        for (size_t from = 0, rows; from < in->L; from += rows) {
            rows = random_below(seed, 2) == 0 ? 1 : 1 + random_below(seed, in->L - from);
            const piece p = {b, from, from + rows, in->S};
            check_piece(s, p, &whole);
            check_piece(s, (piece){b, from, from + rows, keys_needed(s, from + rows)}, &whole);
        }
}

/* Lengths whose rotation depends on the last position have it in every piece. */
static bool depends_on_length(const setup *s) {
    const attn_rope *rope = &s->layer.config.rope;
    return rope->style != ATTN_ROPE_NONE &&
           (rope->scaling == ATTN_ROPE_DYNAMIC || rope->scaling == ATTN_ROPE_LONGROPE) &&
           s->input.query_offset + s->input.L > s->input.key_offset + s->input.S;
}

/* ---- Random set-ups ---- */

/* Runs of keys that masks exclude whole, also of the first block of rows and not of the next. */
static void exclude_blocks(setup *s, uint64_t *seed) {
    attn_input *in = &s->input;
    const size_t H = in->mask_H;
    if (in->attn_mask == NULL || random_below(seed, 2) == 0)
        return;
    float *mask = (float *)(uintptr_t)in->attn_mask;
    for (size_t n = 0; n < in->mask_B * H * in->L; n++)
        for (size_t j = 0; j < in->S; j++)
            if (j / 256 == n % in->L / 32 % 3)
                mask[n * in->S + j] = -INFINITY;
}

/* Values so large that the sums of some rows are beyond float32 before they are divided, and those of others
 * are not: neither notices the others. No output is beyond float32. */
static void enlarge_values(setup *s, uint64_t *seed) {
    const attn_input *in = &s->input;
    const attn_config *c = &s->layer.config;
    const size_t numbers_of = in->B * in->S * c->vdim;
    const double growth = sqrt((double)(c->vdim * c->num_heads * c->head_dim)) / (double)c->embed_dim;
    const float size = 2e36f / (float)fmax(1, growth / 10);
    if (random_below(seed, 4) == 0)
        for (size_t n = 0; n < numbers_of; n++)
            ((float *)(uintptr_t)in->value)[n] *= size;
}

static void check_and_free(setup *s, uint64_t *seed) {
    if (depends_on_length(s))
        s->layer.config.rope.scaling = ATTN_ROPE_LINEAR;
    exclude_blocks(s, seed);
    enlarge_values(s, seed);
    check_rows(s, seed);
    free_round();
}

TEST_OF_KERNELS(rows, have_the_same_bits_alone_in_pieces_and_in_the_whole) {
    uint64_t seed = test_seed("have_the_same_bits_alone_in_pieces_and_in_the_whole");
    static const size_t widths[] = {1, 4, 7, 16, 20, 32, 64, 80, 96, 128, 300};
    for (int n = 0; n < 120; n++) {
        const size_t D = widths[random_below(&seed, n % 4 == 0 ? 11 : 7)];
        const size_t L = 1 + random_below(&seed, 70), S = random_below(&seed, n % 3 == 0 ? 40 : 600);
        setup s = make_setup_of(D, L, S, 10 + S, &seed);
        check_and_free(&s, &seed);
    }
}

/* Borders of blocks, of runs of blocks, of tiles and of windows. */
TEST_OF_KERNELS(rows, have_the_same_bits_at_every_border) {
    static const struct {
        size_t D, L, S, window, query_offset, key_offset;
        bool causal, is_causal;
    } borders[] = {
        {64, 1, 1, 0, 0, 0, true, true},          {64, 70, 70, 0, 0, 0, true, true},
        {16, 33, 255, 0, 222, 0, true, true},     {16, 33, 256, 0, 223, 0, true, true},
        {16, 33, 257, 0, 224, 0, true, true},     {16, 65, 513, 0, 448, 0, false, true},
        {80, 32, 512, 100, 480, 0, true, true},   {80, 31, 530, 257, 499, 0, true, true},
        {20, 64, 1100, 300, 1036, 0, true, true}, {20, 40, 1025, 1, 985, 0, true, true},
        {16, 70, 600, 0, 0, 0, false, false},     {16, 70, 600, 37, 300, 0, false, false},
        {32, 40, 300, 90, 400, 150, false, true}, {32, 40, 300, 0, 100, 290, false, true},
        {300, 17, 300, 0, 283, 0, true, true},    {8, 66, 2100, 1500, 2034, 0, true, true},
        {64, 5, 4, 2, 2, 0, true, true},          {7, 3, 1024, 0, 1021, 0, true, true},
        {16, 40, 300, 0, 280, 0, false, false},   {16, 40, 300, 0, 0, 20, false, false},
        {16, 40, 300, 0, 70000, 0, true, true},   {16, 33, 20, 0, 0, 7, true, true},
    };
    uint64_t seed = 20260730;
    for (size_t n = 0; n < sizeof borders / sizeof borders[0]; n++) {
        setup s = make_setup_of(borders[n].D, borders[n].L, borders[n].S, 100, &seed);
        s.layer.config.sliding_window = borders[n].window;
        s.layer.config.causal = borders[n].causal;
        s.input.is_causal = borders[n].is_causal;
        s.input.query_offset = borders[n].query_offset;
        s.input.key_offset = borders[n].key_offset;
        check_and_free(&s, &seed);
    }
}
