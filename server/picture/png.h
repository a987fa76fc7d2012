/* png.h: attention weights as a picture (PNG, ISO/IEC 15948). */
#ifndef PICTURE_PNG_H
#define PICTURE_PNG_H

#include "server/attend/request.h"
#include "server/picture/options.h"
#include "server/wire/buffer.h"

#include <stdbool.h>

/* Appends the picture (heatmap.h) of a call whose request was planned for it. The same call makes the same
 * bytes. False if memory ran out (out->arena knows why), or if out->control says stop. */
bool png_write_picture(const picture_options *options, const attend_call *call, wire_buffer *out);

#endif
