/* layout.h: where the panels of a picture are, and how large their cells. */
#ifndef PICTURE_LAYOUT_H
#define PICTURE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#define PICTURE_SIDE_MAX 4096 /* pixels */

/* What is to be shown. */
typedef struct {
    size_t panels;
    size_t rows, columns; /* of a panel, in cells; at least 1 each */
    size_t row_digits,
        panel_title; /* the width of the longest row number, and of the longest title: pixels */
    size_t cell;     /* pixels of a cell's side; 0: to be chosen */
} picture_contents;

typedef struct {
    size_t rows, columns;             /* that there is room for; fewer than the contents have: to be pooled */
    size_t cell_width, cell_height;   /* pixels */
    size_t panels_across;             /* in one line of panels */
    size_t panels_down;               /* lines of panels */
    size_t left, top;                 /* pixel of the first panel's first cell */
    size_t step_across, step_down;    /* pixels from one panel to the next */
    size_t panel_width, panel_height; /* pixels of the cells of a panel */
    size_t bar_left, bar_height;      /* the colour bar begins at `top` */
    size_t width;                     /* of the picture */
    size_t notes_top;                 /* where the notes below the panels begin */
} picture_layout;

/* The height that is kept free for the notes, whatever they will be. */
#define PICTURE_NOTES_MAX 112

/* Finds the largest cells, up to a comfortable size, with which all fits; where no cells fit, how many there
 * is room for, keeping about square what is about square. Cells are squares, unless the caller leaves their
 * size to us and a panel would be a thread. False if there is no room even for that. */
bool picture_layout_fit(const picture_contents *contents, picture_layout *layout);

#endif
