#include "core/kernels/linear.h"

#include "core/size.h"

#include <string.h>

/* Most rows of a task: enough to pay for reading the weights, and few enough that the copy of their numbers
 * stays in the L2 cache beside a panel of weights and the results. */
enum { TASK_ROWS = 96 };
/* Columns of a task: fewer where there would be too few tasks for several threads otherwise. */
enum { FEW_ROWS = 12, FEW_ROWS_COLUMNS = 128, WIDE = 2048, WIDE_COLUMNS = 512, COLUMNS = 256 };
/* From so many rows on, narrow weights are widened once for all rows instead of at each use. */
enum { WIDEN_ROWS = 16 };
enum { ALIGNMENT = 64, ALIGNED_FLOATS = ALIGNMENT / sizeof(float) };

/* Rows [row, row + rows) of a part. */
typedef struct {
    size_t part, row, rows;
} piece;

typedef struct {
    const attn_linear *linear;
    size_t rows; /* of all parts */
    size_t row_blocks;
    size_t columns;       /* of a task */
    size_t column_blocks; /* tasks side by side */
    size_t depth, depths; /* of a block of the sum, and their count */
    size_t block_rows;    /* most rows of a task */
    size_t x_row, y_row;  /* distances of rows in the scratch memory; no powers of two, as rows that are
                           * 4 KiB apart compete for the same lines of the L1 cache */
    size_t pieces_at, x_at, y_at, panel_at, bias_at, bytes; /* in the scratch memory of a slot */
    size_t first_task;                                      /* among those of all products */
} plan;

/* Several products in one loop. */
typedef struct {
    plan plans[ATTN_LINEARS];
    size_t count, tasks;
    size_t slot_bytes;
    char *scratch;
} plans;

