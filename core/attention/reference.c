/* reference.c: the forward pass in plain double-precision loops, straight from the formula. It shares no line
 * with forward.c, so that the two can be held against each other. */
#include "core/attention.h"

#include <math.h>
#include <stdlib.h>

/* y [rows, E] = x [rows, width] weight[E, width]^T + bias[E] */
static double *project(size_t rows, size_t E, size_t width, const float *x, const float *weight,
                       const float *bias) {
    double *y = calloc(rows * E + 1, sizeof *y);
    for (size_t i = 0; y != NULL && i < rows; i++)
        for (size_t e = 0; e < E; e++) {
            double sum = bias == NULL ? 0 : (double)bias[e];
            for (size_t c = 0; c < width; c++)
                sum += (double)x[i * width + c] * (double)weight[e * width + c];
            y[i * E + e] = sum;
        }
    return y;
}

/* May query i of batch entry b, head h attend to key j? *bias is what the masks add to the score. */
static int allowed(const attn_input *in, size_t b, size_t h, size_t i, size_t j, double *bias) {
    *bias = 0;
    if (in->is_causal && j > i)
        return 0;
    if (in->attn_mask != NULL) {
        const size_t mb = in->mask_B == 1 ? 0 : b, mh = in->mask_H == 1 ? 0 : h;
        *bias += (double)in->attn_mask[((mb * in->mask_H + mh) * in->L + i) * in->S + j];
    }
    if (in->key_padding_mask != NULL)
        *bias += (double)in->key_padding_mask[b * in->S + j];
    return *bias != -(double)INFINITY;
}

/* w [S]: the weights of query i */
static void weights_of_row(const attn_input *in, size_t b, size_t h, size_t i, size_t D, size_t E,
                           const double *q, const double *k, double *w) {
    double max = -(double)INFINITY, sum = 0;
    for (size_t j = 0; j < in->S; j++) {
        double bias, dot = 0;
        w[j] = -(double)INFINITY;
        if (!allowed(in, b, h, i, j, &bias))
            continue;
        for (size_t d = 0; d < D; d++)
            dot += q[(b * in->L + i) * E + h * D + d] * k[(b * in->S + j) * E + h * D + d];
        w[j] = dot / sqrt((double)D) + bias;
        max = fmax(max, w[j]);
    }
    for (size_t j = 0; j < in->S; j++) {
        w[j] = w[j] == -(double)INFINITY ? 0 : exp(w[j] - max);
        sum += w[j];
    }
    for (size_t j = 0; j < in->S && sum > 0; j++)
        w[j] /= sum;
}

/* o [E]: the output row of query i of batch entry b, from what its heads say */
static void output_row(const attn_layer *layer, const double *heads, double *o) {
    const size_t E = layer->config.embed_dim;
    for (size_t e = 0; e < E; e++) {
        o[e] = layer->o_bias == NULL ? 0 : (double)layer->o_bias[e];
        for (size_t c = 0; c < E; c++)
            o[e] += heads[c] * (double)layer->o_weight[e * E + c];
    }
}

static void attend(const attn_layer *layer, const attn_input *in, const double *q, const double *k,
                   const double *v, double *w, double *heads, double *output, double *weights) {
    const size_t E = layer->config.embed_dim, H = layer->config.num_heads, D = E / H, L = in->L, S = in->S;
    for (size_t b = 0; b < in->B; b++)
        for (size_t i = 0; i < L; i++) {
            for (size_t h = 0; h < H; h++) {
                weights_of_row(in, b, h, i, D, E, q, k, w);
                for (size_t d = 0; d < D; d++) {
                    heads[h * D + d] = 0;
                    for (size_t j = 0; j < S; j++)
                        if (w[j] != 0)
                            heads[h * D + d] += w[j] * v[(b * S + j) * E + h * D + d];
                }
                for (size_t j = 0; weights != NULL && j < S; j++)
                    weights[((b * H + h) * L + i) * S + j] = w[j];
            }
            if (output != NULL)
                output_row(layer, heads, output + (b * L + i) * E);
        }
}

attn_status attn_reference(const attn_layer *layer, const attn_input *in, double *output, double *weights) {
    const attn_config *config = &layer->config;
    const size_t E = config->embed_dim;
    double *q = project(in->B * in->L, E, E, in->query, layer->q_weight, layer->q_bias);
    double *k = project(in->B * in->S, E, config->kdim, in->key, layer->k_weight, layer->k_bias);
    double *v = project(in->B * in->S, E, config->vdim, in->value, layer->v_weight, layer->v_bias);
    double *w = calloc(in->S + 1, sizeof *w), *heads = calloc(E, sizeof *heads);
    const int complete = q != NULL && k != NULL && v != NULL && w != NULL && heads != NULL;
    if (complete)
        attend(layer, in, q, k, v, w, heads, output, weights);
    free(q);
    free(k);
    free(v);
    free(w);
    free(heads);
    return complete ? ATTN_OK : ATTN_NO_MEMORY;
}
