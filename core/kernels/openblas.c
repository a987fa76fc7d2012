#include "core/kernels/openblas.h"

#include "core/kernels/sets.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The library ---- */

/* The name by which it is found, and the values of its interface, which cblas.h gives names to: its integers
 * have 32 bits under this name. */
#define LIBRARY "libopenblas.so.0"
enum { ROW_MAJOR = 101, NO_TRANS = 111, SEQUENTIAL = 0 };

typedef void sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a,
                   int lda, const float *b, int ldb, float beta, float *c, int ldc);

static struct {
    sgemm *multiply;
    char *(*describe)(void);
    char why_not[256]; /* it is not loaded */
} library;

/* Puts the address of a function into *function, a pointer to one. */
static bool find(void *handle, const char *name, void *function) {
    void *const address = dlsym(handle, name);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

/* OpenBLAS starts its threads while it is loaded, unless the environment says how many it may have: here none
 * but those that call it. */
static void load(void) {
    int (*threading)(void);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    void *const handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL || !find(handle, "openblas_get_parallel", &threading) ||
        !find(handle, "openblas_get_config", &library.describe) ||
        !find(handle, "cblas_sgemm", &library.multiply))
        snprintf(library.why_not, sizeof library.why_not, "OpenBLAS cannot be loaded: %s", dlerror());
    else if (threading() == SEQUENTIAL)
        snprintf(library.why_not, sizeof library.why_not,
                 "this OpenBLAS is a single-threaded build without locks, which several threads may not call "
                 "(%s)",
                 library.describe());
}

static bool is_loaded(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return library.why_not[0] == '\0';
}

const char *attn_openblas_library(void) {
    return is_loaded() ? library.describe() : library.why_not;
}

/* ---- The set ---- */

/* A call always has this shape, but for the length of the sums: so many rows (zeros where there are fewer) by
 * a panel. Which operations OpenBLAS takes, and in what order, depends on the whole shape of a call, and in
 * larger ones on a row's place: on Prescott's kernels in an odd last row, on Haswell's and Zen's beyond the
 * eighth. With this one a row has the same bits in each place and in each company on every kind of CPU. */
enum { ROWS = 8, PANEL = 64 };

static void multiply(const float *a, size_t a_row, const attn_product *p, size_t column, float *sums) {
    const float *b = (const float *)p->b + column / PANEL * p->b_panel;
    library.multiply(ROW_MAJOR, NO_TRANS, NO_TRANS, ROWS, PANEL, (int)p->depth, 1, a, (int)a_row, b,
                     (int)p->b_row, 0, sums, PANEL);
}

/* Rows [row, row + rows) of one panel's columns of y, from their sums. */
static void finish(const attn_product *p, size_t row, size_t rows, size_t column, const float *sums) {
    for (size_t m = 0; m < rows; m++, sums += PANEL) {
        float *y = p->y + (row + m) * p->y_row + column;
        for (size_t n = 0; n < PANEL; n++) {
            const float scaled = p->b_scale == NULL ? sums[n] : sums[n] * p->b_scale[column + n];
            const float sum = p->add ? y[n] + scaled : scaled;
            y[n] = p->bias == NULL ? sum : sum + p->bias[column + n];
        }
    }
}

/* The columns are whole panels, as packed weights are. */
static void weight_product(const attn_product *p) {
    _Alignas(64) float few[ROWS * ATTN_DEPTH], sums[ROWS * PANEL];
    for (size_t row = 0; row < p->rows; row += ROWS) {
        const size_t rows = p->rows - row < ROWS ? p->rows - row : ROWS;
        const float *a = p->a + row * p->a_row;
        size_t a_row = p->a_row;
        if (rows < ROWS) {
            memset(few, 0, sizeof few);
            for (size_t m = 0; m < rows; m++)
                memcpy(few + m * ATTN_DEPTH, a + m * a_row, p->depth * sizeof *few);
            a = few;
            a_row = ATTN_DEPTH;
        }
        for (size_t column = 0; column < p->columns; column += PANEL) {
            multiply(a, a_row, p, column, sums);
            finish(p, row, rows, column, sums);
        }
    }
}

void attn_openblas_warm_up(void) {
    static const float a[ROWS * PANEL], b[PANEL * PANEL];
    float sums[ROWS * PANEL];
    if (is_loaded())
        library.multiply(ROW_MAJOR, NO_TRANS, NO_TRANS, ROWS, PANEL, PANEL, 1, a, PANEL, b, PANEL, 0, sums,
                         PANEL);
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
    return is_loaded() ? &set : NULL;
}
