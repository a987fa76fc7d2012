/* The scale of colours, and the numbers beside its bar. */
#include "server/picture/colour_scale.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <math.h>

Test(colour_scale, ticks_are_on_the_scale_and_apart) {
    uint64_t state = test_seed("ticks");
    for (size_t n = 0; n < 2000; n++) {
        const picture_scale kind = (picture_scale)random_below(&state, 3);
        const double largest = pow(10, 20 * (double)random_float(&state) - 18);
        const double smallest = largest * pow(10, -12 * fabs((double)random_float(&state)));
        const colour_scale scale = colour_scale_for(kind, smallest, largest);
        double ticks[COLOUR_SCALE_TICKS_MAX];
        const double gap = 0.02 + 0.1 * fabs((double)random_float(&state));
        const size_t count = colour_scale_ticks(&scale, gap, ticks);
        cr_expect(count >= 2 && count <= 40, "%zu ticks", count);
        cr_expect(scale.most == largest && ticks[0] == largest && ticks[1] == scale.least);
        cr_expect(kind == PICTURE_LOG ? scale.least >= 0.9e-6 * largest && scale.least <= largest / 10
                                      : scale.least == 0);
        for (size_t a = 0; a < count; a++) {
            cr_expect(ticks[a] >= scale.least && ticks[a] <= scale.most);
            for (size_t b = 0; b < a; b++)
                cr_expect_geq(
                    fabs(colour_scale_position(&scale, ticks[a]) - colour_scale_position(&scale, ticks[b])),
                    gap);
        }
        const double one = largest * fabs((double)random_float(&state));
        cr_expect_leq(colour_scale_position(&scale, one / 2), colour_scale_position(&scale, one));
    }
}

/* Which weights get a number. */
static void expect_ticks(picture_scale kind, double smallest, double largest, size_t count,
                         const double *expected) {
    const colour_scale scale = colour_scale_for(kind, smallest, largest);
    double ticks[COLOUR_SCALE_TICKS_MAX];
    cr_assert_eq(colour_scale_ticks(&scale, 0.05, ticks), count);
    for (size_t n = 0; n < count; n++) {
        bool found = false;
        for (size_t at = 0; at < count; at++)
            found |= fabs(ticks[at] - expected[n]) <= 1e-9 * expected[n];
        cr_expect(found, "%g is missing", expected[n]);
    }
}

Test(colour_scale, ticks_are_round_numbers) {
    expect_ticks(PICTURE_LINEAR, 0.1, 1, 6, (const double[]){0, 0.2, 0.4, 0.6, 0.8, 1});
    expect_ticks(PICTURE_LINEAR, 0.1, 0.32, 5, (const double[]){0, 0.1, 0.2, 0.3, 0.32});
    expect_ticks(PICTURE_SQRT, 0.1, 1, 8, (const double[]){0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1});
    expect_ticks(PICTURE_LOG, 0.04, 0.9, 6, (const double[]){0.04, 0.05, 0.1, 0.2, 0.5, 0.9});
    expect_ticks(PICTURE_LOG, 1e-9, 1, 7, (const double[]){1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1});
    expect_ticks(PICTURE_LINEAR, 0, 0, 6, (const double[]){0, 0.2, 0.4, 0.6, 0.8, 1});
}
