/* string.c: strings as JSON writes them. */
#include "server/wire/json/writing.h"

#include <stdio.h>
#include <string.h>

bool json_write_string(wire_buffer *out, const char *text) {
    static const char escaped[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    if (!wire_buffer_append(out, "\"", 1))
        return false;
    for (; *text != '\0'; text++) {
        char escape[8];
        const char *name = strchr(escaped, *text);
        size_t length = 1;
        if (name != NULL)
            length = (size_t)snprintf(escape, sizeof escape, "\\%c", names[name - escaped]);
        else if ((unsigned char)*text < 0x20)
            length = (size_t)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            escape[0] = *text;
        if (!wire_buffer_append(out, escape, length))
            return false;
    }
    return wire_buffer_append(out, "\"", 1);
}
