/* canvas.h: a picture of at most 256 colours, and what is drawn into it: rectangles and text. */
#ifndef PICTURE_CANVAS_H
#define PICTURE_CANVAS_H

#include "core/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CANVAS_GLYPH_HEIGHT 7 /* of a capital or a digit, in pixels at scale 1 */
#define CANVAS_DESCENT      2 /* what "g" and "p" need below that */

typedef struct {
    size_t width, height;
    uint8_t *pixels; /* [height, width]: indices into a palette */
} canvas;

/* A canvas full of `colour`, its pixels from `arena`. False if memory ran out. */
bool canvas_start(canvas *c, size_t width, size_t height, uint8_t colour, attn_arena *arena);

/* What lies beyond the edges is cut off, here and below. */
void canvas_fill(canvas *c, size_t x, size_t y, size_t width, size_t height, uint8_t colour);

/* Lines of a pixel around the rectangle, outside of it. x and y are at least 1. */
void canvas_frame(canvas *c, size_t x, size_t y, size_t width, size_t height, uint8_t colour);

/* Draws printable ASCII (an asterisk is a multiplication cross) with the upper left corner at x, y. `scale`
 * is 1 or 2. */
void canvas_text(canvas *c, size_t x, size_t y, size_t scale, uint8_t colour, const char *text);

/* The same, upwards: x, y is the lower left corner, where the text begins. */
void canvas_text_upwards(canvas *c, size_t x, size_t y, size_t scale, uint8_t colour, const char *text);

/* In pixels. */
size_t canvas_text_width(const char *text, size_t scale);

#endif
