/* attend.c: the heads of all passes: tiles of queries visit the blocks of keys, in one loop over the threads.
 */
#include "core/attention/block.h"
#include "core/attention/stages.h"

#include <math.h>

/* Multiplications of a task: if a head has fewer, the task has several heads. */
#define TASK_WORK ((size_t)1 << 17)

/* The most float32s that the keys of a head may have, and its values as many, to stay in the L2 cache from
 * one task to the next. */
#define CACHED_NUMBERS ((size_t)1 << 16)

/* Otherwise several tiles of a head go through the keys side by side, as long as their own memory stays in
 * the L2 cache: a block of keys that has come from beyond it then serves all of them. */
#define TILES_MOST  4
#define TILES_BYTES ((size_t)1 << 18)

static size_t most_tiles(const attn_layer *layer) {
    const size_t tiles = TILES_BYTES / attn_tile_bytes(layer);
    return tiles < 1 ? 1 : tiles > TILES_MOST ? TILES_MOST : tiles;
}

size_t attn_attend_scratch(const attn_layer *layer) {
    size_t bytes;
    if (!attn_multiply(most_tiles(layer), attn_tile_bytes(layer), &bytes) ||
        !attn_add(bytes, TILE_SCORE_BYTES, &bytes))
        return SIZE_MAX;
    return bytes;
}

/* ---- Tiles of one head ---- */

static attn_status add_block(attn_tile *tile) {
    ATTN_TRY(attn_tile_score(tile));
    ATTN_TRY(attn_tile_mask(tile));
    attn_tile_softmax(tile);
    attn_tile_drop(tile);
    attn_tile_mix(tile);
    return ATTN_OK;
}

/* Each tile visits the blocks that it needs; those that need the same one do so in turn. */
static attn_status visit_blocks(attn_tile *tiles, size_t count) {
    bool more[TILES_MOST] = {false}, any = false;
    for (size_t t = 0; t < count; t++) {
        more[t] = attn_visible_next(&tiles[t]);
        any = any || more[t];
    }
    for (size_t block = tiles[0].visible.from / TILE_KEYS; any; block++) {
        any = false;
        for (size_t t = 0; t < count; t++) {
            if (more[t] && tiles[t].keys.from / TILE_KEYS <= block) {
                ATTN_TRY(add_block(&tiles[t]));
                more[t] = attn_visible_next(&tiles[t]);
            }
            any = any || more[t];
        }
    }
    return ATTN_OK;
}

/* Does a weight of the block that is not zero belong to a value beyond float32? */
static bool uses_nonfinite_v(const attn_tile *tile) {
    const attn_pass *pass = tile->pass;
    const attn_range keys = tile->keys;
    const size_t S = pass->input->S, Hkv = pass->layer->config.num_kv_heads;
    const bool *nonfinite = pass->nonfinite_v + (tile->b * Hkv + attn_kv_head(pass, tile->h)) * S;
    for (size_t j = keys.from; j < keys.to && j < S; j++)
        for (size_t n = 0; nonfinite[j] && n < tile->rows; n++)
            if (tile->scores[(j - keys.from) * tile->width + n] != 0)
                return true;
    return false;
}

/* Values beyond float32 were set to zero; fails if one of them has a weight. */
static attn_status refuse_nonfinite_v(attn_tile *tile) {
    attn_status status;
    bool more;
    attn_visible_rewind(tile);
    while ((status = attn_tile_next_weights(tile, &more)) == ATTN_OK && more) {
        attn_tile_drop(tile);
        if (uses_nonfinite_v(tile))
            return attn_pass_fail(tile->pass, tile->at, ATTN_BAD_VALUE,
                                  "a value that is attended to in batch %zu, head %zu is beyond float32: the "
                                  "inputs are too large for this model's weights",
                                  tile->b, tile->h);
    }
    return status;
}

/* Keeps maximum, sum and log-sum-exp of each row: the natural logarithm of the softmax's denominator, whose
 * terms were taken relative to the maximum. */
