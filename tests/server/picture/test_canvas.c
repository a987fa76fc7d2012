/* The letters of a picture, and what happens at its edges. */
#include "server/picture/canvas.h"
#include "server/picture/glyphs.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <string.h>

Test(canvas, glyphs_have_straight_edges) {
    for (char c = ' '; c <= '~'; c++) {
        const char *glyph = glyph_of(c);
        const size_t width = strcspn(glyph, "/");
        size_t rows = 1;
        cr_expect(width >= 1 && width <= 5, "'%c'", c);
        for (const char *at = glyph; at[width] != '\0'; at += width + 1) {
            cr_assert_eq(at[width], '/', "'%c', row %zu", c, rows);
            rows++;
        }
        cr_expect(rows >= 7 && rows <= 9, "'%c' has %zu rows", c, rows);
        cr_expect_eq(strlen(glyph), rows * (width + 1) - 1, "'%c'", c);
        cr_expect_eq(strspn(glyph, "X./"), strlen(glyph), "'%c'", c);
        for (char other = ' '; other < c; other++)
            cr_expect_str_neq(glyph, glyph_of(other), "'%c' and '%c' look the same", c, other);
    }
    cr_expect_str_eq(glyph_of('\xc3'), glyph_of('?'));
    cr_expect_str_eq(glyph_of('\n'), glyph_of('?'));
}

/* Whatever is drawn wherever stays inside; a guard of bytes around the pixels sees the rest. */
Test(canvas, drawing_is_cut_at_the_edges) {
    enum { WIDTH = 37, HEIGHT = 23, GUARD = 4096 };
    uint64_t state = test_seed("canvas");
    uint8_t bytes[GUARD + WIDTH * HEIGHT + GUARD];
    canvas c = {WIDTH, HEIGHT, bytes + GUARD};
    memset(bytes, 7, sizeof bytes);
    for (size_t n = 0; n < 20000; n++) {
        const size_t x = 1 + random_below(&state, 2 * WIDTH), y = 1 + random_below(&state, 2 * HEIGHT);
        const size_t width = random_below(&state, 60), height = random_below(&state, 60);
        const size_t scale = 1 + random_below(&state, 2);
        canvas_fill(&c, x, y, width, height, 1);
        canvas_frame(&c, x, y, width, height, 2);
        canvas_text(&c, x, y, scale, 3, "gW*");
        canvas_text_upwards(&c, x, y, scale, 4, "gW*");
    }
    for (size_t n = 0; n < GUARD; n++)
        cr_assert(bytes[n] == 7 && bytes[GUARD + WIDTH * HEIGHT + n] == 7);
    cr_expect_neq(bytes[GUARD + WIDTH * HEIGHT - 1], 7);
}

/* Draws text and shows it as lines of X and points. */
static void expect_text(size_t scale, bool upwards, const char *text, const char *expected) {
    enum { SIDE = 14 };
    uint8_t pixels[SIDE * SIDE] = {0};
    char shown[SIDE * (SIDE + 1) + 1];
    canvas c = {SIDE, SIDE, pixels};
    if (upwards)
        canvas_text_upwards(&c, 0, SIDE - 1, scale, 1, text);
    else
        canvas_text(&c, 0, 0, scale, 1, text);
    for (size_t y = 0; y < SIDE; y++) {
        for (size_t x = 0; x < SIDE; x++)
            shown[y * (SIDE + 1) + x] = pixels[y * SIDE + x] ? 'X' : '.';
        shown[y * (SIDE + 1) + SIDE] = '\n';
    }
    shown[sizeof shown - 1] = '\0';
    cr_expect_str_eq(shown, expected, "%s", shown);
}

#define EMPTY "..............\n"

Test(canvas, text) {
    cr_expect_eq(canvas_text_width("", 1), 0);
    cr_expect_eq(canvas_text_width("7.", 1), 5 + 1 + 1);
    cr_expect_eq(canvas_text_width("7.", 2), 2 * (5 + 1 + 1));
    expect_text(1, false, "7.",
                "XXXXX.........\n....X.........\n...X..........\n..X...........\n..X...........\n"
                ".X....X.......\n.X....X.......\n" EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY);
    expect_text(1, true, "7.",
                EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY
                ".....XX.......\n" EMPTY "XX............\n"
                "X.X...........\nX..XX.........\nX....XX.......\nX.............\n");
    expect_text(2, false, "/", /* diagonals are smooth */
                "........XX....\n........XX....\n........XX....\n.......XXX....\n......XXX.....\n"
                ".....XXX......\n....XXX.......\n...XXX........\n..XXX.........\n.XXX..........\n"
                "XXX...........\nXX............\nXX............\nXX............\n");
    expect_text(2, false, "#", /* what lies between two strokes is not a bend */
                "..XX..XX......\n..XX..XX......\n..XX..XX......\n.XXX..XXX.....\nXXXXXXXXXX....\n"
                "XXXXXXXXXX....\n..XX..XX......\n..XX..XX......\nXXXXXXXXXX....\nXXXXXXXXXX....\n"
                ".XXX..XXX.....\n..XX..XX......\n..XX..XX......\n..XX..XX......\n");
}
