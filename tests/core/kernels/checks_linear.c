#include "tests/core/kernels/checks.h"

#include "tests/core/kernels/arrays.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

enum { SHAPES = 8, MOST_PARTS = 20 };

static void *memory(size_t bytes) {
    void *block = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (block == NULL)
        abort();
    return block;
}

/* ---- Threads
 * -------------------------------------------------------------------------------------------------- */

enum { SLOTS = 3 };

typedef struct {
    attn_round *round;
    void *loop;
    size_t rounds;
    atomic_size_t next, slots;
} shared_loop;

static void *help(void *context) {
    shared_loop *s = context;
    const size_t slot = atomic_fetch_add(&s->slots, 1);
    for (size_t n; (n = atomic_fetch_add(&s->next, 1)) < s->rounds;)
        s->round(s->loop, n, slot);
    return NULL;
}

static void run_on_threads(const attn_parallel *parallel, size_t rounds, attn_round *round, void *loop) {
    shared_loop s = {.round = round, .loop = loop, .rounds = rounds};
    pthread_t threads[SLOTS];
    for (size_t n = 0; n < parallel->slots; n++)
        if (pthread_create(&threads[n], NULL, help, &s) != 0)
            abort();
    for (size_t n = 0; n < parallel->slots; n++)
        pthread_join(threads[n], NULL);
}

static const attn_parallel THREADS = {SLOTS, run_on_threads};

/* ---- Packing
 * -------------------------------------------------------------------------------------------------- */

/* What a weight is rounded to. */
static double rounded(attn_precision precision, float weight, float largest) {
    if (precision == ATTN_FLOAT32)
        return (double)weight;
    if (precision == ATTN_BFLOAT16) {
        int exponent;
        frexp((double)weight, &exponent);
        const double unit = ldexp(1, exponent - 8); /* eight bits are kept; rint takes ties to even */
        return rint((double)weight / unit) * unit;
    }
    const float scale = largest / 127;
    return scale > 0 ? (double)(rintf(weight / scale) * scale) : 0;
}

/* The largest of the numbers that share a scale with number k. */
static float largest_beside(const float *row, size_t depth, size_t k) {
    const size_t first = k / 256 * 256, last = depth - first < 256 ? depth : first + 256;
    float largest = 0;
    for (size_t n = first; n < last; n++)
        largest = fmaxf(largest, fabsf(row[n]));
    return largest;
}

bool check_packing(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < 3 * SHAPES && good; shape++) {
        const attn_precision precision = shape % ATTN_PRECISIONS;
        const size_t width = between(&seed, 1, 150), depth = between(&seed, 1, shape % 2 ? 70 : 700);
        float *weight = random_array(width * depth, &seed);
        if (shape % 2)
            memset(weight, 0, depth * sizeof *weight);
        weight[random_below(&seed, width * depth)] = 50; /* spoils its own block only */
        attn_packed packed;
        if (!attn_pack(&packed, kernels, precision, width, depth, weight))
            return FAIL("no memory");
        for (size_t at = 0; at < width * depth && good; at++) {
            const float *row = weight + at / depth * depth;
            const double expected = rounded(precision, weight[at], largest_beside(row, depth, at % depth));
            const float found = attn_packed_at(&packed, at / depth, at % depth);
            if ((double)found != expected)
                good = FAIL("%s [%zu][%zu] is %.9g, not %.9g", attn_precision_name(precision), at / depth,
                            at % depth, (double)found, expected);
        }
        attn_packed_free(&packed);
        good = good && packed.numbers == NULL;
        free(weight);
    }
    attn_packed packed;
    if (attn_pack(&packed, kernels, ATTN_FLOAT32, SIZE_MAX / 8, 1000, NULL) || packed.numbers != NULL ||
        attn_pack(&packed, kernels, ATTN_FLOAT32, SIZE_MAX - 1, 1, NULL) || packed.numbers != NULL)
        return FAIL("packed more than there is");
    return good;
}

/* ---- Projections
 * ---------------------------------------------------------------------------------------------- */

/* A projection of random shape, its parts, and where their results go. */
typedef struct {
    attn_linear linear;
    attn_linear_part parts[MOST_PARTS];
    float *y[MOST_PARTS];
    atomic_size_t delivered[MOST_PARTS];
    atomic_bool apart; /* was a unit delivered in two pieces? */
    attn_packed weight;
    float *bias;
    size_t stopped; /* this part, from the beginning */
} projection;

