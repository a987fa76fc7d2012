#include "server/picture/heatmap.h"

#include "core/size.h"
#include "core/watch.h"
#include "server/attend/view.h"
#include "server/picture/colour_scale.h"
#include "server/picture/masked.h"

#include <stdio.h>
#include <string.h>

#define HATCH      6 /* pixels from one line of a hatching to the next */
#define EDGE       16
#define LINE       12 /* pixels from one line of text to the next */
#define NOTE_LINES 8
#define BAR_WIDTH  14
#define TICK       3

/* What is drawn, and where. */
typedef struct {
    const picture_options *o;
    const attend_call *call;
    const attn_view *view;
    attn_watch watch;
    attn_arena *arena;
    canvas *c;
    picture_layout layout;
    size_t head_count;
    size_t *heads; /* [head_count]: of the layer, that the maps are of */
    size_t panels;
    bool merged; /* all heads are in one panel */
    colour_scale scale;
    masked mask;
    bool has_masked, has_keyless; /* is there such a cell, such a row? */
} drawing;

void heatmap_palette(uint8_t rgb[HEATMAP_COLOURS][3]) {
    static const uint8_t others[][3] = {
        [HEATMAP_PAPER - HEATMAP_LEVELS] = {255, 255, 255},
        [HEATMAP_INK - HEATMAP_LEVELS] = {28, 30, 36},
        [HEATMAP_PALE_INK - HEATMAP_LEVELS] = {96, 100, 108},
        [HEATMAP_MASKED - HEATMAP_LEVELS] = {238, 238, 240},
        [HEATMAP_HATCH - HEATMAP_LEVELS] = {178, 180, 188},
        [HEATMAP_KEYLESS - HEATMAP_LEVELS] = {200, 48, 24},
    };
    for (size_t n = 0; n < HEATMAP_LEVELS; n++) {
        const size_t nearest =
            (2 * n * (CIVIDIS_COLOURS - 1) + HEATMAP_LEVELS - 1) / (2 * (HEATMAP_LEVELS - 1));
        memcpy(rgb[n], cividis[nearest], 3);
    }
    memcpy(rgb[HEATMAP_LEVELS], others, sizeof others);
}

/* ---- Layout ---- */

picture_contents heatmap_contents(size_t panels, size_t rows, size_t columns, size_t row_to, size_t cell) {
    char number[24];
    snprintf(number, sizeof number, "%zu", row_to - 1);
    return (picture_contents){
        .panels = panels,
        .rows = rows,
        .columns = columns,
        .row_digits = canvas_text_width(number, 1),
        .panel_title = canvas_text_width(panels == 1 ? "mean of 8888 heads" : "head 8888", 1),
        .cell = cell,
    };
}

/* What there is nothing of, or NULL if there is something to show. */
static const char *lacking(const attend_call *call) {
    const attn_view *view = &call->output.view;
    if (call->output.weights.values == NULL || view->top_k != 0)
        return "map of attention weights";
    if (call->input.B == 0)
        return "batch entry";
    if (view->row_from == view->row_to)
        return "query";
    return view->col_from == view->col_to ? "key" : NULL;
}

bool heatmap_layout(const picture_options *o, const attend_call *call, picture_layout *layout) {
    const attn_view *view = &call->output.view;
    if (lacking(call) != NULL)
        return false;
    const size_t panels = view->average || o->heads == PICTURE_HEADS_MAX_OF ? 1 : view->head_count;
    const picture_contents contents =
        heatmap_contents(panels, view_rows(view), view_columns(view), view->row_to, o->cell);
    return picture_layout_fit(&contents, layout) && layout->rows == contents.rows &&
           layout->columns == contents.columns;
}

/* The first pixel of a panel's cells. */
static size_t panel_x(const drawing *d, size_t panel) {
    return d->layout.left + panel % d->layout.panels_across * d->layout.step_across;
}

static size_t panel_y(const drawing *d, size_t panel) {
    return d->layout.top + panel / d->layout.panels_across * d->layout.step_down;
}

/* ---- Text ---- */

/* Draws the text, cut with three points if it does not end before the right edge. */
static void write_line(canvas *c, size_t x, size_t y, size_t scale, uint8_t colour, const char *text) {
    char line[256];
    const int length = snprintf(line, sizeof line, "%s", text);
    for (size_t left = length < (int)sizeof line ? (size_t)length : sizeof line - 1;
         left > 3 && x + canvas_text_width(line, scale) > c->width - EDGE; left--)
        memcpy(line + left - 4, "...", 4);
    canvas_text(c, x, y, scale, colour, line);
}

