/* mask.c: which keys of a block a query may not see, and what masks add to its scores. */
#include "core/attention/block.h"
#include "core/kernels/transpose.h"

#include <math.h>

/* Row tile->first of the tile's mask, [S]; NULL if there is no mask. */
static const float *first_mask_row(const attn_tile *tile) {
    const attn_input *in = tile->pass->input;
    return in->attn_mask == NULL ? NULL
                                 : in->attn_mask + (attn_mask_index(tile) * in->L + tile->first) * in->S;
}

/* Excludes keys [keys.from, keys.to) from the queries that may not see them by their positions. */
static void exclude(attn_tile *tile, attn_range keys) {
    for (size_t j = keys.from; j < keys.to; j++) {
        float *scores = tile->scores + (j - tile->keys.from) * tile->width;
        for (size_t n = 0; n < tile->width; n++)
            scores[n] = (int32_t)j >= tile->from[n] && (int32_t)j < tile->to[n] ? scores[n] : -INFINITY;
    }
}

/* Causality and the window, for those keys of the block that only some of the queries may see. */
static void exclude_by_position(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const size_t last_from = (size_t)tile->from[tile->rows - 1], first_to = (size_t)tile->to[0];
    attn_range before = {keys.from, last_from < keys.to ? last_from : keys.to};
    attn_range after = {first_to > keys.from ? first_to : keys.from, keys.to};
    if (before.to > after.from && before.from < before.to)
        after.from = before.to;
    exclude(tile, before);
    exclude(tile, after);
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

/* A score with what masks add to it. The sum of two of them may be beyond float32 where that of all is not.
 */
static float add_masks(float score, float mask, float padding) {
    const float sum = score + mask;
    return isfinite(sum) ? sum + padding : (float)((double)score + (double)mask + (double)padding);
}

/* The same for scores that may be beyond float32, which only matters where they are not excluded. */
static attn_status mask_one_by_one(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const attn_input *in = tile->pass->input;
    const float *mask = first_mask_row(tile);
    for (size_t j = keys.from; j < keys.to; j++)
        for (size_t n = 0; n < tile->width; n++) {
            float *score = tile->scores + (j - keys.from) * tile->width + n;
            const bool extra = j >= in->S, empty = n >= tile->rows;
            const float m = mask == NULL || extra || empty ? 0 : mask[n * in->S + j];
            const float p =
                in->key_padding_mask == NULL || extra ? 0 : in->key_padding_mask[tile->b * in->S + j];
            const bool unseen = !extra && ((int32_t)j < tile->from[n] || (int32_t)j >= tile->to[n]);
            const float sum = add_masks(*score, m, p);
            const bool excluded = empty || unseen || m == -INFINITY || p == -INFINITY;
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
    if (tile->one_by_one || ((attn_visible_mask(tile) | attn_visible_padding(tile)) & MASK_LARGE) != 0)
        return mask_one_by_one(tile);
    if (keys.from >= tile->pass->input->S)
        return ATTN_OK;
    if ((attn_visible_mask(tile) & MASK_ZERO) == 0)
        attn_transpose(first_mask_row(tile) + keys.from, tile->pass->input->S, tile->rows,
                       keys.to - keys.from, tile->scores, tile->width, true);
    if ((attn_visible_padding(tile) & MASK_ZERO) == 0)
        add_padding(tile);
    exclude_by_position(tile);
    return ATTN_OK;
}