static size_t common_multiple(size_t a, size_t b) {
    size_t x = a, y = b;
    while (y > 0) {
        const size_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* Tasks begin at multiples of the unit. If possible also at the beginning of a panel; else a panel that lies
 * in two tasks is computed in both. */
static size_t task_columns(const attn_linear *linear, size_t rows) {
    const size_t most = rows <= FEW_ROWS                ? FEW_ROWS_COLUMNS
                        : linear->weight->width >= WIDE ? WIDE_COLUMNS
                                                        : COLUMNS;
    const size_t unit = linear->unit > 0 ? linear->unit : 1;
    const size_t both = common_multiple(unit, linear->weight->kernels->weight_panel);
    const size_t step = both <= 2 * most ? both : unit;
    return step >= most ? step : most / step * step;
}

static size_t reserve(size_t *bytes, size_t size) {
    const size_t at = *bytes;
    *bytes += attn_round_up(size, ALIGNMENT);
    return at;
}

/* Rows [*first, *last), among those of all parts, of a block of rows. */
static void rows_of_block(const plan *p, size_t block, size_t *first, size_t *last) {
    *first = p->rows * block / p->row_blocks;
    *last = p->rows * (block + 1) / p->row_blocks;
}

static plan plan_of(const attn_linear *linear) {
    const attn_packed *weight = linear->weight;
    const size_t panel = weight->kernels->weight_panel;
    plan p = {.linear = linear};
    for (size_t n = 0; n < linear->part_count; n++)
        p.rows += linear->parts[n].rows;
    p.row_blocks = attn_divide_up(p.rows, TASK_ROWS);
    p.block_rows = p.row_blocks > 0 ? attn_divide_up(p.rows, p.row_blocks) : 0;
    p.columns = task_columns(linear, p.rows);
    p.column_blocks = attn_divide_up(weight->width, p.columns);
    p.depths = weight->depth > 0 ? attn_divide_up(weight->depth, ATTN_DEPTH) : 1;
    p.depth = attn_divide_up(weight->depth, p.depths);
    if (weight->precision == ATTN_INT8 && p.depths > 1)
        p.depth = ATTN_DEPTH; /* each block of the sum has its scales */
    p.x_row = attn_round_up(p.depth, ALIGNED_FLOATS) + ALIGNED_FLOATS;
    p.y_row = attn_round_up(p.columns + 2 * panel, ALIGNED_FLOATS) + ALIGNED_FLOATS;
    p.pieces_at = reserve(&p.bytes, p.block_rows * sizeof(piece));
    p.x_at = reserve(&p.bytes, p.block_rows * p.x_row * sizeof(float));
    p.y_at = reserve(&p.bytes, p.block_rows * p.y_row * sizeof(float));
    p.panel_at = reserve(&p.bytes, panel * p.depth * sizeof(float));
    p.bias_at = reserve(&p.bytes, p.y_row * sizeof(float));
    return p;
}

static plans plans_of(const attn_linear *linears, size_t count) {
    plans all = {.count = count};
    for (size_t n = 0; n < count; n++) {
        plan *p = &all.plans[n];
        *p = plan_of(&linears[n]);
        p->first_task = all.tasks;
        all.tasks += p->row_blocks * p->column_blocks;
        all.slot_bytes = p->bytes > all.slot_bytes ? p->bytes : all.slot_bytes;
    }
    return all;
}

size_t attn_linear_scratch(const attn_linear *linears, size_t count) {
    return plans_of(linears, count).slot_bytes;
}

static bool is_stopped(const attn_linear *linear, size_t part) {
    return linear->stopped != NULL && linear->stopped(linear->context, part);
}

/* Lists the pieces of rows [first, last) of all parts together, without the parts that have stopped. */
static size_t find_pieces(const attn_linear *linear, size_t first, size_t last, piece *pieces) {
    size_t count = 0;
    for (size_t part = 0, from = 0; part < linear->part_count && from < last; part++) {
        const size_t to = from + linear->parts[part].rows;
        const size_t begin = first > from ? first : from, end = last < to ? last : to;
        if (begin < end && !is_stopped(linear, part))
            pieces[count++] = (piece){part, begin - from, end - begin};
        from = to;
    }
    return count;
}

static bool all_stopped(const attn_linear *linear, const piece *pieces, size_t count) {
    for (size_t n = 0; n < count; n++)
        if (!is_stopped(linear, pieces[n].part))
            return false;
    return true;
}

/* Numbers [k, k + product->depth) of each row: in place, if the rows are one piece and do not compete for the
 * same lines of the L1 cache; else copied to x. */
static void find_rows(const plan *p, const piece *pieces, size_t count, size_t k, float *x,
                      attn_product *product) {
    const size_t row_numbers = p->linear->weight->depth;
    product->a_step = 1;
    if (count == 1 && row_numbers % (4096 / sizeof *x) > 0) {
        product->rows = pieces->rows;
        product->a = p->linear->parts[pieces->part].x + pieces->row * row_numbers + k;
        product->a_row = row_numbers;
        return;
    }
    size_t rows = 0;
    for (size_t n = 0; n < count; n++) {
        const float *from = p->linear->parts[pieces[n].part].x + pieces[n].row * row_numbers + k;
        for (size_t r = 0; r < pieces[n].rows; r++, rows++)
            memcpy(x + rows * p->x_row, from + r * row_numbers, product->depth * sizeof *x);
    }
    product->rows = rows;
    product->a = x;
    product->a_row = p->x_row;
}

/* The weights of the columns from `column` on, which begins a panel, and of the numbers from k on. */
static const char *weights_at(const attn_packed *weight, size_t column, size_t k) {
    return (const char *)weight->numbers + (column * weight->depth + k * weight->kernels->weight_panel) *
                                               attn_precision_bytes(weight->precision);
}

/* The product of one block of the sum with the panels from column `column` on, which begins a panel. Narrow
 * weights are widened a panel at a time if there are many rows. */
static void multiply(const plan *p, attn_product *product, size_t column, size_t k, float *wide) {
    const attn_packed *weight = p->linear->weight;
    const attn_kernels *kernels = weight->kernels;
    const size_t panel = kernels->weight_panel;
    product->b_row = panel;
    product->b_panel = weight->depth * panel;
    product->b_scale =
        weight->scales == NULL ? NULL : weight->scales + k / ATTN_DEPTH * weight->scale_row + column;
    const bool apart = kernels->weight_product != NULL;
    if (weight->precision == ATTN_FLOAT32 || (product->rows < WIDEN_ROWS && !apart)) {
        product->b = weights_at(weight, column, k);
        (apart ? kernels->weight_product : kernels->product[weight->precision])(product);
        return;
    }
    attn_product one = *product;
    one.b = wide;
    one.b_after = NULL;
    for (size_t done = 0; done < product->columns; done += panel) {
        const size_t rest = product->columns - done;
        one.columns = rest < panel ? rest : panel;
        one.y = product->y + done;
        one.bias = product->bias == NULL ? NULL : product->bias + done;
        one.b_scale = product->b_scale == NULL ? NULL : product->b_scale + done;
        kernels->widen[weight->precision](product->depth * panel, weights_at(weight, column + done, k), wide);
        (apart ? kernels->weight_product : kernels->product[ATTN_FLOAT32])(&one);
    }
}

static void deliver(const plan *p, const piece *pieces, size_t count, size_t column, size_t columns,
                    float *y) {
    const attn_linear *linear = p->linear;
    for (size_t n = 0; n < count; n++) {
        linear->deliver(linear->context, pieces[n].part, pieces[n].row, pieces[n].rows, column, columns, y,
                        p->y_row);
        y += pieces[n].rows * p->y_row;
    }
}

static const plan *plan_with(const plans *all, size_t task) {
    size_t n = all->count - 1;
    while (all->plans[n].first_task > task)
        n--;
    return &all->plans[n];
}

/* The first weights of the task after the one that ends at column `last` of a block of rows: the task that
 * this thread will most likely have next. */
static const char *weights_after(const plans *all, const plan *p, size_t block, size_t last) {
    const attn_packed *weight = p->linear->weight;
    if (last < weight->width)
        return weights_at(weight, last / weight->kernels->weight_panel * weight->kernels->weight_panel, 0);
    if (block + 1 == p->row_blocks && p + 1 < all->plans + all->count)
        p++;
    return weights_at(p->linear->weight, 0, 0);
}

static void run_task(void *loop, size_t round, size_t slot) {
    const plans *all = loop;
    const plan *p = plan_with(all, round);
    const attn_linear *linear = p->linear;
    const attn_kernels *kernels = linear->weight->kernels;
    char *scratch = all->scratch + slot * all->slot_bytes;
    piece *pieces = (piece *)(void *)(scratch + p->pieces_at);
    float *x = (float *)(void *)(scratch + p->x_at), *y = (float *)(void *)(scratch + p->y_at);
    float *bias = (float *)(void *)(scratch + p->bias_at), *wide = (float *)(void *)(scratch + p->panel_at);

    const size_t task = round - p->first_task;
    const size_t block = task / p->column_blocks, column = task % p->column_blocks * p->columns;
    const size_t width = linear->weight->width;
    const size_t last = column + p->columns < width ? column + p->columns : width;
    const size_t begin = column / kernels->weight_panel * kernels->weight_panel;
    const size_t columns = attn_round_up(last - begin, kernels->weight_panel);
    size_t first_row, last_row;
    rows_of_block(p, block, &first_row, &last_row);
    const size_t count = find_pieces(linear, first_row, last_row, pieces);
    if (linear->bias != NULL) {
        memset(bias, 0, columns * sizeof *bias);
        memcpy(bias, linear->bias + begin, (last - begin) * sizeof *bias);
    }
    for (size_t n = 0; n < p->depths; n++) {
        const size_t k = n * p->depth, rest = linear->weight->depth - k;
        if (all_stopped(linear, pieces, count))
            return;
        attn_product product = {.columns = columns, .depth = rest < p->depth ? rest : p->depth};
        find_rows(p, pieces, count, k, x, &product);
        product.y = y;
        product.y_row = p->y_row;
        product.add = n > 0;
        product.bias = linear->bias != NULL && n + 1 == p->depths ? bias : NULL;
        product.b_after = n + 1 < p->depths ? weights_at(linear->weight, begin, k + p->depth)
                                            : weights_after(all, p, block, last);
        multiply(p, &product, begin, k, wide);
    }
    deliver(p, pieces, count, column, last - column, y + (column - begin));
}

void attn_linear_run(const attn_linear *linears, size_t count, const attn_parallel *parallel, char *scratch) {
    plans all = plans_of(linears, count);
    all.scratch = scratch;
    attn_parallel_run(parallel, all.tasks, run_task, &all);
}