/* Draws text with its middle at x. */
static void write_centred(canvas *c, size_t x, size_t y, uint8_t colour, const char *text) {
    const size_t half = canvas_text_width(text, 1) / 2;
    canvas_text(c, x < half ? 0 : x - half, y, 1, colour, text);
}

static void name_shown(char *text, size_t size, size_t from, size_t to, size_t count, const char *one,
                       const char *many) {
    if (to - from == count)
        snprintf(text, size, "%zu %s", count, count == 1 ? one : many);
    else
        snprintf(text, size, "%s %zu to %zu of %zu", many, from, to - 1, count);
}

static void write_heading(const drawing *d) {
    const attn_input *in = &d->call->input;
    const attn_view *view = d->view;
    char entry[64] = "", extra[32] = "", queries[80], keys[80], text[320];
    name_shown(queries, sizeof queries, view->row_from, view->row_to, in->L, "query", "queries");
    name_shown(keys, sizeof keys, view->col_from, view->col_to, in->S + d->mask.extra, "key", "keys");
    if (d->mask.extra > 0)
        snprintf(extra, sizeof extra, " (%zu extra)", d->mask.extra);
    if (d->call->batched)
        snprintf(entry, sizeof entry, "batch entry %zu of %zu, ", d->mask.batch, in->B);
    snprintf(text, sizeof text, "attention weights, %s%s, %s%s", entry, queries, keys, extra);
    write_line(d->c, EDGE, EDGE, 2, HEATMAP_INK, d->call->model->name);
    write_line(d->c, EDGE, EDGE + 22, 1, HEATMAP_PALE_INK, text);
}

/* ---- Cells ---- */

static double weight_at(const drawing *d, size_t panel, size_t row, size_t column) {
    const size_t cells = d->layout.rows * d->layout.columns;
    const float *first = d->call->output.weights.values + row * d->layout.columns + column;
    if (!d->merged || d->view->average)
        return (double)first[panel * cells];
    float most = first[0];
    for (size_t n = 1; n < d->head_count; n++)
        most = first[n * cells] > most ? first[n * cells] : most;
    return (double)most;
}

/* Steps of drawing a cell or of finding its weight, at most. */
static size_t cell_steps(const drawing *d) {
    return d->layout.cell_width * d->layout.cell_height + (d->merged ? d->head_count : 1);
}

/* One scale for all panels, so that they can be compared. False if the control says stop. */
static bool choose_scale(drawing *d) {
    double smallest = 0, largest = 0;
    for (size_t panel = 0; panel < d->panels; panel++)
        for (size_t row = 0; row < d->layout.rows; row++) {
            for (size_t column = 0; column < d->layout.columns; column++) {
                if (attn_watch_stops(&d->watch, cell_steps(d)))
                    return false;
                const double weight = weight_at(d, panel, row, column);
                largest = weight > largest ? weight : largest;
                if (weight > 0 && (smallest == 0 || weight < smallest))
                    smallest = weight;
            }
        }
    d->scale = colour_scale_for(d->o->scale, smallest, largest);
    return true;
}

static uint8_t level_at(const colour_scale *scale, double weight) {
    return (uint8_t)(colour_scale_position(scale, weight) * (HEATMAP_LEVELS - 1) + 0.5);
}

/* Hatches a rectangle. The lines go on from one rectangle to the next. */
static void hatch(canvas *c, size_t x, size_t y, size_t width, size_t height, bool both_ways) {
    for (size_t down = y; down < y + height && down < c->height; down++)
        for (size_t along = x; along < x + width && along < c->width; along++) {
            const bool line =
                (along + down) % HATCH == 0 || (both_ways && (along + HATCH * c->height - down) % HATCH == 0);
            c->pixels[down * c->width + along] = line ? HEATMAP_HATCH : HEATMAP_MASKED;
        }
}

/* A triangle that points to the right, its tip at x, y. */
static void mark(canvas *c, size_t x, size_t y) {
    for (size_t n = 0; n < 5; n++)
        canvas_fill(c, x - n, y - n / 2, 1, n / 2 * 2 + 1, HEATMAP_KEYLESS);
}

