/* string.h: strings as JSON writes them. */
#ifndef WIRE_JSON_STRING_H
#define WIRE_JSON_STRING_H

#include "server/wire/buffer.h"

#include <stdbool.h>

/* Appends UTF-8 as a JSON string, with the escapes that RFC 8259, section 7, asks for and no others. False if
 * memory ran out, or if out->control says stop. */
bool json_write_string(wire_buffer *out, const char *text);

#endif
