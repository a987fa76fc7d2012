/* mask.c: which keys a query may not see, and what masks add to its scores. */
#include "core/attention/tile.h"
#include "core/kernels/four.h"
#include "core/kernels/transpose.h"
#include "core/size.h"
#include "core/watch.h"

#include <math.h>
#include <string.h>

/* Sums of two numbers below it and a score that is not large (score.c) are below the end of float32, 3.4e38.
 */
#define SAFE 1e38

/* ---- What masks do to whole blocks ---- */

/* What `count` numbers of a mask do, as MASK_ flags. */
static unsigned look(const float *mask, size_t count) {
    const four excluding = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, zero = {0},
               most = zero + (float)SAFE;
    four_flags not_all = {0}, not_plain = {0}, large = {0};
    size_t n = 0;
    for (; n + FOUR <= count; n += FOUR) {
        const four m = *(const four *)(const void *)(mask + n);
        not_all |= m != excluding;
        not_plain |= m != zero;
        large |= m > most;
    }
    for (; n < count; n++) {
        not_all[0] |= mask[n] != -INFINITY;
        not_plain[0] |= mask[n] != 0;
        large[0] |= mask[n] > (float)SAFE;
    }
    unsigned glance = MASK_ALL | MASK_PLAIN;
    for (size_t i = 0; i < FOUR; i++)
        glance = attn_both_glances(glance, (not_all[i] ? 0 : MASK_ALL) | (not_plain[i] ? 0 : MASK_PLAIN) |
                                               (large[i] ? MASK_LARGE : 0));
    return glance;
}

/* glances [blocks]: what the mask [rows, S] does to each block of keys. */
static void look_through(attn_pass *pass, const float *mask, size_t rows, uint8_t *glances,
                         attn_watch *watch) {
    const size_t S = pass->input->S;
    for (size_t block = 0; block < pass->blocks; block++) {
        const size_t from = block * TILE_KEYS, count = S - from < TILE_KEYS ? S - from : TILE_KEYS;
        unsigned glance = MASK_ALL | MASK_PLAIN;
        for (size_t n = 0; n < rows; n++)
            glance = attn_both_glances(glance, look(mask + n * S + from, count));
        glances[block] = (uint8_t)glance;
        if (attn_watch_stops(watch, rows * (ATTN_ROW_STEPS + count))) {
            attn_pass_cancel(pass);
            return;
        }
    }
}

/* One block of rows of the mask. */
static void look_task(void *loop, size_t round, size_t slot) {
    attn_pass *pass = loop;
    const attn_input *in = pass->input;
    const size_t first = round % pass->mask_tiles * TILE_QUERIES, map = round / pass->mask_tiles;
    attn_watch watch = {.control = pass->control};
    (void)slot; /* nothing of its own is needed */
    if (!attn_pass_ends(pass, 1))
        look_through(pass, in->attn_mask + (map * in->L + first) * in->S,
                     in->L - first < TILE_QUERIES ? in->L - first : TILE_QUERIES,
                     pass->mask_glances + round * pass->blocks, &watch);
}

attn_status attn_mask_prepare(attn_batch *batch, attn_pass *pass) {
    const attn_input *in = pass->input;
    size_t rounds, bytes;
    pass->mask_tiles = attn_divide_up(in->L, TILE_QUERIES);
    if (in->key_padding_mask != NULL) {
        if (!attn_multiply(in->B, pass->blocks, &bytes) ||
            (pass->padding_glances = attn_arena_alloc(pass->work, bytes)) == NULL)
            return attn_pass_no_memory(pass);
        attn_watch watch = {.control = pass->control};
        for (size_t b = 0; b < in->B && pass->blocks > 0 && !attn_pass_failed(pass); b++)
            look_through(pass, in->key_padding_mask + b * in->S, 1, pass->padding_glances + b * pass->blocks,
                         &watch);
    }
    if (in->attn_mask != NULL) {
        if (!attn_multiply_all((size_t[]){in->mask_B, in->mask_H, pass->mask_tiles}, 3, &rounds) ||
            !attn_multiply(rounds, pass->blocks, &bytes) ||
            (pass->mask_glances = attn_arena_alloc(pass->work, bytes)) == NULL)
            return attn_pass_no_memory(pass);
        attn_parallel_run(batch->parallel, rounds, look_task, pass);
    }
    return pass->status;
}

/* The mask of the tile's batch entry and head, among mask_B * mask_H. */
static size_t map_of(const attn_tile *tile) {
    const attn_input *in = tile->pass->input;
    const size_t mb = in->mask_B == 1 ? 0 : tile->b, mh = in->mask_H == 1 ? 0 : tile->h;
    return mb * in->mask_H + mh;
}

/* The mask's number for the tile's first query and for key 0, or NULL if there is no mask. */
static const float *mask_of(const attn_tile *tile) {
    const attn_input *in = tile->pass->input;
    return in->attn_mask == NULL ? NULL : in->attn_mask + (map_of(tile) * in->L + tile->first) * in->S;
}

