#include "core/kernels/softmax.h"

#include <math.h>
#include <string.h>

bool attn_mask_row(float *scores, size_t n, const float *mask, const float *padding) {
    bool counted = true;
    for (size_t j = 0; j < n; j++) {
        const float m = mask == NULL ? 0 : mask[j], p = padding == NULL ? 0 : padding[j];
        const bool excluded = m == -INFINITY || p == -INFINITY;
        counted &= excluded || scores[j] > -INFINITY; /* false for NaN too */
        scores[j] = excluded ? -INFINITY : scores[j] + m + p;
    }
    return counted;
}

bool attn_softmax_row(float *scores, size_t n, const float *sink, float *max, double *sum) {
    float most = sink != NULL ? *sink : -INFINITY;
    for (size_t j = 0; j < n; j++)
        most = scores[j] > most ? scores[j] : most;
    *max = most;
    *sum = 0;
    if (most == -INFINITY) {
        bool counted = true; /* false for NaN, which is not larger than anything */
        for (size_t j = 0; j < n; j++)
            counted &= scores[j] == -INFINITY;
        memset(scores, 0, n * sizeof *scores);
        return counted;
    }
    double total = sink != NULL ? (double)expf(*sink - most) : 0;
    for (size_t j = 0; j < n; j++) {
        scores[j] = expf(scores[j] - most);
        total += (double)scores[j];
    }
    const float divisor = (float)total;
    for (size_t j = 0; j < n; j++)
        scores[j] /= divisor;
    *sum = total;
    return total == total; /* false for NaN */
}

bool attn_all_finite(const float *numbers, size_t count) {
    /* x - x is 0 for a finite number, and NaN for infinity and NaN. */
    bool finite = true;
    for (size_t i = 0; i < count; i++)
        finite &= numbers[i] - numbers[i] == 0;
    return finite;
}
