/* Views: what is refused and how that is said, what is cut, and which shape comes out. */
#include "server/attend/view.h"
#include "tests/arena.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <string.h>

TestSuite(view, .init = set_up, .fini = tear_down);

/* B 3, L 10, S+ 12 (one of them extra), H 8, unless another size is given. */
static const attn_config config = {.num_heads = 8, .add_zero_attn = true};
static attn_input input = {.B = 3, .L = 10, .S = 11};

/* A list of `count` numbers; none is a list that is absent. */
static request_wholes list(size_t count, ...) {
    request_wholes wholes = {count > 0, count, attn_arena_array(arena, count, sizeof(size_t))};
    va_list numbers;
    va_start(numbers, count);
    for (size_t i = 0; i < count; i++)
        wholes.items[i] = va_arg(numbers, size_t);
    va_end(numbers);
    return wholes;
}

#define Z              (size_t)
#define ONE(a)         list(1, Z a)
#define TWO(a, b)      list(2, Z a, Z b)
#define THREE(a, b, c) list(3, Z a, Z b, Z c)
#define MOST           9007199254740991

static attn_view view;
static view_shape shape;
static problem p;

static problem_code resolve(request_view given) {
    given.present = true;
    memset(&p, 0, sizeof p);
    return view_resolve(&given, &config, &input, arena, &view, &shape, &p);
}

static void refused(request_view given, const char *path, const char *sentence) {
    cr_assert_eq(resolve(given), PROBLEM_BAD_VALUE, "%s", sentence);
    cr_expect_str_eq(p.path, path, "%s", p.path);
    cr_expect_str_eq(p.text, sentence, "%s", p.text);
}

Test(view, of_everything) {
    for (int present = 0; present < 2; present++) {
        const request_view nothing = {.present = present == 1};
        cr_assert_eq(view_resolve(&nothing, &config, &input, arena, &view, &shape, &p), PROBLEM_NONE);
        cr_expect(view.batch == NULL && view.batch_count == 3 && view.heads == NULL && view.head_count == 8);
        cr_expect(view.row_from == 0 && view.row_to == 10 && view.col_from == 0 && view.col_to == 12);
        cr_expect(view.pooled_rows == 0 && view.pooled_cols == 0 && view.top_k == 0 && !view.average);
        cr_expect(shape.rows == 10 && shape.columns == 12 && !shape.top_k);
    }
}

Test(view, lists) {
    cr_assert_eq(resolve((request_view){.batch = ONE(2), .heads = THREE(7, 0, 3)}), PROBLEM_NONE, "%s",
                 p.text);
    cr_expect(view.batch_count == 1 && view.batch[0] == 2);
    cr_expect(view.head_count == 3 && view.heads[0] == 7 && view.heads[1] == 0 && view.heads[2] == 3);
    refused((request_view){.heads = THREE(7, 0, 8)}, "view.heads[2]",
            "view.heads[2] is 8, expected a head from 0 to 7");
    refused((request_view){.batch = TWO(MOST, 0)}, "view.batch[0]",
            "view.batch[0] is 9007199254740991, expected a batch entry from 0 to 2");
    refused((request_view){.heads = THREE(1, 0, 1)}, "view.heads[2]",
            "view.heads[2] is 1, which the list has already; expected each head once");
    refused((request_view){.heads = {.present = true}}, "view.heads",
            "view.heads is empty, expected at least one head");
    refused((request_view){.batch = {.present = true}}, "view.batch",
            "view.batch is empty, expected at least one batch entry");
}

Test(view, windows) {
    cr_assert_eq(resolve((request_view){.rows = TWO(3, 10), .cols = TWO(0, 1)}), PROBLEM_NONE, "%s", p.text);
    cr_expect(view.row_from == 3 && view.row_to == 10 && view.col_from == 0 && view.col_to == 1);
    cr_expect(shape.rows == 7 && shape.columns == 1);
    cr_assert_eq(resolve((request_view){.cols = TWO(11, 12)}), PROBLEM_NONE, "the extra key: %s", p.text);
    refused((request_view){.rows = TWO(3, 3)}, "view.rows",
            "view.rows is [3,3], expected [from,to] with 0 <= from < to <= 10, the number of queries");
    refused((request_view){.rows = TWO(4, 3)}, "view.rows",
            "view.rows is [4,3], expected [from,to] with 0 <= from < to <= 10, the number of queries");
    refused((request_view){.rows = TWO(0, 11)}, "view.rows",
            "view.rows is [0,11], expected [from,to] with 0 <= from < to <= 10, the number of queries");
    refused((request_view){.cols = TWO(0, 13)}, "view.cols",
            "view.cols is [0,13], expected [from,to] with 0 <= from < to <= 12, the number of keys (extra "
            "ones included)");
    refused((request_view){.cols = TWO(MOST, MOST)}, "view.cols",
            "view.cols is [9007199254740991,9007199254740991], expected [from,to] with 0 <= from < to <= 12, "
            "the number of keys (extra ones included)");
}

