/* bench_kernels.c: projections on one thread, next to OpenBLAS and to what this machine can do at most: its
 * multiplications and additions in a second, and its reading of as many bytes as the weights have.
 *
 *     bench_kernels [SET [PRECISION [ROWS...]]]
 *     bench_kernels --limits BYTES...     only what the machine can do, a name and a number a line
 *     bench_kernels --precisions [SET]    one row with weights of each precision */
#include "core/kernels/choose.h"
#include "core/kernels/linear.h"
#include "tests/bench/timing.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { ROUNDS = 31 };
/* Seconds that one turn of a contestant takes at least. Short turns, or each would have a clock rate of its
 * own: a processor lowers it within milliseconds for what draws more power, as reading operands does. */
#define TURN 0.0005
#define LONG_TURN                                                                                            \
    0.02 /* where all are limited by the same: until the caches hold what they can of the weights */

/* ---- The machine's limits ---- */

/* Multiplications with additions, each of one number, that `rounds` rounds of independent vectors make. */
static volatile float sink;

#ifdef __x86_64__
#define PEAK(NAME, TARGET, VEC, ALL, MADD, LANES, COUNT)                                                     \
    __attribute__((target(TARGET))) static double NAME(size_t rounds) {                                      \
        VEC sums[COUNT];                                                                                     \
        const VEC factor = ALL(0.5f);                                                                        \
        _Pragma("GCC unroll 16") for (size_t n = 0; n < (COUNT); n++) sums[n] = ALL((float)n);               \
        for (size_t i = 0; i < rounds; i++)                                                                  \
            _Pragma("GCC unroll 16") for (size_t n = 0; n < (COUNT); n++) {                                  \
                sums[n] = MADD(sums[n], factor, factor);                                                     \
                __asm__("" : "+x"(sums[n]));                                                                 \
            }                                                                                                \
        _Pragma("GCC unroll 16") for (size_t n = 1; n < (COUNT); n++) sums[0] += sums[n];                    \
        sink = sums[0][0];                                                                                   \
        return (double)rounds * (COUNT) * (LANES);                                                           \
    }
#define APART(a, b, c) ((a) * (b) + (c))
PEAK(peak_avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, 16, 12)
PEAK(peak_avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, 8, 12)
PEAK(peak_generic, "sse2", __m128, _mm_set1_ps, APART, 4, 12)
#else
typedef float four __attribute__((vector_size(16)));
static double peak_generic(size_t rounds) {
    four sums[12] = {0};
    const four factor = {0.5f, 0.5f, 0.5f, 0.5f};
    for (size_t i = 0; i < rounds; i++)
        for (size_t n = 0; n < 12; n++)
            sums[n] = sums[n] * factor + factor;
    for (size_t n = 1; n < 12; n++)
        sums[0] += sums[n];
    sink = sums[0][0];
    return (double)rounds * 12 * 4;
}
#endif

static double peak(const char *set, size_t rounds) {
#ifdef __x86_64__
    if (strcmp(set, "avx512") == 0)
        return peak_avx512(rounds);
    if (strcmp(set, "avx2") == 0)
        return peak_avx2(rounds);
#endif
    return peak_generic(rounds);
}

#ifdef __x86_64__
__attribute__((target("avx2")))
#endif
static void
read_all(const char *bytes, size_t count) {
    typedef float eight __attribute__((vector_size(32), aligned(1), may_alias));
    eight a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t n = 0; n + 128 <= count; n += 128) {
        a += *(const eight *)(bytes + n);
        b += *(const eight *)(bytes + n + 32);
        c += *(const eight *)(bytes + n + 64);
        d += *(const eight *)(bytes + n + 96);
    }
    a += b + c + d;
    sink = a[0];
}

/* ---- The contestants ---- */

typedef struct {
    size_t rows, width, depth;
    float *x, *w, *bias, *y;
    const attn_kernels *kernels;
    attn_packed packed;
    char *scratch;
    attn_linear linear;
    attn_linear_part part;
} contest;

static void deliver(void *context, size_t part, size_t row, size_t rows, size_t column, size_t columns,
                    float *y, size_t y_row) {
    const contest *c = context;
    (void)part;
    for (size_t r = 0; r < rows; r++)
        memcpy(c->y + (row + r) * c->width + column, y + r * y_row, columns * sizeof *y);
}

