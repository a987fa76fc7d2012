/* heatmap.h: draws the attention weights of an answer: a panel a head, a colour bar, axes, notes. */
#ifndef PICTURE_HEATMAP_H
#define PICTURE_HEATMAP_H

#include "core/attention.h"
#include "server/attend/request.h"
#include "server/picture/canvas.h"
#include "server/picture/layout.h"
#include "server/picture/picture.h"

/* The palette: the first colours are the weights' from the least to the largest, after them come these. */
#define HEATMAP_LEVELS 248

enum {
    HEATMAP_PAPER = HEATMAP_LEVELS,
    HEATMAP_INK,
    HEATMAP_PALE_INK,
    HEATMAP_MASKED,  /* the ground of masked cells */
    HEATMAP_HATCH,   /* the lines on it */
    HEATMAP_KEYLESS, /* the marks of queries that may attend to nothing */
    HEATMAP_COLOURS,
};

/* Fills in red, green and blue of the palette. */
void heatmap_palette(uint8_t rgb[HEATMAP_COLOURS][3]);

/* What the layout has to have room for: panels of so many rows and columns, of queries before `row_to`. */
picture_contents heatmap_contents(size_t panels, size_t rows, size_t columns, size_t row_to, size_t cell);

/* Where things are in the picture of this call. False if it shows nothing, or was not planned for a picture
 * (picture_plan). */
bool heatmap_layout(const picture_options *o, const attend_call *call, picture_layout *layout);

/* Draws the picture, on a canvas from `arena`: all that is masked is hatched, queries that may attend to
 * nothing are hatched both ways and have a mark at their left. Where there is nothing to draw, a small
 * picture says so in words. False if memory ran out, or if the control says stop. */
bool heatmap_draw(const picture_options *o, const attend_call *call, const attn_control *control,
                  attn_arena *arena, canvas *c);

#endif
