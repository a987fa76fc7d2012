/* reference.c: the forward pass in plain double-precision loops, straight from the formula. It shares no line
 * with the pass that serves, so that each can check the other. Shared are only the definitions that
 * frameworks give in float32 arithmetic, the rotation's frequencies and the buckets of distances, and the
 * packed weights: a narrow precision is part of the model, not of the pass. */
#include "core/attention.h"

#include "core/attention/block.h"
#include "core/attention/rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const attn_layer *layer;
    const attn_input *in;
    size_t E, H, Hkv, D;
    size_t keys;        /* S+ */
    double *q;          /* [B, L, H, D] */
    double *k, *v;      /* [B, S+, Hkv, D] */
    double *scores;     /* [S+]: of one query */
    double *w;          /* [S+] */
    double *heads;      /* [H, D] */
    double *weights[4]; /* of q, k, v and the output, unpacked */
    const attn_reference_output *out;
} reference;

/* The numbers of a weight [width, depth]; NULL without memory. */
static double *unpack(const attn_packed *weight) {
    double *numbers = calloc(weight->width * weight->depth + 1, sizeof *numbers);
    for (size_t n = 0; numbers != NULL && n < weight->width; n++)
        for (size_t c = 0; c < weight->depth; c++)
            numbers[n * weight->depth + c] = (double)attn_packed_at(weight, n, c);
    return numbers;
}

/* y [width] = x [depth] weight[width, depth]^T + bias[width] */
static void project_row(const float *x, size_t depth, const double *weight, const float *bias, size_t width,
                        double *y) {
    for (size_t n = 0; n < width; n++) {
        double sum = 0;
        for (size_t c = 0; c < depth; c++)
            sum += (double)x[c] * weight[n * depth + c];
        /* The bias comes last: beside large numbers that cancel it would be lost. */
        y[n] = sum + (bias == NULL ? 0 : (double)bias[n]);
    }
}

static void norm(double *x, size_t D, const float *weight, double eps) {
    double squares = 0;
    for (size_t d = 0; d < D; d++)
        squares += x[d] * x[d];
    for (size_t d = 0; d < D; d++)
        x[d] = x[d] / sqrt(squares / (double)D + eps) * (double)weight[d];
}

static void rotate(const attn_rope *rope, const float *frequencies, uint64_t position, double *x) {
    for (size_t n = 0; n < rope->dims / 2; n++) {
        const size_t one = rope->style == ATTN_ROPE_HALF ? n : 2 * n;
        const size_t two = rope->style == ATTN_ROPE_HALF ? n + rope->dims / 2 : 2 * n + 1;
        const double angle = (double)((float)position * frequencies[n]);
        const double a = x[one], b = x[two];
        x[one] = rope->magnitude * (a * cos(angle) - b * sin(angle));
        x[two] = rope->magnitude * (b * cos(angle) + a * sin(angle));
    }
}

/* Norm and rotation of the heads of one query or key. */
static void norm_and_rotate(const reference *r, size_t heads, const float *weight, const float *frequencies,
                            uint64_t position, double *x) {
    const attn_config *c = &r->layer->config;
    for (size_t h = 0; h < heads; h++) {
        if (c->qk_norm)
            norm(x + h * r->D, r->D, weight, c->qk_norm_eps);
        if (c->rope.style != ATTN_ROPE_NONE)
            rotate(&c->rope, frequencies, position, x + h * r->D);
    }
}

