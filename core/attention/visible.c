/* visible.c: which blocks of keys a tile goes through: those that causality, the window and the masks leave
 * to one of its queries at least. The masks are scanned once for all tiles. */
#include "core/attention/block.h"
#include "core/kernels/f32x4.h"

#include <math.h>

/* ---- Causality and the window ---- */

static size_t clamp(int64_t index, size_t most) {
    return index < 0 ? 0 : (uint64_t)index > most ? most : (size_t)index;
}

attn_range attn_visible_keys(const attn_config *config, const attn_input *input, size_t i) {
    const int64_t self = -attn_distance(input, i); /* the index of the key at the query's own position */
    const int64_t window = (int64_t)config->sliding_window;
    attn_range range = {0, input->S};
    if (input->is_causal)
        range.to = clamp(self + 1, input->S);
    if (window == 0)
        return range;
    range.from = clamp(self - window + 1, input->S);
    if (!config->causal) {
        const size_t to = clamp(self + window, input->S);
        range.to = to < range.to ? to : range.to;
    }
    if (range.to < range.from)
        range.to = range.from;
    return range;
}

/* ---- Masks, scanned once ---- */

/* Sums of two numbers below it and a score that is not large (score.c) are below the end of float32, 3.4e38.
 */
#define LARGE_MASK 1e38f

/* What two parts of a mask do together. */
static unsigned join(unsigned a, unsigned b) {
    return (a & b & (MASK_ALL | MASK_ZERO)) | ((a | b) & MASK_LARGE);
}

/* Of `count` numbers of a mask; of none: what joined with others changes nothing. */
static unsigned scan_run(const float *mask, size_t count) {
    const f32x4 excluding = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, zero = {0},
                most = zero + LARGE_MASK;
    i32x4 not_all = {0}, not_zero = {0}, large = {0};
    size_t n = 0;
    for (; n + F32X4_WIDTH <= count; n += F32X4_WIDTH) {
        const f32x4 m = *(const f32x4 *)(const void *)(mask + n);
        not_all |= m != excluding;
        not_zero |= m != zero;
        large |= m > most;
    }
    for (; n < count; n++) {
        not_all[0] |= mask[n] != -INFINITY;
        not_zero[0] |= mask[n] != 0;
        large[0] |= mask[n] > LARGE_MASK;
    }
    unsigned flags = MASK_ALL | MASK_ZERO;
    for (size_t i = 0; i < F32X4_WIDTH; i++)
        flags = join(flags, (not_all[i] ? 0 : MASK_ALL) | (not_zero[i] ? 0 : MASK_ZERO) |
                                (large[i] ? MASK_LARGE : 0));
    return flags;
}

/* flags [blocks]: what the mask [rows, S] does to each block of keys. */
static void scan_blocks(attn_pass *pass, const float *mask, size_t rows, uint8_t *flags, attn_watch *watch) {
    const size_t S = pass->input->S;
    for (size_t block = 0; block < pass->blocks; block++) {
        const size_t from = block * TILE_KEYS, count = S - from < TILE_KEYS ? S - from : TILE_KEYS;
        unsigned all = MASK_ALL | MASK_ZERO;
        for (size_t n = 0; n < rows; n++)
            all = join(all, scan_run(mask + n * S + from, count));
        flags[block] = (uint8_t)all;
        if (attn_pass_stops(pass, watch, rows * (ATTN_ROW_STEPS + count)))
            return;
    }
}

/* TILE_QUERIES rows of one of the masks. */
static void scan_task(void *loop, size_t round, size_t slot) {
    attn_pass *pass = loop;
    const attn_input *in = pass->input;
    const size_t first = round % pass->mask_tiles * TILE_QUERIES, mask = round / pass->mask_tiles;
    attn_watch watch = {.control = pass->control};
    (void)slot; /* nothing of its own is needed */
    if (!attn_pass_ends(pass, 1))
        scan_blocks(pass, in->attn_mask + (mask * in->L + first) * in->S,
                    in->L - first < TILE_QUERIES ? in->L - first : TILE_QUERIES,
                    pass->mask_flags + round * pass->blocks, &watch);
}