Test(view, pooling) {
    cr_assert_eq(resolve((request_view){.size = TWO(4, 5)}), PROBLEM_NONE, "%s", p.text);
    cr_expect(view.pooled_rows == 4 && view.pooled_cols == 5 && view.pool == ATTN_POOL_MAX);
    cr_expect(shape.rows == 4 && shape.columns == 5 && !shape.top_k);
    /* Cut to the window, not to the whole. */
    cr_assert_eq(resolve((request_view){
                     .rows = TWO(1, 4), .cols = TWO(2, 4), .size = TWO(MOST, 1), .pool = 1 + ATTN_POOL_SUM}),
                 PROBLEM_NONE, "%s", p.text);
    cr_expect(view.pooled_rows == 3 && view.pooled_cols == 1 && view.pool == ATTN_POOL_SUM);
    cr_expect(shape.rows == 3 && shape.columns == 1);
    cr_assert_eq(resolve((request_view){.size = TWO(1, MOST), .pool = 1 + ATTN_POOL_MEAN}), PROBLEM_NONE);
    cr_expect(view.pooled_rows == 1 && view.pooled_cols == 12 && view.pool == ATTN_POOL_MEAN);
    refused((request_view){.size = TWO(0, 5)}, "view.size",
            "view.size is [0,5], expected [height,width] of at least 1 each");
    refused((request_view){.size = TWO(5, 0)}, "view.size",
            "view.size is [5,0], expected [height,width] of at least 1 each");
    refused((request_view){.pool = 1 + ATTN_POOL_MAX}, "view.pool",
            "view.pool says how, but there is no view.size to pool into");
    refused((request_view){.pool = 1 + ATTN_POOL_MAX, .top_k = {true, 1}}, "view.pool",
            "view.pool says how, but there is no view.size to pool into");
}

Test(view, the_largest_of_each_row) {
    cr_assert_eq(resolve((request_view){.top_k = {true, 5}}), PROBLEM_NONE, "%s", p.text);
    cr_expect(view.top_k == 5 && view.pooled_rows == 0 && view.pooled_cols == 0);
    cr_expect(shape.rows == 10 && shape.columns == 5 && shape.top_k);
    cr_assert_eq(resolve((request_view){.rows = TWO(2, 4), .cols = TWO(2, 5), .top_k = {true, MOST}}),
                 PROBLEM_NONE, "%s", p.text);
    cr_expect(view.top_k == 3 && shape.rows == 2 && shape.columns == 3 && shape.top_k);
    refused((request_view){.top_k = {true, 0}}, "view.top_k", "view.top_k is 0, expected at least 1");
    refused((request_view){.top_k = {true, 3}, .size = TWO(1, 1)}, "view.top_k",
            "view.top_k excludes view.size, expected one of them");
}

Test(view, of_nothing) {
    input = (attn_input){.B = 0, .L = 0, .S = 0, .omit_extra = true};
    cr_assert_eq(resolve((request_view){.size = TWO(4, 4), .heads = ONE(7)}), PROBLEM_NONE, "%s", p.text);
    cr_expect(shape.rows == 0 && shape.columns == 0 && view.pooled_rows == 0 && view.pooled_cols == 0);
    cr_assert_eq(resolve((request_view){.top_k = {true, 4}}), PROBLEM_NONE, "%s", p.text);
    cr_expect(shape.rows == 0 && shape.columns == 0 && shape.top_k && view.top_k == 0);
    refused((request_view){.rows = TWO(0, 1)}, "view.rows", "view.rows is [0,1], but there are no queries");
    refused((request_view){.cols = TWO(0, 0)}, "view.cols",
            "view.cols is [0,0], but there are no keys (extra ones included)");
    refused((request_view){.batch = ONE(0)}, "view.batch[0]",
            "view.batch[0] is 0, but there is no batch entry at all");
    input = (attn_input){.B = 1, .L = 5, .S = 0, .omit_extra = true};
    cr_assert_eq(resolve((request_view){.size = TWO(4, 4)}), PROBLEM_NONE, "%s", p.text);
    cr_expect(shape.rows == 4 && shape.columns == 0 && view.pooled_rows == 0 && view.pooled_cols == 0);
}
