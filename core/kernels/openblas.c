#include "core/kernels/openblas.h"

#include "core/kernels/kernels.h"

#include <cblas.h>
#include <pthread.h>
#include <stdio.h>

int attn_openblas_init(void) {
    openblas_set_num_threads(1);
    return openblas_get_parallel() != OPENBLAS_SEQUENTIAL;
}

void attn_openblas_warm_up(void) {
    enum { M = 64, N = 256, K = 64 };
    static const float a[M * K], b[N * K];
    float c[M * N];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, M, N, K, 1, a, K, b, K, 0, c, N);
}

const char *attn_openblas_name(void) {
    static _Thread_local char name[64];
    snprintf(name, sizeof name, "openblas-%s", openblas_get_corename());
    return name;
}

const char *attn_openblas_library(void) {
    return openblas_get_config();
}

/* ---- The set --------------------------------------------------------------------------------------------
 */

enum { PANEL = 64, SCALED_ROWS = 32 };

/* Every dimension is at most 2^24 when it comes here, so it fits OpenBLAS's int. */
static blasint as_int(size_t n) {
    return (blasint)n;
}

/* Rows [row, row + rows) of one panel's columns, times the columns' scales where there are any. */
static void multiply_panel(const attn_product *p, size_t row, size_t rows, size_t column, size_t columns) {
    const float *a = p->a + row * p->a_row, *b = (const float *)p->b + column / PANEL * p->b_panel;
    float *y = p->y + row * p->y_row + column;
    float sums[SCALED_ROWS * PANEL];
    float *to = p->b_scale == NULL ? y : sums;
    const size_t to_row = p->b_scale == NULL ? p->y_row : PANEL;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, as_int(rows), as_int(columns), as_int(p->depth), 1,
                a, as_int(p->a_row), b, as_int(p->b_row), p->add && p->b_scale == NULL, to, as_int(to_row));
    for (size_t m = 0; m < rows; m++)
        for (size_t n = 0; n < columns; n++) {
            float sum = to[m * to_row + n];
            if (p->b_scale != NULL)
                sum = sum * p->b_scale[column + n] + (p->add ? y[m * p->y_row + n] : 0);
            y[m * p->y_row + n] = p->bias == NULL ? sum : sum + p->bias[column + n];
        }
}

/* The results of scaled products wait in an array of a fixed size, so few rows are computed at a time. */
static void weight_product(const attn_product *p) {
    const size_t step = p->b_scale == NULL ? p->rows : SCALED_ROWS;
    for (size_t column = 0; column < p->columns; column += PANEL)
        for (size_t row = 0; row < p->rows; row += step)
            multiply_panel(p, row, p->rows - row < step ? p->rows - row : step, column,
                           p->columns - column < PANEL ? p->columns - column : PANEL);
}

static attn_kernels set;

static void make_set(void) {
    set = *attn_kernels_generic();
    set.name = "openblas";
    set.weight_panel = PANEL;
    set.weight_product = weight_product;
}

const attn_kernels *attn_kernels_openblas(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_set);
    return openblas_get_parallel() == OPENBLAS_SEQUENTIAL ? NULL : &set;
}