static void ours(contest *c) {
    attn_linear_run(&c->linear, 1, NULL, c->scratch);
}

static void openblas(contest *c) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)c->rows, (int)c->width, (int)c->depth, 1, c->x,
                (int)c->depth, c->w, (int)c->depth, 0, c->y, (int)c->width);
}

static void reading(contest *c) {
    read_all(c->packed.numbers, c->packed.bytes);
}

static void computing(contest *c) {
    const size_t numbers = c->rows * c->width * c->depth;
    double done = 0;
    while (done < (double)numbers)
        done += peak(c->kernels->name, ((numbers - (size_t)done) / (12 * c->kernels->lanes)) + 1);
}

/* The first call is not counted: it finds the caches full of what others have left there. */
static double turn(void (*contestant)(contest *), contest *c, double seconds) {
    contestant(c);
    const double start = seconds_on(CLOCK_THREAD_CPUTIME_ID);
    double end;
    size_t count = 0;
    do {
        contestant(c);
        count++;
        end = seconds_on(CLOCK_THREAD_CPUTIME_ID);
    } while (end - start < seconds);
    return (end - start) / (double)count;
}

static float *numbers(size_t count) {
    float *x = aligned_alloc(64, (count * sizeof *x + 63) / 64 * 64);
    if (x == NULL)
        abort();
    for (size_t n = 0; n < count; n++)
        x[n] = (float)(drand48() - 0.5);
    return x;
}

static contest new_contest(const attn_kernels *kernels, attn_precision precision, size_t rows, size_t width,
                           size_t depth) {
    contest c = {.rows = rows, .width = width, .depth = depth, .kernels = kernels};
    c.x = numbers(rows * depth), c.w = numbers(width * depth), c.bias = numbers(width),
    c.y = numbers(rows * width);
    if (!attn_pack(&c.packed, kernels, precision, width, depth, c.w))
        abort();
    return c;
}

/* What it computes; points into the contest. */
static void set_linear(contest *c) {
    c->part = (attn_linear_part){c->x, c->rows};
    c->linear = (attn_linear){.weight = &c->packed,
                              .bias = c->bias,
                              .parts = &c->part,
                              .part_count = 1,
                              .unit = 64,
                              .deliver = deliver,
                              .context = c};
    c->scratch = aligned_alloc(64, attn_linear_scratch(&c->linear, 1));
    if (c->scratch == NULL)
        abort();
}

static void free_contest(contest *c) {
    attn_packed_free(&c->packed);
    free(c->x), free(c->w), free(c->bias), free(c->y), free(c->scratch);
}

static void measure(const attn_kernels *kernels, attn_precision precision, size_t rows, size_t width,
                    size_t depth) {
    enum { OURS, OPENBLAS, READING, COMPUTING, CONTESTANTS };
    static void (*const contestants[CONTESTANTS])(contest *) = {ours, openblas, reading, computing};
    contest c = new_contest(kernels, precision, rows, width, depth);
    set_linear(&c);
    double times[CONTESTANTS][ROUNDS], middle[CONTESTANTS];
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t n = 0; n < CONTESTANTS; n++)
            times[n][round] = turn(contestants[n], &c, TURN);
    for (size_t n = 0; n < CONTESTANTS; n++)
        middle[n] = median(times[n], ROUNDS);
    const double limit = middle[READING] > middle[COMPUTING] ? middle[READING] : middle[COMPUTING];
    printf("%-8s %-8s %5zu x %4zu x %4zu  %9.1f us  OpenBLAS %9.1f us (%5.2fx)  %5.1f %% of the limit (%s "
           "%5.1f %s)\n",
           kernels->name, attn_precision_name(precision), rows, width, depth, middle[OURS] * 1e6,
           middle[OPENBLAS] * 1e6, middle[OPENBLAS] / middle[OURS], 100 * limit / middle[OURS],
           middle[READING] > middle[COMPUTING] ? "reads" : "computes",
           middle[READING] > middle[COMPUTING] ? (double)c.packed.bytes / middle[READING] / 1e9
                                               : 2e-9 * (double)(rows * width * depth) / middle[COMPUTING],
           middle[READING] > middle[COMPUTING] ? "GB/s" : "GFLOP/s");
    fflush(stdout);
    free_contest(&c);
}

