#include "server/picture/canvas.h"

#include "core/size.h"
#include "server/picture/glyphs.h"

#include <string.h>

#define LETTER_SPACE 1 /* pixels between two glyphs, at scale 1 */

bool canvas_start(canvas *c, size_t width, size_t height, uint8_t colour, attn_arena *arena) {
    size_t bytes;
    *c = (canvas){.width = width, .height = height};
    if (!attn_multiply(width, height, &bytes) || (c->pixels = attn_arena_alloc(arena, bytes)) == NULL)
        return false;
    memset(c->pixels, colour, bytes);
    return true;
}

void canvas_fill(canvas *c, size_t x, size_t y, size_t width, size_t height, uint8_t colour) {
    if (x >= c->width || y >= c->height)
        return;
    if (width > c->width - x)
        width = c->width - x;
    if (height > c->height - y)
        height = c->height - y;
    for (size_t n = 0; n < height; n++)
        memset(c->pixels + (y + n) * c->width + x, colour, width);
}

void canvas_frame(canvas *c, size_t x, size_t y, size_t width, size_t height, uint8_t colour) {
    canvas_fill(c, x - 1, y - 1, width + 2, 1, colour);
    canvas_fill(c, x - 1, y + height, width + 2, 1, colour);
    canvas_fill(c, x - 1, y, 1, height, colour);
    canvas_fill(c, x + width, y, 1, height, colour);
}

/* Is the dot in this row and column of a glyph set? Rows are separated by a slash, and those that a glyph
 * does not have are empty; so is all that lies outside. */
static bool dot(const char *glyph, size_t width, size_t row, size_t column) {
    const size_t index = row * (width + 1) + column;
    return column < width && index < strlen(glyph) && glyph[index] == 'X';
}

/* The pixel at x, y of a glyph that is drawn at twice its size: each dot becomes four, of which one that lies
 * in the bend of a diagonal takes the value of its neighbours (the rule of EPX, also called Scale2x). */
static bool dot_doubled(const char *glyph, size_t width, size_t y, size_t x) {
    const size_t row = y / 2, column = x / 2;
    const bool up = dot(glyph, width, row - 1, column), down = dot(glyph, width, row + 1, column);
    const bool left = dot(glyph, width, row, column - 1), right = dot(glyph, width, row, column + 1);
    const bool beside = x % 2 == 0 ? left : right, other_side = x % 2 == 0 ? right : left;
    const bool above = y % 2 == 0 ? up : down, below = y % 2 == 0 ? down : up;
    if (beside == above && beside != other_side && above != below)
        return beside;
    return dot(glyph, width, row, column);
}

static void draw(canvas *c, size_t x, size_t y, size_t scale, uint8_t colour, const char *text,
                 bool upwards) {
    for (size_t along = 0; *text != '\0'; text++) {
        const char *glyph = glyph_of(*text);
        const size_t width = strcspn(glyph, "/");
        const size_t height = (CANVAS_GLYPH_HEIGHT + CANVAS_DESCENT) * scale;
        for (size_t down = 0; down < height; down++)
            for (size_t n = 0; n < width * scale; n++) {
                if (!(scale == 1 ? dot(glyph, width, down, n) : dot_doubled(glyph, width, down, n)))
                    continue;
                if (upwards)
                    canvas_fill(c, x + down, y - along - n, 1, 1, colour);
                else
                    canvas_fill(c, x + along + n, y + down, 1, 1, colour);
            }
        along += (width + LETTER_SPACE) * scale;
    }
}

void canvas_text(canvas *c, size_t x, size_t y, size_t scale, uint8_t colour, const char *text) {
    draw(c, x, y, scale, colour, text, false);
}

void canvas_text_upwards(canvas *c, size_t x, size_t y, size_t scale, uint8_t colour, const char *text) {
    draw(c, x, y, scale, colour, text, true);
}

size_t canvas_text_width(const char *text, size_t scale) {
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += (strcspn(glyph_of(*text), "/") + LETTER_SPACE) * scale;
    return width == 0 ? 0 : width - LETTER_SPACE * scale;
}