static void keep_sums(const attn_tile *tile) {
    attn_pass *pass = tile->pass;
    const size_t row = (tile->b * pass->layer->config.num_heads + tile->h) * pass->input->L + tile->first;
    for (size_t n = 0; n < tile->rows; n++) {
        if (pass->max != NULL) {
            pass->max[row + n] = tile->max[n];
            pass->sum[row + n] = tile->sum[n];
        }
        if (pass->output->lse != NULL)
            pass->output->lse[row + n] =
                tile->sum[n] <= 0
                    ? -INFINITY
                    : (float)((double)tile->max[n] + log(tile->sum[n]) + attn_bias_shift(tile, n));
    }
}

/* Rows [first, end) of a head. */
static attn_status compute_rows(attn_tile *tiles, attn_pass *pass, size_t at, size_t b, size_t h,
                                size_t first, size_t end) {
    size_t count = 0;
    for (; first < end; first += TILE_QUERIES, count++) {
        attn_tile_begin(&tiles[count], pass, at, b, h, first,
                        end - first < TILE_QUERIES ? end - first : TILE_QUERIES);
        attn_visible_begin(&tiles[count]);
    }
    attn_status status = visit_blocks(tiles, count);
    for (size_t t = 0; t < count && status == ATTN_OK; t++) {
        if (pass->nonfinite_v != NULL && (status = refuse_nonfinite_v(&tiles[t])) != ATTN_OK)
            return status;
        keep_sums(&tiles[t]);
        status = attn_tile_write_heads(&tiles[t]);
    }
    return status;
}

/* ---- Tasks ---- */

/* Cuts a pass into tasks and returns their number. Neither the cut nor other passes change a bit of what a
 * tile computes. */
static size_t plan_tasks(const attn_batch *batch, attn_pass *pass, size_t first_task) {
    const attn_config *config = &pass->layer->config;
    const attn_input *in = pass->input;
    const size_t H = config->num_heads, D = config->head_dim;
    const bool cached = in->S <= CACHED_NUMBERS / D;
    pass->task_rows = cached ? TILE_QUERIES : most_tiles(batch->layer) * TILE_QUERIES;
    const size_t rows = in->L < pass->task_rows ? in->L : pass->task_rows, numbers = rows * D + 1;
    const size_t work = TASK_WORK / (in->S + pass->extra + 1), heads = work / numbers;
    pass->first_task = first_task;
    pass->task_heads = heads < 1 ? 1 : heads > H ? H : heads;
    pass->query_blocks = attn_divide_up(in->L, pass->task_rows);
    if (attn_pass_failed(pass) || in->head_output != NULL)
        return 0;
    return in->B * attn_divide_up(H, pass->task_heads) * pass->query_blocks;
}

/* One task: a block of queries, of some heads. The blocks of a head follow each other, as they read the same
 * keys. */
static void run_task(void *loop, size_t round, size_t slot) {
    const attn_batch *batch = loop;
    attn_pass *pass = &batch->passes[batch->count - 1];
    while (pass->first_task > round)
        pass--;
    const size_t H = pass->layer->config.num_heads, L = pass->input->L;
    const size_t task = round - pass->first_task, at = task + 1;
    const size_t first = task % pass->query_blocks * pass->task_rows, group = task / pass->query_blocks;
    const size_t end = L - first < pass->task_rows ? L : first + pass->task_rows;
    const size_t groups = attn_divide_up(H, pass->task_heads), h = group % groups * pass->task_heads;
    const size_t h_end = h + pass->task_heads < H ? h + pass->task_heads : H;
    char *memory = batch->scratch + slot * batch->slot_bytes;
    attn_tile tiles[TILES_MOST];
    if (attn_pass_ends(pass, at))
        return;
    for (size_t t = 0; t < pass->task_rows / TILE_QUERIES; t++) {
        tiles[t].unpolled = 0;
        attn_tile_layout(&tiles[t], pass->layer, memory + TILE_SCORE_BYTES + t * attn_tile_bytes(pass->layer),
                         memory);
    }
    for (size_t n = h; n < h_end; n++)
        if (compute_rows(tiles, pass, at, group / groups, n, first, end) != ATTN_OK)
            return;
}

void attn_attend(attn_batch *batch) {
    size_t tasks = 0;
    for (size_t n = 0; n < batch->count; n++)
        tasks += plan_tasks(batch, &batch->passes[n], tasks);
    attn_parallel_run(batch->parallel, tasks, run_task, batch);
}