static void deliver(void *context, size_t part, size_t row, size_t rows, size_t column, size_t columns,
                    float *y, size_t y_row) {
    projection *p = context;
    const size_t width = p->weight.width;
    if (column % p->linear.unit != 0 || (columns % p->linear.unit != 0 && column + columns != width))
        p->apart = true;
    for (size_t m = 0; m < rows; m++)
        for (size_t n = 0; n < columns; n++) {
            p->y[part][(row + m) * width + column + n] = y[m * y_row + n];
            y[m * y_row + n] = NAN; /* they are ours to change */
        }
    p->delivered[part] += rows * columns;
}

static bool stopped(void *context, size_t part) {
    const projection *p = context;
    return part == p->stopped;
}

static projection *new_projection(const attn_kernels *kernels, attn_precision precision, uint64_t *seed) {
    projection *p = memory(sizeof *p);
    memset(p, 0, sizeof *p);
    const size_t unit = between(seed, 1, random_below(seed, 3) ? 24 : 200);
    const size_t width = unit * between(seed, 1, 1 + 1300 / unit), depth = between(seed, 1, 700);
    float *weight = random_array(width * depth, seed);
    if (!attn_pack(&p->weight, kernels, precision, width, depth, weight))
        abort();
    free(weight);
    p->bias = random_array(width, seed);
    p->stopped = MOST_PARTS;
    const size_t parts = between(seed, 1, MOST_PARTS);
    for (size_t n = 0; n < parts; n++) {
        const size_t rows = between(seed, 0, random_below(seed, 4) ? 3 : 120);
        p->parts[n] = (attn_linear_part){random_array(rows * depth, seed), rows};
        p->y[n] = memory(rows * width * sizeof(float));
    }
    p->linear = (attn_linear){.weight = &p->weight,
                              .bias = random_below(seed, 4) ? p->bias : NULL,
                              .parts = p->parts,
                              .part_count = parts,
                              .unit = unit,
                              .deliver = deliver,
                              .stopped = random_below(seed, 2) ? stopped : NULL,
                              .context = p};
    return p;
}

static void free_projection(projection *p) {
    for (size_t n = 0; n < p->linear.part_count; n++) {
        free((float *)p->parts[n].x);
        free(p->y[n]);
    }
    attn_packed_free(&p->weight);
    free(p->bias);
    free(p);
}

/* In one loop. */
static void run_all(projection *const *p, size_t count, const attn_parallel *parallel) {
    attn_linear linears[ATTN_LINEARS];
    for (size_t n = 0; n < count; n++) {
        linears[n] = p[n]->linear;
        for (size_t part = 0; part < MOST_PARTS; part++)
            p[n]->delivered[part] = 0;
    }
    char *scratch = memory(attn_linear_scratch(linears, count) * attn_parallel_slots(parallel));
    attn_linear_run(linears, count, parallel, scratch);
    free(scratch);
}

static void run(projection *p, const attn_parallel *parallel) {
    run_all(&p, 1, parallel);
}

/* Is row m of a part what plain loops make of it? */
static bool row_is_right(const projection *p, size_t part, size_t m) {
    const size_t width = p->weight.width, depth = p->weight.depth;
    for (size_t n = 0; n < width; n += 1 + width / 50) {
        const double bias = p->linear.bias == NULL ? 0 : (double)p->bias[n];
        double sum = bias, sizes = fabs(bias);
        for (size_t k = 0; k < depth; k++) {
            const double term =
                (double)p->parts[part].x[m * depth + k] * (double)attn_packed_at(&p->weight, n, k);
            sum += term, sizes += fabs(term);
        }
        if (!(fabs((double)p->y[part][m * width + n] - sum) <= 0x1p-23 * 16 * sizes))
            return false;
    }
    return true;
}