/* The extra keys have no masks. */
static unsigned padding_glance(const attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    if (pass->padding_glances == NULL || tile->keys.from >= pass->input->S)
        return MASK_PLAIN;
    return pass->padding_glances[tile->b * pass->blocks + tile->keys.from / TILE_KEYS];
}

/* The tile's rows may be in two blocks of rows. */
static unsigned mask_glance(const attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    if (pass->mask_glances == NULL || tile->keys.from >= pass->input->S)
        return MASK_PLAIN;
    const uint8_t *glances =
        pass->mask_glances + map_of(tile) * pass->mask_tiles * pass->blocks + tile->keys.from / TILE_KEYS;
    const size_t first = tile->first / TILE_QUERIES, last = (tile->first + tile->rows - 1) / TILE_QUERIES;
    return attn_both_glances(glances[first * pass->blocks], glances[last * pass->blocks]);
}

bool attn_tile_skips(const attn_tile *tile) {
    return ((padding_glance(tile) | mask_glance(tile)) & MASK_ALL) != 0;
}

/* ---- Masking ---- */

/* Excludes keys [keys.from, keys.to) from the lanes that may not see them by their positions. */
static void hide(attn_tile *tile, attn_range keys) {
    for (size_t j = keys.from; j < keys.to; j++) {
        float *scores = tile->scores + (j - tile->keys.from) * tile->width;
        for (size_t n = 0; n < tile->width; n++)
            scores[n] = (int32_t)j >= tile->from[n] && (int32_t)j < tile->to[n] ? scores[n] : -INFINITY;
    }
}

/* The same for the whole block, but only for keys that some queries may see and others may not. */
static void hide_by_position(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const size_t last_from = (size_t)tile->from[tile->rows - 1], first_to = (size_t)tile->to[0];
    attn_range before = {keys.from, last_from < keys.to ? last_from : keys.to};
    attn_range after = {first_to > keys.from ? first_to : keys.from, keys.to};
    if (before.to > after.from && before.from < before.to)
        after.from = before.to;
    hide(tile, before);
    hide(tile, after);
}

static void add_padding(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const attn_input *in = tile->pass->input;
    for (size_t j = keys.from; j < keys.to; j++) {
        const float padding = in->key_padding_mask[tile->b * in->S + j];
        float *scores = tile->scores + (j - keys.from) * tile->width;
        for (size_t n = 0; padding != 0 && n < tile->width; n++)
            scores[n] += padding;
    }
}

/* A score with what masks add to it. Two numbers may be beyond float32 where all three are not. */
static float masked(float score, float mask, float padding) {
    const float sum = score + mask;
    return isfinite(sum) ? sum + padding : (float)((double)score + (double)mask + (double)padding);
}

/* Scores that may be beyond float32 are looked at one by one: what is excluded does not count. */
static attn_status mask_carefully(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const attn_input *in = tile->pass->input;
    const float *mask = mask_of(tile);
    for (size_t j = keys.from; j < keys.to; j++)
        for (size_t n = 0; n < tile->width; n++) {
            float *score = tile->scores + (j - keys.from) * tile->width + n;
            const bool extra = j >= in->S, empty = n >= tile->rows;
            const float m = mask == NULL || extra || empty ? 0 : mask[n * in->S + j];
            const float p =
                in->key_padding_mask == NULL || extra ? 0 : in->key_padding_mask[tile->b * in->S + j];
            const bool hidden = !extra && ((int32_t)j < tile->from[n] || (int32_t)j >= tile->to[n]);
            const float sum = masked(*score, m, p);
            const bool excluded = empty || hidden || m == -INFINITY || p == -INFINITY;
            if (!excluded && !(isfinite(*score) && sum < INFINITY))
                return attn_pass_fail(
                    tile->pass, tile->at, ATTN_BAD_VALUE,
                    "the score of query %zu in batch %zu, head %zu is beyond float32: the inputs or the "
                    "masks are too large",
                    tile->first + n, tile->b, tile->h);
            *score = excluded ? -INFINITY : sum;
        }
    return ATTN_OK;
}

attn_status attn_tile_mask(attn_tile *tile) {
    const attn_range keys = tile->keys;
    if (tile->careful || ((mask_glance(tile) | padding_glance(tile)) & MASK_LARGE) != 0)
        return mask_carefully(tile);
    if (keys.from >= tile->pass->input->S)
        return ATTN_OK;
    if ((mask_glance(tile) & MASK_PLAIN) == 0)
        attn_transpose(mask_of(tile) + keys.from, tile->pass->input->S, tile->rows, keys.to - keys.from,
                       tile->scores, tile->width, true);
    if ((padding_glance(tile) & MASK_PLAIN) == 0)
        add_padding(tile);
    hide_by_position(tile);
    return ATTN_OK;
}
