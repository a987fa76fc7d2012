/* bias.c: what the distance of a query and a key adds to their score: ALiBi, and the buckets of T5. */
#include "core/attention/block.h"
#include "core/size.h"

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

/* ALiBi's bias of a distance, plus T5's of a bucket. */
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
        !attn_add(distances, TILE_QUERIES, &pass->bias_row) || /* lanes without a query read behind it */
        (pass->biases = attn_pass_array(pass, H, pass->bias_row)) == NULL)
        return attn_pass_no_memory(pass);
    const int64_t farthest = attn_distance(in, 0) + (int64_t)in->S - 1; /* of the last key to query 0 */
    for (size_t n = 0; n < pass->bias_row; n++) {
        const int64_t distance = farthest - (int64_t)n;
        const size_t bucket = relative->buckets == 0 ? 0 : attn_relative_bucket(relative, distance);
        for (size_t h = 0; h < H; h++)
            pass->biases[h * pass->bias_row + n] = n < distances ? bias_of(layer, h, distance, bucket) : 0;
        if (attn_watch_stops(&watch, 4 * (ATTN_ROW_STEPS + H)))
            return attn_pass_cancel(pass);
    }
    pass->shifts_biases = layer->alibi_slopes != NULL &&
                          attn_all_finite(pass->kernels, pass->biases, H * pass->bias_row) &&
                          pass->extra == 0 && (layer->sinks == NULL || in->omit_extra);
    return ATTN_OK;
}

/* Far from all keys ALiBi adds a large number to each score of a query, and the score itself is lost to
 * rounding. So distances are counted from the nearest key: what is subtracted from all scores alike, no
 * softmax notices. Not so beside sinks and extra keys, which have no distance: there far keys count for
 * nothing anyway.
 */
static int64_t nearest(const attn_tile *tile, size_t n) {
    const attn_input *in = tile->pass->input;
    if (!tile->pass->shifts_biases || tile->unshifted)
        return 0;
    const int64_t first = attn_distance(in, tile->first + n), last = first + (int64_t)in->S - 1;
    return first > 0 ? first : last < 0 ? last : 0;
}

double attn_bias_shift(const attn_tile *tile, size_t n) {
    const int64_t distance = nearest(tile, n);
    return distance == 0 ? 0 : (double)tile->pass->layer->alibi_slopes[tile->h] * -fabs((double)distance);
}

float attn_bias_at(const attn_tile *tile, size_t n, size_t j) {
    const attn_pass *pass = tile->pass;
    const attn_relative_bias *relative = &pass->layer->config.relative_bias;
    const int64_t distance = attn_distance(pass->input, tile->first + n) + (int64_t)j;
    const size_t bucket = relative->buckets == 0 ? 0 : attn_relative_bucket(relative, distance);
    return bias_of(pass->layer, tile->h, distance - nearest(tile, n), bucket);
}

/* The table is in the order of growing i - j, so what a key needs for all lanes is a piece of it; but not if
 * a query's distances are shifted. */
void attn_bias_add(attn_tile *tile) {
    const attn_range keys = tile->keys;
    const attn_pass *pass = tile->pass;
    const float *bias = pass->biases + tile->h * pass->bias_row + (pass->input->S - 1 + tile->first);
    const bool shifted = nearest(tile, 0) != 0 || nearest(tile, tile->rows - 1) != 0;
    for (size_t j = keys.from; j < keys.to; j++) {
        float *scores = tile->scores + (j - keys.from) * tile->width;
        for (size_t n = 0; shifted && n < tile->rows; n++)
            scores[n] += attn_bias_at(tile, n, j);
        for (size_t n = 0; !shifted && n < tile->width; n++)
            scores[n] += (bias - j)[n];
    }
}