/* Draws a row of cells, whose masks are in d->mask. False if the control says stop. */
static bool draw_row(drawing *d, size_t panel, size_t row) {
    const size_t width = d->layout.cell_width, height = d->layout.cell_height;
    const size_t x = panel_x(d, panel), y = panel_y(d, panel) + row * height;
    const masked *m = &d->mask;
    for (size_t column = 0; column < d->layout.columns; column++) {
        const size_t left = x + column * width;
        if (attn_watch_stops(&d->watch, 4 * cell_steps(d)))
            return false;
        if (m->open[column]) {
            const uint8_t level = level_at(&d->scale, weight_at(d, panel, row, column));
            canvas_fill(d->c, left, y, width, height, level);
            continue;
        }
        hatch(d->c, left, y, width, height, m->keyless == m->queries);
        d->has_masked |= m->keyless < m->queries;
    }
    if (m->keyless > 0) {
        d->has_keyless = true;
        mark(d->c, x - TICK - 2, y + height / 2);
    }
    return true;
}

/* False if the control says stop. */
static bool draw_cells(drawing *d) {
    for (size_t row = 0; row < d->layout.rows; row++)
        for (size_t panel = 0; panel < d->panels; panel++) {
            if ((panel == 0 || masked_by_head(&d->mask)) &&
                !masked_row(&d->mask, row, d->heads + (d->merged ? 0 : panel), d->merged ? d->head_count : 1))
                return false;
            if (!draw_row(d, panel, row))
                return false;
        }
    return true;
}

/* ---- Axes ---- */

/* The least of 1, 2, 5, 10, 20, ... with which numbers are `room` pixels apart, if `count` things take
 * `pixels`. */
static size_t tick_step(size_t room, size_t count, size_t pixels) {
    static const size_t rounds[] = {1, 2, 5};
    for (size_t power = 1;; power *= 10)
        for (size_t n = 0; n < 3; n++)
            if (power * rounds[n] * pixels >= room * count)
                return power * rounds[n];
}

/* The first multiple of `step` from `from` on, or `from` if there is none before `to`. */
static size_t first_tick(size_t from, size_t to, size_t step) {
    const size_t multiple = attn_divide_up(from, step) * step;
    return multiple < to ? multiple : from;
}

/* The bin that number `n` of `count` is in. */
static size_t bin_of(size_t n, size_t count, size_t bins) {
    size_t bin = (size_t)((uint64_t)n * bins / count);
    while (masked_bin_start(bin + 1, count, bins) <= n)
        bin++;
    return bin;
}

/* Where the tick of number `n` of `count` is, if they take `pixels`. */
static size_t middle(size_t n, size_t count, size_t pixels) {
    return (2 * n + 1) * pixels / (2 * count);
}

static void draw_row_axis(const drawing *d, size_t x, size_t y) {
    const size_t from = d->view->row_from, to = d->view->row_to;
    const size_t step = tick_step(16, to - from, d->layout.panel_height);
    char number[24];
    for (size_t i = first_tick(from, to, step); i < to; i += step) {
        const size_t at = y + middle(i - from, to - from, d->layout.panel_height);
        snprintf(number, sizeof number, "%zu", i);
        canvas_fill(d->c, x - 1 - TICK, at, TICK, 1, HEATMAP_PALE_INK);
        canvas_text(d->c, x - TICK - 8 - canvas_text_width(number, 1), at - CANVAS_GLYPH_HEIGHT / 2, 1,
                    HEATMAP_PALE_INK, number);
    }
}

/* With a bar below the keys that the layer brings itself. */
static void draw_column_axis(const drawing *d, size_t x, size_t y) {
    const size_t from = d->view->col_from, to = d->view->col_to, S = d->call->input.S;
    const size_t bins = d->layout.columns, cell = d->layout.cell_width;
    char number[24];
    snprintf(number, sizeof number, "%zu", to - 1);
    const size_t step = tick_step(canvas_text_width(number, 1) + 6, to - from, d->layout.panel_width);
    for (size_t j = first_tick(from, to, step); j < to; j += step) {
        const size_t at = x + middle(j - from, to - from, d->layout.panel_width);
        snprintf(number, sizeof number, "%zu", j);
        canvas_fill(d->c, at, y + 1, 1, TICK, HEATMAP_PALE_INK);
        write_centred(d->c, at, y + TICK + 3, HEATMAP_PALE_INK, number);
    }
    if (to <= S)
        return;
    const size_t begin = bin_of((S > from ? S : from) - from, to - from, bins) * cell;
    canvas_fill(d->c, x + begin, y + TICK + CANVAS_GLYPH_HEIGHT + 5, bins * cell - begin, 3, HEATMAP_INK);
}

