/* cividis.h: a colour scale that is perceptually uniform, and looks the same to the colour-blind (Nunez,
 * Anderton and Renslow, "Optimizing colormaps with consideration for color vision deficiency", 2018). */
#ifndef PICTURE_CIVIDIS_H
#define PICTURE_CIVIDIS_H

#include <stdint.h>

#define CIVIDIS_COLOURS 256

/* Red, green and blue (sRGB), from dark to light. */
extern const uint8_t cividis[CIVIDIS_COLOURS][3];

#endif
