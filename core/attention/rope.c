#include "core/attention/rope.h"

#include <math.h>

/* How many dims the frequencies are made for. */
static size_t real_dims(const attn_rope *rope) {
    return rope->dims - rope->odd;
}

/* theta^(2n/dims), in float32 as transformers has it (modeling_rope_utils.py); the power is correctly
 * rounded. */
static float wavelength(const attn_rope *rope, float theta, size_t n) {
    const float exponent = (float)(2 * n) / (float)real_dims(rope);
    return (float)pow((double)theta, (double)exponent);
}

/* NTK-aware: the theta for this length ("dynamic"); the rounding is that of a float32 tensor of one number.
 */
static float dynamic_theta(const attn_rope *rope, uint64_t length) {
    const float theta = (float)rope->theta;
    if ((double)length <= rope->original_length || real_dims(rope) == 2)
        return theta;
    const float stretch = (float)rope->factor * (float)length / (float)rope->original_length;
    const double dims = (double)real_dims(rope), exponent = dims / (dims - 2);
    return theta * (float)pow((double)(stretch - (float)(rope->factor - 1)), (double)(float)exponent);
}

/* The pair whose wave turns `rotations` times over the original length (YaRN, section 3.2). */
static double yarn_pair(const attn_rope *rope, double rotations) {
    return (double)rope->dims * log(rope->original_length / (rotations * 2 * M_PI)) / (2 * log(rope->theta));
}

/* YaRN keeps the fast pairs, divides the slow ones by the factor, and blends those between. */
static void yarn(const attn_rope *rope, float *frequencies) {
    double low = yarn_pair(rope, rope->beta_fast), high = yarn_pair(rope, rope->beta_slow);
    if (rope->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, (double)rope->dims - 1);
    if (low == high)
        high += 0.001; /* as transformers has it, against a division by zero */
    for (size_t n = 0; n < rope->dims / 2; n++) {
        const float wave = wavelength(rope, (float)rope->theta, n);
        const float kept = 1.0f / wave, divided = 1.0f / ((float)rope->factor * wave);
        const float ramp = ((float)n - (float)low) / (float)(high - low);
        const float keep = 1 - (ramp < 0 ? 0 : ramp > 1 ? 1 : ramp);
        frequencies[n] = divided * (1 - keep) + kept * keep;
    }
}

/* Llama 3.1: the same idea, by wavelength. torch divides a number by a tensor as the number times the
 * reciprocal, and where a frequency is near the edge of the blend, that rounding shows. */
static float llama3(const attn_rope *rope, float frequency) {
    const float wave = 1.0f / frequency * (float)(2 * M_PI);
    const double longest = rope->original_length / rope->low_frequency_factor;
    const double shortest = rope->original_length / rope->high_frequency_factor;
    if ((double)wave > longest)
        return frequency / (float)rope->factor;
    if ((double)wave < shortest)
        return frequency;
    const float smooth = (1.0f / wave * (float)rope->original_length - (float)rope->low_frequency_factor) /
                         (float)(rope->high_frequency_factor - rope->low_frequency_factor);
    return (1 - smooth) * frequency / (float)rope->factor + smooth * frequency;
}

void attn_rope_frequencies(const attn_layer *layer, uint64_t length, float *frequencies) {
    const attn_rope *rope = &layer->config.rope;
    const float theta = rope->scaling == ATTN_ROPE_DYNAMIC ? dynamic_theta(rope, length) : (float)rope->theta;
    const float *divisors = (double)length > rope->original_length ? layer->rope_long : layer->rope_short;
    if (rope->scaling == ATTN_ROPE_YARN) {
        yarn(rope, frequencies);
        return;
    }
    for (size_t n = 0; n < rope->dims / 2; n++) {
        const float wave = wavelength(rope, theta, n);
        frequencies[n] = 1.0f / (rope->scaling == ATTN_ROPE_LONGROPE ? divisors[n] * wave : wave);
        if (rope->scaling == ATTN_ROPE_LINEAR)
            frequencies[n] /= (float)rope->factor;
        if (rope->scaling == ATTN_ROPE_LLAMA3)
            frequencies[n] = llama3(rope, frequencies[n]);
    }
}

void attn_rope_angles(const attn_rope *rope, const float *frequencies, uint64_t position, float *cosines,
                      float *sines) {
    const float magnitude = (float)rope->magnitude;
    for (size_t n = 0; n < rope->dims / 2; n++) {
        const float angle = (float)position * frequencies[n];
        double sine, cosine;
        sincos((double)angle, &sine, &cosine);
        cosines[n] = (float)cosine * magnitude;
        sines[n] = (float)sine * magnitude;
    }
}

void attn_rope_rotate(const attn_rope *rope, const float *cosines, const float *sines, float *x) {
    const size_t pairs = rope->dims / 2;
    const size_t step = rope->style == ATTN_ROPE_INTERLEAVED ? 2 : 1;
    const size_t partner = rope->style == ATTN_ROPE_INTERLEAVED ? 1 : pairs;
    for (size_t n = 0; n < pairs; n++) {
        float *const pair = x + n * step;
        const float first = pair[0], second = pair[partner];
        pair[0] = first * cosines[n] - second * sines[n];
        pair[partner] = second * cosines[n] + first * sines[n];
    }
}