static void draw_axes(const drawing *d, size_t panel) {
    const picture_layout *l = &d->layout;
    const size_t x = panel_x(d, panel), y = panel_y(d, panel), bottom = y + l->panel_height;
    char title[48];
    if (d->merged && d->head_count > 1)
        snprintf(title, sizeof title, "%s of %zu heads", d->view->average ? "mean" : "max", d->head_count);
    else
        snprintf(title, sizeof title, "head %zu", d->heads[panel]);
    canvas_frame(d->c, x, y, l->panel_width, l->panel_height, HEATMAP_PALE_INK);
    canvas_text(d->c, x, y - LINE, 1, HEATMAP_INK, title);
    draw_row_axis(d, x, y);
    draw_column_axis(d, x, bottom);
    if (panel % l->panels_across == 0) {
        const size_t length = canvas_text_width("query", 1);
        canvas_text_upwards(d->c, EDGE, y + (l->panel_height + length) / 2, 1, HEATMAP_INK, "query");
    }
    if (panel + l->panels_across >= d->panels)
        write_centred(d->c, x + l->panel_width / 2, bottom + 20, HEATMAP_INK, "key");
}

/* ---- The colour bar, and the notes ---- */

static void draw_bar(const drawing *d) {
    static const char *const captions[] = {
        [PICTURE_LINEAR] = "weight", [PICTURE_SQRT] = "weight (sqrt)", [PICTURE_LOG] = "weight (log)"};
    const size_t x = d->layout.bar_left, y = d->layout.top, height = d->layout.bar_height;
    double ticks[COLOUR_SCALE_TICKS_MAX];
    const size_t count = colour_scale_ticks(&d->scale, (double)LINE / (double)height, ticks);
    for (size_t n = 0; n < height; n++) {
        const size_t level = (2 * n * (HEATMAP_LEVELS - 1) + height - 1) / (2 * (height - 1));
        canvas_fill(d->c, x, y + height - 1 - n, BAR_WIDTH, 1, (uint8_t)level);
    }
    canvas_frame(d->c, x, y, BAR_WIDTH, height, HEATMAP_PALE_INK);
    canvas_text(d->c, x, y - LINE, 1, HEATMAP_INK, captions[d->scale.kind]);
    for (size_t n = 0; n < count; n++) {
        const double position = colour_scale_position(&d->scale, ticks[n]);
        const size_t at = y + height - 1 - (size_t)(position * (double)(height - 1) + 0.5);
        const bool floor = d->scale.kind == PICTURE_LOG && position == 0;
        char number[32];
        snprintf(number, sizeof number, "%s%.3g", floor ? "<= " : "", ticks[n]);
        canvas_fill(d->c, x + BAR_WIDTH + 1, at, TICK, 1, HEATMAP_PALE_INK);
        canvas_text(d->c, x + BAR_WIDTH + TICK + 4, at - CANVAS_GLYPH_HEIGHT / 2, 1, HEATMAP_PALE_INK,
                    number);
    }
}

/* Where the next note is written. */
typedef struct {
    canvas *c;
    size_t y, lines;
} notes;

#define SAMPLE 18 /* pixels, of what a note explains, at its left */

/* How many bytes of the text, up to the end of a word, fit into so many pixels; at least one word. */
static size_t length_that_fits(const char *text, size_t room) {
    char line[256];
    size_t fits = 0;
    for (size_t n = 1;; n++) {
        if (text[n] != ' ' && text[n] != '\0')
            continue;
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        if (fits > 0 && canvas_text_width(line, 1) > room)
            return fits;
        fits = n;
        if (text[n] == '\0')
            return fits;
    }
}

/* Writes a note, in as many lines as it takes. Returns the y of the first. */
static size_t write_note(notes *n, const char *text) {
    const size_t x = EDGE + SAMPLE + 6, first = n->y;
    for (; *text != '\0' && n->lines < NOTE_LINES; n->lines++, n->y += LINE) {
        const size_t length = length_that_fits(text, n->c->width - EDGE - x);
        char line[256];
        snprintf(line, sizeof line, "%.*s", (int)length, text);
        canvas_text(n->c, x, n->y, 1, HEATMAP_PALE_INK, line);
        text += length + (text[length] == ' ' ? 1 : 0);
    }
    return first;
}

