#include "core/attention/bias.h"

#include "core/size.h"
#include "core/watch.h"

#include <math.h>

size_t attn_relative_bucket(const attn_relative_bias *bias, int64_t distance) {
    size_t buckets = bias->buckets, first = 0;
    if (bias->bidirectional) {
        buckets /= 2;
        first = distance > 0 ? buckets : 0;
        distance = distance < 0 ? -distance : distance;
    } else {
        distance = distance < 0 ? -distance : 0;
    }
    const size_t exact = buckets / 2;
    if ((uint64_t)distance < exact)
        return first + (size_t)distance;
    const float ratio = (float)distance / (float)exact;
    const float share = logf(ratio) / (float)log((double)bias->max_distance / (double)exact);
    const float bucket = (float)exact + floorf(share * (float)(buckets - exact));
    return first + (bucket < (float)(buckets - 1) ? (size_t)bucket : buckets - 1);
}

/* Of the distance of key j and query i, or of what ALiBi counts of it, and of the bucket that it is in. */
static float bias_of(const attn_layer *layer, size_t h, int64_t distance, size_t bucket) {
    float bias = 0;
    if (layer->alibi_slopes != NULL)
        bias = -(layer->alibi_slopes[h] * (float)(distance < 0 ? -distance : distance));
    if (layer->config.relative_bias.buckets != 0)
        bias += layer->relative_bias[bucket * layer->config.num_heads + h];
    return bias;
}

attn_status attn_bias_prepare(attn_pass *pass) {
    const attn_layer *layer = pass->layer;
    const attn_relative_bias *relative = &layer->config.relative_bias;
    const attn_input *in = pass->input;
    const size_t H = layer->config.num_heads;
    attn_watch watch = {.control = pass->control};
    size_t distances;
    if ((layer->alibi_slopes == NULL && relative->buckets == 0) || in->L == 0 || in->S == 0)
        return ATTN_OK;
    if (!attn_add(in->L, in->S - 1, &distances) ||
        !attn_add(distances, TILE_QUERIES, &pass->bias_row) || /* the lanes without a query read on */
        (pass->biases = attn_pass_array(pass, H, pass->bias_row)) == NULL)
        return attn_pass_no_memory(pass);
    const int64_t most = attn_distance(in, 0) + (int64_t)in->S - 1; /* of the last key to query 0 */
    for (size_t n = 0; n < pass->bias_row; n++) {
        const int64_t distance = most - (int64_t)n;
        const size_t bucket = relative->buckets == 0 ? 0 : attn_relative_bucket(relative, distance);
        for (size_t h = 0; h < H; h++)
            pass->biases[h * pass->bias_row + n] = n < distances ? bias_of(layer, h, distance, bucket) : 0;
        if (attn_watch_stops(&watch, 4 * (ATTN_ROW_STEPS + H)))
            return attn_pass_cancel(pass);
    }
    pass->leaves_out = layer->alibi_slopes != NULL &&
                       attn_all_finite(pass->kernels, pass->biases, H * pass->bias_row) && pass->extra == 0 &&
                       (layer->sinks == NULL || in->omit_extra);
    return ATTN_OK;
}

/* Far from all keys ALiBi adds a large number to each score of a query, beside which the score is lost to
 * rounding. What it adds to all of them alike is left out, as no softmax notices it: the distance of the
 * nearest key. Not so where something in the softmax has no distance: far keys count for nothing beside it.
 */
static int64_t left_out(const attn_tile *tile, size_t n) {
    const attn_input *in = tile->pass->input;
    if (!tile->pass->leaves_out || tile->complete)
        return 0;
    const int64_t first = attn_distance(in, tile->first + n), last = first + (int64_t)in->S - 1;
    return first > 0 ? first : last < 0 ? last : 0;
}

double attn_bias_left_out(const attn_tile *tile, size_t n) {
    const int64_t distance = left_out(tile, n);
    return distance == 0 ? 0 : (double)tile->pass->layer->alibi_slopes[tile->h] * -fabs((double)distance);
}

/* What is added to the score of query n of the tile and key j. */
float attn_bias_at(const attn_tile *tile, size_t n, size_t j) {
    const attn_pass *pass = tile->pass;
    const attn_relative_bias *relative = &pass->layer->config.relative_bias;
    const int64_t distance = attn_distance(pass->input, tile->first + n) + (int64_t)j;
    const size_t bucket = relative->buckets == 0 ? 0 : attn_relative_bucket(relative, distance);
    return bias_of(pass->layer, tile->h, distance - left_out(tile, n), bucket);
}

/* Biases stand in the order of growing i - j, so what a key needs for all lanes is a piece of the table: but
 * for queries far from all keys, before or behind them. */
void attn_bias_add(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const attn_pass *pass = tile->pass;
    const float *bias = pass->biases + tile->h * pass->bias_row + (pass->input->S - 1 + tile->first);
    const bool far = left_out(tile, 0) != 0 || left_out(tile, tile->rows - 1) != 0;
    for (size_t j = keys.from; j < keys.to; j++) {
        float *scores = tile->scores + (j - keys.from) * tile->width;
        for (size_t n = 0; far && n < tile->rows; n++)
            scores[n] += attn_bias_at(tile, n, j);
        for (size_t n = 0; !far && n < tile->width; n++)
            scores[n] += (bias - j)[n];
    }
}