static void project_all(const reference *r, float *frequencies) {
    const attn_layer *w = r->layer;
    const attn_input *in = r->in;
    const attn_config *c = &w->config;
    const size_t kv = r->Hkv * r->D;
    const uint64_t q_end = in->query_offset + in->L, k_end = in->key_offset + in->S;
    if (c->rope.style != ATTN_ROPE_NONE)
        attn_rope_frequencies(w, q_end > k_end ? q_end : k_end, frequencies);
    for (size_t n = 0; n < in->B * in->L; n++) {
        double *q = r->q + n * r->H * r->D;
        project_row(in->query + n * r->E, r->E, r->weights[0], w->q_bias, r->H * r->D, q);
        norm_and_rotate(r, r->H, w->q_norm, frequencies, in->query_offset + n % in->L, q);
    }
    for (size_t b = 0; b < in->B; b++) {
        for (size_t j = 0; j < r->keys; j++) {
            double *k = r->k + (b * r->keys + j) * kv, *v = r->v + (b * r->keys + j) * kv;
            const size_t n = b * in->S + j;
            if (j < in->S) {
                project_row(in->key + n * c->kdim, c->kdim, r->weights[1], w->k_bias, kv, k);
                project_row(in->value + n * c->vdim, c->vdim, r->weights[2], w->v_bias, kv, v);
                norm_and_rotate(r, r->Hkv, w->k_norm, frequencies, in->key_offset + j, k);
            }
            for (size_t d = 0; j == in->S && c->add_bias_kv && d < kv; d++) {
                k[d] = (double)w->bias_k[d];
                v[d] = (double)w->bias_v[d];
            }
        }
    }
}

/* May query i of batch entry b, head h attend to key j by its position? *bias is what the masks add to the
 * score. */
static bool allowed(const reference *r, size_t b, size_t h, size_t i, size_t j, double *bias) {
    const attn_input *in = r->in;
    const attn_config *c = &r->layer->config;
    const int64_t p = (int64_t)(in->query_offset + i), t = (int64_t)(in->key_offset + j);
    const int64_t W = (int64_t)c->sliding_window;
    *bias = 0;
    if (j >= in->S)
        return true;
    if (in->is_causal && t > p)
        return false;
    if (W != 0 && (p - t >= W || (!c->causal && t - p >= W)))
        return false;
    if (in->attn_mask != NULL) {
        const size_t mb = in->mask_B == 1 ? 0 : b, mh = in->mask_H == 1 ? 0 : h;
        *bias += (double)in->attn_mask[((mb * in->mask_H + mh) * in->L + i) * in->S + j];
    }
    if (in->key_padding_mask != NULL)
        *bias += (double)in->key_padding_mask[b * in->S + j];
    return true;
}

static double score(const reference *r, size_t b, size_t h, size_t i, size_t j) {
    const attn_layer *w = r->layer;
    const attn_input *in = r->in;
    const attn_config *c = &w->config;
    const double *q = r->q + ((b * in->L + i) * r->H + h) * r->D;
    const double *k = r->k + ((b * r->keys + j) * r->Hkv + h / (r->H / r->Hkv)) * r->D;
    const int64_t distance = (int64_t)(in->key_offset + j) - (int64_t)(in->query_offset + i);
    double s = 0;
    for (size_t d = 0; d < r->D; d++)
        s += q[d] * k[d];
    s = w->scale != NULL ? s * (double)w->scale[h] : s / sqrt((double)r->D);
    if (c->softcap > 0)
        s = c->softcap * tanh(s / c->softcap);
    if (j < in->S && w->alibi_slopes != NULL)
        s -= (double)w->alibi_slopes[h] * fabs((double)distance);
    if (j < in->S && c->relative_bias.buckets != 0)
        s += (double)w->relative_bias[attn_relative_bucket(&c->relative_bias, distance) * r->H + h];
    return s;
}

/* r->scores and r->w of one query; returns the log-sum-exp. */
static double softmax(const reference *r, size_t b, size_t h, size_t i) {
    const double none = -(double)INFINITY;
    const bool has_sink = r->layer->config.sinks && !r->in->omit_extra;
    const double sink = has_sink ? (double)r->layer->sinks[h] : none;
    double max = sink, sum, bias;
    for (size_t j = 0; j < r->keys; j++) {
        r->scores[j] = score(r, b, h, i, j);
        r->w[j] = allowed(r, b, h, i, j, &bias) ? r->scores[j] + bias : none;
        if ((float)r->w[j] == -INFINITY)
            r->w[j] = none; /* a sum beyond float32, as of two masks of -3.4e38, excludes */
        max = fmax(max, r->w[j]);
    }
    sum = sink == none ? 0 : exp(sink - max);
    for (size_t j = 0; j < r->keys; j++) {
        r->w[j] = r->w[j] == none ? 0 : exp(r->w[j] - max);
        sum += r->w[j];
    }
    for (size_t j = 0; j < r->keys && sum > 0; j++)
        r->w[j] /= sum;
    return sum > 0 ? max + log(sum) : none;
}