static void note_pooling(const drawing *d, notes *n) {
    static const char *const words[] = {
        [ATTN_POOL_MAX] = "largest", [ATTN_POOL_MEAN] = "mean", [ATTN_POOL_SUM] = "sum"};
    const attn_view *view = d->view;
    const size_t rows = view->row_to - view->row_from, columns = view->col_to - view->col_from;
    char text[128];
    if (d->layout.rows == rows && d->layout.columns == columns)
        return;
    const size_t down = attn_divide_up(rows, d->layout.rows);
    const size_t along = attn_divide_up(columns, d->layout.columns);
    const bool even = rows % d->layout.rows == 0 && columns % d->layout.columns == 0;
    snprintf(text, sizeof text, "each cell is the %s of %s%zu*%zu weights", words[view->pool],
             even ? "" : "up to ", down, along);
    const size_t y = write_note(n, text);
    canvas_fill(d->c, EDGE + SAMPLE - 7, y, 7, 7, (uint8_t)(HEATMAP_LEVELS / 2));
}

/* What the marks mean that are in this picture. Cuts the canvas off below the last note. */
static void write_notes(const drawing *d) {
    notes n = {d->c, d->layout.notes_top, 0};
    if (d->has_masked) {
        const size_t y = write_note(&n, "masked: may not be attended to");
        hatch(d->c, EDGE, y - 1, SAMPLE, CANVAS_GLYPH_HEIGHT + 2, false);
    }
    if (d->has_keyless) {
        const size_t y = write_note(&n, "a query that may attend to no key: its weights are 0");
        hatch(d->c, EDGE + 7, y - 1, SAMPLE - 7, CANVAS_GLYPH_HEIGHT + 2, true);
        mark(d->c, EDGE + 4, y + 3);
    }
    if (d->view->col_to > d->call->input.S) {
        const size_t y = write_note(&n, "extra keys, which the layer itself brings");
        canvas_fill(d->c, EDGE, y + 2, SAMPLE, 3, HEATMAP_INK);
    }
    note_pooling(d, &n);
    if (d->call->input.training) {
        char text[80];
        snprintf(text, sizeof text, "after dropout with seed %llu", (unsigned long long)d->call->input.seed);
        write_note(&n, text);
    }
    d->c->height = n.y - (n.lines == 0 ? 0 : LINE - CANVAS_GLYPH_HEIGHT) + EDGE;
}

/* ---- The whole ---- */

/* A picture of words. */
static bool draw_words(const attend_call *call, const char *words, canvas *c, attn_arena *arena) {
    if (!canvas_start(c, 480, EDGE + 22 + CANVAS_GLYPH_HEIGHT + EDGE, HEATMAP_PAPER, arena))
        return false;
    write_line(c, EDGE, EDGE, 2, HEATMAP_INK, call->model->name);
    write_line(c, EDGE, EDGE + 22, 1, HEATMAP_PALE_INK, words);
    return true;
}

/* The heads that are shown, as a list. False if memory ran out. */
static bool list_heads(drawing *d) {
    d->head_count = d->view->head_count;
    d->merged = d->view->average || d->o->heads == PICTURE_HEADS_MAX_OF;
    d->panels = d->merged ? 1 : d->head_count;
    if ((d->heads = attn_arena_array(d->arena, d->head_count, sizeof *d->heads)) == NULL)
        return false;
    for (size_t n = 0; n < d->head_count; n++)
        d->heads[n] = d->view->heads == NULL ? n : d->view->heads[n];
    return true;
}

bool heatmap_draw(const picture_options *o, const attend_call *call, const attn_control *control,
                  attn_arena *arena, canvas *c) {
    drawing d = {
        .o = o, .call = call, .view = &call->output.view, .watch.control = control, .arena = arena, .c = c};
    const char *lacks = lacking(call);
    if (lacks != NULL) {
        char words[80];
        snprintf(words, sizeof words, "there is nothing to show: no %s", lacks);
        return draw_words(call, words, c, arena);
    }
    if (!heatmap_layout(o, call, &d.layout))
        return draw_words(call, "there are more weights than a picture has room for", c, arena);
    if (!list_heads(&d) || !masked_start(&d.mask, call, control, arena) || !choose_scale(&d) ||
        !canvas_start(c, d.layout.width, d.layout.notes_top + PICTURE_NOTES_MAX, HEATMAP_PAPER, arena) ||
        !draw_cells(&d))
        return false;
    for (size_t panel = 0; panel < d.panels; panel++) {
        if (attn_control_stops(control))
            return false;
        draw_axes(&d, panel);
    }
    draw_bar(&d);
    write_heading(&d);
    write_notes(&d);
    return true;
}
