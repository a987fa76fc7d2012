/* append.h: what is appended to an answer in pieces, because it may be as large as all of it. */
#ifndef WIRE_APPEND_H
#define WIRE_APPEND_H

#include "server/wire/buffer.h"

/* Appends bytes as wire_buffer_append does, and looks at the control while it copies them. */
bool wire_append_data(wire_buffer *out, const void *data, size_t count);

#endif
