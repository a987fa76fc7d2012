/* stats.c: numbers about each row of weights: its largest, its entropy, what each key receives. */
#include "core/attention/stages.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

bool attn_wants_stats(const attn_output *output) {
    static const attn_stats none; /* pointers alone, and no gaps between them */
    return output->entropy != NULL || memcmp(&output->stats, &none, sizeof none) != 0;
}

/* False if the watch says stop. */
static bool entropy_of(const float *row, size_t count, attn_watch *watch, float *entropy) {
    double sum = 0;
    for (size_t n = 0; n < count; n++) {
        if (row[n] > 0)
            sum -= (double)row[n] * log((double)row[n]);
        if (attn_watch_stops_after(watch, n, 8)) /* that a logarithm costs */
            return false;
    }
    *entropy = (float)(sum > 0 ? sum : 0);
    return true;
}

/* The weight of the key at `position`, not at an index. */
static float weight_at(const attn_input *input, int64_t position, const float *row) {
    const int64_t j = position - (int64_t)input->key_offset;
    return j >= 0 && j < (int64_t)input->S ? row[j] : 0;
}

bool attn_stats_write_row(const attn_layer *layer, const attn_input *input, const attn_output *output,
                          size_t b, size_t h, size_t i, const float *row, double *received,
                          attn_watch *watch) {
    const attn_stats *stats = &output->stats;
    const size_t at = (b * layer->config.num_heads + h) * input->L + i;
    const size_t keys = attn_keys_with_extra(&layer->config, input->S, input->omit_extra);
    const int64_t self = (int64_t)(input->query_offset + i);
    if (attn_watch_stops(watch, 2 * keys) ||
        (output->entropy != NULL && !entropy_of(row, keys, watch, &output->entropy[at])))
        return false;
    size_t largest = 0;
    for (size_t n = 1; n < keys && (stats->max != NULL || stats->argmax != NULL); n++)
        largest = row[n] > row[largest] ? n : largest;
    const float max = keys == 0 ? 0 : row[largest];
    if (stats->max != NULL)
        stats->max[at] = max;
    if (stats->argmax != NULL)
        stats->argmax[at] = max == 0 ? -1 : (int32_t)largest;
    if (stats->first != NULL)
        stats->first[at] = input->S > 0 ? row[0] : 0;
    if (stats->self != NULL)
        stats->self[at] = weight_at(input, self, row);
    if (stats->previous != NULL)
        stats->previous[at] = weight_at(input, self - 1, row);
    for (size_t n = 0; n < keys && stats->received != NULL; n++)
        received[n] += (double)row[n];
    return true;
}
