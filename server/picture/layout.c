#include "server/picture/layout.h"

#include "core/size.h"
#include "server/picture/canvas.h"

#define MARGIN      16
#define HEADING     52 /* the title, what is shown, and the name of a panel */
#define AXIS_NAME   16
#define TICKS       12 /* the ticks, and the marks of rows without keys, between numbers and cells */
#define PANEL_GAP   18 /* between two panels of a line */
#define BELOW       20 /* ticks, column numbers and the bar of extra keys, below the cells */
#define LINE_GAP    28 /* between two lines of panels, with the name of the next panel */
#define BAR_GAP     28
#define BAR         96 /* the colour bar with its numbers */
#define BAR_LEAST   120
#define BAR_MOST    320
#define WIDTH_LEAST 380
#define COMFORTABLE 1600 /* pixels, of the picture's sides */
#define PANEL_MOST  720  /* pixels, of a panel's sides, for cells larger than a pixel */
#define CELL_MOST   24   /* pixels, unless the caller asks for more */
#define ACROSS_MOST 100  /* more panels have no room beside each other */
#define THIN        48   /* pixels: a panel that is thinner is hard to see */
#define ASPECT      1.6  /* of a pleasant picture */

static size_t largest(size_t a, size_t b) {
    return a > b ? a : b;
}

/* The layout with `across` panels in a line, each of so many cells. */
static picture_layout arrange(const picture_contents *contents, size_t rows, size_t columns,
                              size_t cell_width, size_t cell_height, size_t across) {
    const size_t panel_width = columns * cell_width, panel_height = rows * cell_height;
    picture_layout l = {
        .rows = rows,
        .columns = columns,
        .cell_width = cell_width,
        .cell_height = cell_height,
        .panels_across = across,
        .panels_down = attn_divide_up(contents->panels, across),
        .left = MARGIN + AXIS_NAME + contents->row_digits + TICKS,
        .top = MARGIN + HEADING,
        .step_across = largest(panel_width, contents->panel_title) + PANEL_GAP + contents->row_digits + TICKS,
        .step_down = panel_height + BELOW + LINE_GAP,
        .panel_width = panel_width,
        .panel_height = panel_height,
    };
    const size_t right = l.left + l.step_across * across - PANEL_GAP - contents->row_digits - TICKS;
    const size_t bottom = l.top + l.step_down * (l.panels_down - 1) + panel_height;
    l.bar_left = right + BAR_GAP;
    l.bar_height = bottom - l.top;
    if (l.bar_height < BAR_LEAST)
        l.bar_height = BAR_LEAST;
    if (l.bar_height > BAR_MOST)
        l.bar_height = BAR_MOST;
    l.width = largest(l.bar_left + BAR + MARGIN, WIDTH_LEAST);
    l.notes_top = largest(bottom, l.top + l.bar_height) + BELOW + AXIS_NAME + MARGIN / 2;
    return l;
}

static bool fits(const picture_layout *l, size_t side) {
    return l->width <= side && l->notes_top + PICTURE_NOTES_MAX <= side;
}

/* How far the layout is from a pleasant one; 1 is best. */
static double badness(const picture_contents *contents, const picture_layout *l) {
    const double ratio = (double)l->width / (double)l->notes_top / ASPECT;
    const double fields = (double)(l->panels_across * l->panels_down);
    return (ratio < 1 ? 1 / ratio : ratio) * fields / (double)contents->panels;
}

/* All cells, of `least` to `most` pixels, in a picture of at most `side` pixels: large, but not at the price
 * of a strange shape. */
static bool fit_all(const picture_contents *contents, size_t least, size_t most, size_t side,
                    picture_layout *best) {
    double best_value = 0;
    for (size_t across = 1; across <= contents->panels && across <= ACROSS_MOST; across++)
        for (size_t cell = most; cell >= least; cell--) {
            const picture_layout l = arrange(contents, contents->rows, contents->columns, cell, cell, across);
            if (!fits(&l, side))
                continue;
            const double value = (double)cell / badness(contents, &l);
            if (value > best_value) {
                best_value = value;
                *best = l;
            }
            break;
        }
    return best_value > 0;
}

/* As many cells as there is room for. */
static bool fit_pooled(const picture_contents *contents, size_t cell, picture_layout *best) {
    const size_t rows = contents->rows, columns = contents->columns;
    size_t least = 0; /* cells in a bin, in the best layout so far; 0: there is none yet */
    for (size_t across = 1; across <= contents->panels && across <= ACROSS_MOST; across++) {
        const picture_layout bare = arrange(contents, 0, 0, cell, cell, across);
        const size_t height = bare.notes_top + PICTURE_NOTES_MAX;
        if (bare.width >= PICTURE_SIDE_MAX || height >= PICTURE_SIDE_MAX)
            continue;
        const size_t room_rows = (PICTURE_SIDE_MAX - height) / bare.panels_down / cell;
        const size_t room_columns = (PICTURE_SIDE_MAX - bare.width) / across / cell;
        if (room_rows == 0 || room_columns == 0)
            continue;
        size_t down = attn_divide_up(rows, room_rows), along = attn_divide_up(columns, room_columns);
        if (rows <= 2 * columns && columns <= 2 * rows)
            down = along = largest(down, along);
        const picture_layout l =
            arrange(contents, attn_divide_up(rows, down), attn_divide_up(columns, along), cell, cell, across);
        if (!fits(&l, PICTURE_SIDE_MAX) || (least != 0 && down * along > least))
            continue;
        if (least == 0 || down * along < least || badness(contents, &l) < badness(contents, best))
            *best = l;
        least = down * along;
    }
    return least != 0;
}

/* The side of `count` cells that are together at least THIN pixels, if that does not make them too large.
 */
static size_t widen(size_t count, size_t cell) {
    const size_t thick = THIN / count < CELL_MOST ? THIN / count : CELL_MOST;
    return largest(thick, cell);
}

static bool fit_squares(const picture_contents *contents, picture_layout *layout) {
    if (contents->cell != 0)
        return fit_all(contents, contents->cell, contents->cell, PICTURE_SIDE_MAX, layout) ||
               fit_pooled(contents, contents->cell, layout);
    const size_t longest = largest(contents->rows, contents->columns);
    const size_t roomy = PANEL_MOST / longest;
    const size_t most = roomy < 1 ? 1 : roomy > CELL_MOST ? CELL_MOST : roomy;
    return fit_all(contents, 1, most, COMFORTABLE, layout) ||
           fit_all(contents, 1, 1, PICTURE_SIDE_MAX, layout) || fit_pooled(contents, 1, layout);
}

bool picture_layout_fit(const picture_contents *contents, picture_layout *layout) {
    if (!fit_squares(contents, layout))
        return false;
    if (contents->cell != 0)
        return true;
    const picture_layout thick =
        arrange(contents, layout->rows, layout->columns, widen(layout->columns, layout->cell_width),
                widen(layout->rows, layout->cell_height), layout->panels_across);
    if (fits(&thick, PICTURE_SIDE_MAX))
        *layout = thick;
    return true;
}
