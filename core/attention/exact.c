/* exact.c: numbers of the projections that are not finite, computed again in double precision: their sum may
 * have been beyond float32 only on the way. Slow, and rarely needed. */
#include "core/attention/stages.h"

#include <math.h>

/* Rows that are computed together, as reading the weights takes longest. */
#define ROWS_AT_ONCE ((size_t)8)

/* Sums of which each number is made: the CPU adds to several at a time. */
enum { CHAINS = 4 };

/* sums [CHAINS] += x * w [count], number n to chain n % CHAINS. */
static void add_products(const float *x, const double *w, size_t count, double *sums) {
    double a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    size_t n = 0;
    for (; n + CHAINS <= count; n += CHAINS) {
        a += (double)x[n] * w[n];
        b += (double)x[n + 1] * w[n + 1];
        c += (double)x[n + 2] * w[n + 2];
        d += (double)x[n + 3] * w[n + 3];
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
    for (; n < count; n++)
        sums[n % CHAINS] += (double)x[n] * w[n];
}

/* y [rows] = number `column` of x W^T + b, for rows x[n] [depth]. Not finite if a number of x is not. */
static void exact_numbers(const attn_packed *weight, const float *bias, const float *const *x, size_t rows,
                          size_t column, double *y) {
    enum { STEP = 256 };
    float numbers[STEP];
    double wide[STEP];
    double sums[ROWS_AT_ONCE][CHAINS] = {{0}};
    for (size_t k = 0, count; k < weight->depth; k += count) {
        count = weight->depth - k < STEP ? weight->depth - k : STEP;
        attn_packed_numbers(weight, column, k, count, numbers);
        for (size_t n = 0; n < count; n++)
            wide[n] = (double)numbers[n];
        for (size_t n = 0; n < rows; n++)
            add_products(x[n] + k, wide, count, sums[n]);
    }
    for (size_t n = 0; n < rows; n++)
        y[n] =
            (sums[n][0] + sums[n][1]) + (sums[n][2] + sums[n][3]) + (bias == NULL ? 0 : (double)bias[column]);
}

/* One head of some rows. */
typedef struct {
    const attn_packed *weight;
    const float *bias;
    const float *x[ROWS_AT_ONCE];
    size_t rows;
    size_t first;      /* column of the head */
    const float *norm; /* [D]; NULL: it is not normed */
    double factors[ROWS_AT_ONCE];
} head_of_rows;

/* y [rows] = number d of the head, normed. */
static void head_number(const head_of_rows *head, size_t d, double *y) {
    exact_numbers(head->weight, head->bias, head->x, head->rows, head->first + d, y);
    for (size_t n = 0; n < head->rows && head->norm != NULL; n++)
        y[n] *= head->factors[n] * (double)head->norm[d];
}

static void compute_norm_factors(head_of_rows *head, size_t D, double eps) {
    double y[ROWS_AT_ONCE], squares[ROWS_AT_ONCE] = {0};
    for (size_t d = 0; d < D; d++) {
        head_number(head, d, y);
        for (size_t n = 0; n < head->rows; n++)
            squares[n] += y[n] * y[n];
    }
    for (size_t n = 0; n < head->rows; n++)
        head->factors[n] = 1 / sqrt(squares[n] / (double)D + eps);
}

/* The two numbers of a pair of heads[n], rotated. */
static void rotate(const attn_pass *pass, attn_projected which, const head_of_rows *from, const size_t *rows,
                   size_t pair, float *const *heads) {
    const attn_rope *rope = &pass->layer->config.rope;
    const size_t pairs = rope->dims / 2, length = which == QUERY ? pass->input->L : pass->input->S;
    const size_t one = rope->style == ATTN_ROPE_HALF ? pair : 2 * pair;
    const size_t two = rope->style == ATTN_ROPE_HALF ? pair + pairs : 2 * pair + 1;
    double a[ROWS_AT_ONCE], b[ROWS_AT_ONCE];
    head_number(from, one, a);
    head_number(from, two, b);
    for (size_t n = 0; n < from->rows; n++) {
        const size_t at = rows[n] % length * pairs + pair;
        const double cosine = (double)pass->cosines[which][at], sine = (double)pass->sines[which][at];
        heads[n][one] = (float)(a[n] * cosine - b[n] * sine);
        heads[n][two] = (float)(b[n] * cosine + a[n] * sine);
    }
}

/* heads[n] [D] = head h of row rows[n] of q, k or v, normed and rotated; count <= ROWS_AT_ONCE. */
static void exact_heads(const attn_pass *pass, attn_projected which, const size_t *rows, size_t count,
                        size_t h, float *const *heads) {
    const attn_layer *layer = pass->layer;
    const attn_config *c = &layer->config;
    const attn_input *in = pass->input;
    const attn_packed *const weights[] = {&layer->q_weight, &layer->k_weight, &layer->v_weight};
    const float *const biases[] = {layer->q_bias, layer->k_bias, layer->v_bias};
    const float *const inputs[] = {in->query, in->key, in->value};
    head_of_rows from = {
        .weight = weights[which], .bias = biases[which], .rows = count, .first = h * c->head_dim};
    for (size_t n = 0; n < count; n++)
        from.x[n] = inputs[which] + rows[n] * weights[which]->depth;
    if (which != VALUE && c->qk_norm) {
        compute_norm_factors(&from, c->head_dim, c->qk_norm_eps);
        from.norm = which == QUERY ? layer->q_norm : layer->k_norm;
    }
    const size_t dims = which != VALUE && c->rope.style != ATTN_ROPE_NONE ? c->rope.dims : 0;
    for (size_t pair = 0; pair < dims / 2; pair++)
        rotate(pass, which, &from, rows, pair, heads);
    for (size_t d = dims; d < c->head_dim; d++) {
        double y[ROWS_AT_ONCE];
        head_number(&from, d, y);
        for (size_t n = 0; n < count; n++)
            heads[n][d] = (float)y[n];
    }
}

bool attn_exact_heads(attn_pass *pass, attn_projected which, size_t row, size_t rows, size_t h, float *heads,
                      size_t width) {
    const size_t D = pass->layer->config.head_dim;
    size_t overflowed_rows[ROWS_AT_ONCE], count = 0;
    float *overflowed_heads[ROWS_AT_ONCE];
    bool finite = true;
    for (size_t n = 0; n < rows; n++) {
        if (!attn_all_finite(pass->kernels, heads + n * width, D)) {
            overflowed_heads[count] = heads + n * width;
            overflowed_rows[count++] = row + n;
        }
        if (count > 0 && (count == ROWS_AT_ONCE || n + 1 == rows)) {
            if (attn_pass_ends(pass, SIZE_MAX))
                return false;
            exact_heads(pass, which, overflowed_rows, count, h, overflowed_heads);
            count = 0;
        }
    }
    for (size_t n = 0; n < rows && finite; n++)
        finite = attn_all_finite(pass->kernels, heads + n * width, D);
    return finite;
}

/* Column e of the output, of at most ROWS_AT_ONCE rows. False if a number stays beyond float32. */
static bool compute_output(attn_pass *pass, size_t row, size_t rows, size_t e) {
    const attn_packed *weight = &pass->layer->o_weight;
    const size_t E = pass->layer->config.embed_dim;
    const float *heads[ROWS_AT_ONCE];
    float *overflowed[ROWS_AT_ONCE];
    double numbers[ROWS_AT_ONCE];
    size_t count = 0;
    for (size_t n = row; n < row + rows; n++) {
        float *number = pass->output->output + n * E + e;
        if (!isfinite(*number)) {
            heads[count] = pass->heads + n * weight->depth;
            overflowed[count++] = number;
        }
    }
    if (count > 0)
        exact_numbers(weight, pass->layer->o_bias, heads, count, e, numbers);
    for (size_t n = 0; n < count; n++)
        if (!isfinite(*overflowed[n] = (float)numbers[n]))
            return false;
    return true;
}

void attn_exact_outputs(attn_pass *pass, size_t row, size_t rows, size_t column, size_t columns) {
    for (size_t n = 0, count; n < rows && !attn_pass_ends(pass, SIZE_MAX); n += count) {
        count = rows - n < ROWS_AT_ONCE ? rows - n : ROWS_AT_ONCE;
        for (size_t e = column; e < column + columns; e++)
            if (!compute_output(pass, row + n, count, e)) {
                atomic_store_explicit(&pass->overflowed, true, memory_order_relaxed);
                return;
            }
    }
}