/* One row with weights of each precision, in turns. */
static void compare_precisions(const attn_kernels *kernels, size_t width, size_t depth) {
    contest c[ATTN_PRECISIONS];
    double times[ATTN_PRECISIONS][ROUNDS];
    for (attn_precision p = ATTN_FLOAT32; p < ATTN_PRECISIONS; p++) {
        c[p] = new_contest(kernels, p, 1, width, depth);
        set_linear(&c[p]);
    }
    for (size_t round = 0; round < ROUNDS; round++)
        for (attn_precision p = ATTN_FLOAT32; p < ATTN_PRECISIONS; p++)
            times[p][round] = turn(ours, &c[p], LONG_TURN);
    const double float32 = median(times[ATTN_FLOAT32], ROUNDS);
    printf("%-8s     1 x %4zu x %4zu  float32 %9.1f us", kernels->name, width, depth, float32 * 1e6);
    for (attn_precision p = ATTN_BFLOAT16; p < ATTN_PRECISIONS; p++)
        printf("  %s %5.2fx as fast", attn_precision_name(p), float32 / median(times[p], ROUNDS));
    printf("\n");
    for (attn_precision p = ATTN_FLOAT32; p < ATTN_PRECISIONS; p++)
        free_contest(&c[p]);
}

static attn_precision precision_named(const char *name) {
    for (attn_precision p = ATTN_FLOAT32; p < ATTN_PRECISIONS; p++)
        if (strcmp(name, attn_precision_name(p)) == 0)
            return p;
    fprintf(stderr, "no precision is called %s\n", name);
    exit(2);
}

/* What the machine can do with the best set, for a program that reads it. */
static void print_limits(char **sizes, size_t count) {
    enum { WORK = 1 << 26 }; /* multiplications of a turn */
    const attn_kernels *kernels = attn_kernels_named("auto");
    contest c = {.rows = 1, .width = WORK, .depth = 1, .kernels = kernels};
    double times[ROUNDS];
    for (size_t round = 0; round < ROUNDS; round++)
        times[round] = turn(computing, &c, TURN);
    printf("kernels %s\nfma_per_second %.6g\n", kernels->name, WORK / median(times, ROUNDS));
    for (size_t n = 0; n < count; n++) {
        c.packed.bytes = strtoull(sizes[n], NULL, 10);
        c.packed.numbers = numbers(c.packed.bytes / sizeof(float));
        for (size_t round = 0; round < ROUNDS; round++)
            times[round] = turn(reading, &c, TURN);
        printf("bytes_per_second_of_%zu %.6g\n", c.packed.bytes,
               (double)c.packed.bytes / median(times, ROUNDS));
        free(c.packed.numbers);
    }
}

int main(int argc, char **argv) {
    static const size_t shapes[][2] = {{1536, 512}, {512, 512},   {768, 768},
                                       {384, 384},  {4096, 4096}, {1024, 4096}};
    static const size_t usual[] = {1, 2, 3, 4, 6, 8, 11, 15, 16, 20, 32, 64, 200, 1024};
    if (argc > 1 && strcmp(argv[1], "--limits") == 0) {
        print_limits(argv + 2, (size_t)argc - 2);
        return 0;
    }
    const bool precisions = argc > 1 && strcmp(argv[1], "--precisions") == 0;
    argv += precisions, argc -= precisions;
    const attn_kernels *kernels = attn_kernels_named(argc > 1 ? argv[1] : "auto");
    if (kernels != NULL && precisions) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            compare_precisions(kernels, shapes[s][0], shapes[s][1]);
        return 0;
    }
    const attn_precision precision = precision_named(argc > 2 ? argv[2] : "float32");
    if (kernels == NULL) {
        fprintf(stderr, "this CPU has: %s\n", attn_kernels_names());
        return 2;
    }
    openblas_set_num_threads(1);
    const size_t count = argc > 3 ? (size_t)argc - 3 : sizeof usual / sizeof *usual;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t n = 0; n < count; n++)
            measure(kernels, precision, argc > 3 ? strtoull(argv[n + 3], NULL, 10) : usual[n], shapes[s][0],
                    shapes[s][1]);
    return 0;
}