attn_status attn_visible_prepare(attn_batch *batch, attn_pass *pass) {
    const attn_input *in = pass->input;
    size_t rounds, bytes;
    pass->mask_tiles = attn_divide_up(in->L, TILE_QUERIES);
    if (in->key_padding_mask != NULL) {
        if (!attn_multiply(in->B, pass->blocks, &bytes) ||
            (pass->padding_flags = attn_arena_alloc(pass->work, bytes)) == NULL)
            return attn_pass_no_memory(pass);
        attn_watch watch = {.control = pass->control};
        for (size_t b = 0; b < in->B && pass->blocks > 0 && !attn_pass_failed(pass); b++)
            scan_blocks(pass, in->key_padding_mask + b * in->S, 1, pass->padding_flags + b * pass->blocks,
                        &watch);
    }
    if (in->attn_mask != NULL) {
        if (!attn_multiply_all((size_t[]){in->mask_B, in->mask_H, pass->mask_tiles}, 3, &rounds) ||
            !attn_multiply(rounds, pass->blocks, &bytes) ||
            (pass->mask_flags = attn_arena_alloc(pass->work, bytes)) == NULL)
            return attn_pass_no_memory(pass);
        attn_parallel_run(batch->parallel, rounds, scan_task, pass);
    }
    return pass->status;
}

size_t attn_mask_index(const attn_tile *tile) {
    const attn_input *in = tile->pass->input;
    const size_t mb = in->mask_B == 1 ? 0 : tile->b, mh = in->mask_H == 1 ? 0 : tile->h;
    return mb * in->mask_H + mh;
}

unsigned attn_visible_padding(const attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    if (pass->padding_flags == NULL || tile->keys.from >= pass->input->S)
        return MASK_ZERO;
    return pass->padding_flags[tile->b * pass->blocks + tile->keys.from / TILE_KEYS];
}

unsigned attn_visible_mask(const attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    if (pass->mask_flags == NULL || tile->keys.from >= pass->input->S)
        return MASK_ZERO;
    const uint8_t *flags = pass->mask_flags + attn_mask_index(tile) * pass->mask_tiles * pass->blocks +
                           tile->keys.from / TILE_KEYS;
    /* The tile's rows may be in two of the runs that were scanned together. */
    const size_t first = tile->first / TILE_QUERIES, last = (tile->first + tile->rows - 1) / TILE_QUERIES;
    return join(flags[first * pass->blocks], flags[last * pass->blocks]);
}

/* ---- The blocks of a tile ---- */

void attn_visible_begin(attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    for (size_t n = 0; n < tile->width; n++) {
        const size_t row = n < tile->rows ? n : tile->rows - 1;
        const attn_range own = attn_visible_keys(&pass->layer->config, pass->input, tile->first + row);
        tile->from[n] = (int32_t)own.from;
        tile->to[n] = (int32_t)own.to;
    }
    /* Key j is in the chain j % ATTN_SOFT_CHAINS of the softmax's sum. */
    tile->visible.from = (size_t)tile->from[0] / ATTN_SOFT_CHAINS * ATTN_SOFT_CHAINS;
    tile->visible.to = (size_t)tile->to[tile->rows - 1];
    attn_visible_rewind(tile);
}

bool attn_visible_next(attn_tile *tile) {
    const size_t S = tile->pass->input->S, end = tile->visible.to;
    attn_range *keys = &tile->keys;
    while (keys->to < end) {
        const size_t block_end = (keys->to / TILE_KEYS + 1) * TILE_KEYS;
        *keys = (attn_range){keys->to, block_end < end ? block_end : end};
        if (((attn_visible_padding(tile) | attn_visible_mask(tile)) & MASK_ALL) == 0)
            return true;
    }
    if (keys->to > S || tile->pass->extra == 0)
        return false;
    *keys = (attn_range){S, S + tile->pass->extra};
    return true;
}
