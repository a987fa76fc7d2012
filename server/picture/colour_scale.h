/* colour_scale.h: from weights to colours, and the numbers beside the colour bar. */
#ifndef PICTURE_COLOUR_SCALE_H
#define PICTURE_COLOUR_SCALE_H

#include "server/picture/picture.h"

#include <stddef.h>
#include <stdint.h>

typedef struct {
    picture_scale kind;
    double least; /* what the darkest colour stands for, and all that is smaller; 0 unless logarithmic */
    double most;  /* what the lightest colour stands for */
} colour_scale;

/* The scale for weights of which `smallest` is the smallest above zero, and `largest` the largest; both 0 if
 * there is none above zero. */
colour_scale colour_scale_for(picture_scale kind, double smallest, double largest);

/* How far along the scale a weight is, from 0 to 1. */
double colour_scale_position(const colour_scale *scale, double weight);

/* cividis.c: a scale of colours that is perceptually uniform, and looks the same to the colour-blind (Nunez,
 * Anderton and Renslow, "Optimizing colormaps with consideration for color vision deficiency", 2018): red,
 * green and blue (sRGB), from dark to light. */
#define CIVIDIS_COLOURS 256
extern const uint8_t cividis[CIVIDIS_COLOURS][3];

#define COLOUR_SCALE_TICKS_MAX 64

/* Weights to write beside the bar, round ones but for the two ends, at most COLOUR_SCALE_TICKS_MAX, none of
 * which is closer to another than `gap` in positions along the scale. Returns how many. */
size_t colour_scale_ticks(const colour_scale *scale, double gap, double ticks[COLOUR_SCALE_TICKS_MAX]);

#endif