bool check_linear(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < 3 * SHAPES && good; shape++) {
        projection *p = new_projection(kernels, shape % ATTN_PRECISIONS, &seed);
        run(p, NULL);
        for (size_t n = 0; n < p->linear.part_count && good; n++) {
            const size_t rows = p->parts[n].rows;
            if (p->delivered[n] != rows * p->weight.width)
                good = FAIL("%zu of %zu numbers were delivered", (size_t)p->delivered[n],
                            rows * p->weight.width);
            for (size_t m = 0; m < rows && good; m += 1 + rows / 5)
                if (!row_is_right(p, n, m))
                    good = FAIL("%s, %zu x %zu: row %zu of %zu is wrong",
                                attn_precision_name(p->weight.precision), p->weight.width, p->weight.depth, m,
                                rows);
        }
        if (p->apart)
            good = FAIL("a unit of %zu was delivered in two pieces", p->linear.unit);
        free_projection(p);
    }
    return good;
}

/* Is a part's result the same to the bit when it is computed alone, and row by row? */
static bool same_alone(projection *p, size_t part) {
    const size_t width = p->weight.width, depth = p->weight.depth, rows = p->parts[part].rows;
    projection one = {.weight = p->weight, .linear = p->linear, .stopped = MOST_PARTS};
    one.linear.parts = one.parts, one.linear.part_count = 1, one.linear.context = &one;
    one.linear.weight = &one.weight;
    one.parts[0] = p->parts[part];
    one.y[0] = memory(rows * width * sizeof(float));
    run(&one, NULL);
    bool same = memcmp(one.y[0], p->y[part], rows * width * sizeof(float)) == 0;
    for (size_t m = 0; m < rows; m += 1 + rows / 4) {
        one.parts[0] = (attn_linear_part){p->parts[part].x + m * depth, 1};
        run(&one, NULL);
        same = same && memcmp(one.y[0], p->y[part] + m * width, width * sizeof(float)) == 0;
    }
    free(one.y[0]);
    return same;
}

bool check_linear_bits(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < 3 * SHAPES && good; shape++) {
        projection *p = new_projection(kernels, shape % ATTN_PRECISIONS, &seed);
        run(p, &THREADS);
        for (size_t n = 0; n < p->linear.part_count && good; n++)
            if (!same_alone(p, n))
                good = FAIL("%s, %zu x %zu: a part of %zu rows has other bits alone",
                            attn_precision_name(p->weight.precision), p->weight.width, p->weight.depth,
                            p->parts[n].rows);
        free_projection(p);
    }
    return good;
}

/* Has every part of a product that was computed with others the bits that it has by itself? */
static bool same_by_itself(const attn_kernels *kernels, projection *p) {
    for (size_t n = 0; n < p->linear.part_count; n++) {
        if (p->delivered[n] != p->parts[n].rows * p->weight.width)
            return FAIL("%zu of %zu numbers were delivered", (size_t)p->delivered[n],
                        p->parts[n].rows * p->weight.width);
        if (!same_alone(p, n))
            return FAIL("%zu x %zu: a part of %zu rows has other bits by itself", p->weight.width,
                        p->weight.depth, p->parts[n].rows);
    }
    return true;
}

bool check_linears(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < SHAPES && good; shape++) {
        projection *p[ATTN_LINEARS];
        const size_t count = between(&seed, 1, ATTN_LINEARS);
        for (size_t n = 0; n < count; n++)
            p[n] = new_projection(kernels, (attn_precision)random_below(&seed, ATTN_PRECISIONS), &seed);
        run_all(p, count, random_below(&seed, 2) ? &THREADS : NULL);
        for (size_t n = 0; n < count; n++) {
            good = good && same_by_itself(kernels, p[n]);
            free_projection(p[n]);
        }
    }
    return good;
}

bool check_stopped(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < SHAPES && good; shape++) {
        projection *p = new_projection(kernels, shape % ATTN_PRECISIONS, &seed);
        p->linear.stopped = stopped;
        p->stopped = random_below(&seed, p->linear.part_count);
        run(p, NULL);
        for (size_t n = 0; n < p->linear.part_count && good; n++) {
            const size_t expected = n == p->stopped ? 0 : p->parts[n].rows * p->weight.width;
            if (p->delivered[n] != expected)
                good =
                    FAIL("%zu numbers of a part were delivered, not %zu", (size_t)p->delivered[n], expected);
            else if (expected > 0 && !row_is_right(p, n, 0))
                good = FAIL("a row is wrong when another part has stopped");
        }
        free_projection(p);
    }
    return good;
}
