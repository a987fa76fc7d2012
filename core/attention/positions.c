#include "core/attention/positions.h"

#include <math.h>

static size_t clamp(int64_t index, size_t most) {
    return index < 0 ? 0 : (uint64_t)index > most ? most : (size_t)index;
}

int64_t attn_distance(const attn_input *input, size_t i) {
    return (int64_t)input->key_offset - (int64_t)(input->query_offset + i);
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