static void copy(double *to, const double *from, size_t row, size_t count) {
    if (to != NULL)
        memcpy(to + row * count, from, count * sizeof *to);
}

static void attend_query(const reference *r, size_t b, size_t i) {
    const attn_layer *w = r->layer;
    const size_t L = r->in->L, width = r->H * r->D;
    for (size_t h = 0; h < r->H; h++) {
        const size_t row = (b * r->H + h) * L + i;
        const double lse = softmax(r, b, h, i);
        double *head = r->heads + h * r->D;
        memset(head, 0, r->D * sizeof *head);
        for (size_t j = 0; j < r->keys; j++) {
            const double *v = r->v + ((b * r->keys + j) * r->Hkv + h / (r->H / r->Hkv)) * r->D;
            for (size_t d = 0; r->w[j] != 0 && d < r->D; d++)
                head[d] += r->w[j] * v[d];
        }
        copy(r->out->lse, &lse, row, 1);
        copy(r->out->weights, r->w, row, r->keys);
        copy(r->out->scores, r->scores, row, r->keys);
        copy(r->out->head_output, head, row, r->D);
    }
    for (size_t e = 0; r->out->output != NULL && e < r->E; e++) {
        double *o = r->out->output + (b * L + i) * r->E + e;
        *o = 0;
        for (size_t c = 0; c < width; c++)
            *o += r->heads[c] * r->weights[3][e * width + c];
        *o += w->o_bias == NULL ? 0 : (double)w->o_bias[e];
    }
}

attn_status attn_reference(const attn_layer *layer, const attn_input *in, const attn_reference_output *out) {
    const attn_config *c = &layer->config;
    reference r = {.layer = layer, .in = in, .out = out, .E = c->embed_dim, .H = c->num_heads};
    r.Hkv = c->num_kv_heads;
    r.D = c->head_dim;
    r.keys = attn_keys_with_extra(c, in->S, in->omit_extra);
    r.q = calloc(in->B * in->L * r.H * r.D + 1, sizeof(double));
    r.k = calloc(in->B * r.keys * r.Hkv * r.D + 1, sizeof(double));
    r.v = calloc(in->B * r.keys * r.Hkv * r.D + 1, sizeof(double));
    r.scores = calloc(r.keys + 1, sizeof(double));
    r.w = calloc(r.keys + 1, sizeof(double));
    r.heads = calloc(r.H * r.D, sizeof(double));
    const attn_packed *const packed[] = {&layer->q_weight, &layer->k_weight, &layer->v_weight,
                                         &layer->o_weight};
    for (size_t n = 0; n < 4; n++)
        r.weights[n] = unpack(packed[n]);
    float *frequencies = calloc(c->rope.dims / 2 + 1, sizeof *frequencies);
    const bool complete = r.q != NULL && r.k != NULL && r.v != NULL && r.scores != NULL && r.w != NULL &&
                          r.heads != NULL && frequencies != NULL && r.weights[0] != NULL &&
                          r.weights[1] != NULL && r.weights[2] != NULL && r.weights[3] != NULL;
    if (complete)
        project_all(&r, frequencies);
    for (size_t b = 0; complete && b < in->B; b++)
        for (size_t i = 0; i < in->L; i++)
            attend_query(&r, b, i);
    void *const used[] = {r.q,         r.k,          r.v,          r.scores,     r.w,         r.heads,
                          frequencies, r.weights[0], r.weights[1], r.weights[2], r.weights[3]};
    for (size_t n = 0; n < sizeof used / sizeof used[0]; n++)
        free(used[n]);
    return complete ? ATTN_OK : ATTN_NO_MEMORY;
}
