#include "core/printable.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One character as it is printed: itself, or an escape of its first byte. */
typedef struct {
    char text[5];
    size_t length; /* of text */
    size_t bytes;  /* that it stands for */
} unit;

/* Controls of C0 and C1, line and paragraph separators, direction marks, the byte order mark. */
static bool is_harmful(uint32_t character) {
    return character < 0x20 || (character >= 0x7f && character < 0xa0) ||
           (character >= 0x200e && character <= 0x200f) || (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069) || character == 0xfeff;
}

/* The number of bytes of the UTF-8 character (RFC 3629) at the start of `text`, and which it is; 0 if there
 * is none. */
static size_t decode(const unsigned char *text, uint32_t *character) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length;
    if (text[0] < 0x80)
        length = 1;
    else if (text[0] >= 0xc2 && text[0] < 0xe0)
        length = 2;
    else if (text[0] >= 0xe0 && text[0] < 0xf0)
        length = 3;
    else if (text[0] >= 0xf0 && text[0] < 0xf5)
        length = 4;
    else
        return 0;
    uint32_t value = length == 1 ? text[0] : text[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) /* the final NUL too */
            return 0;
        value = value << 6 | (text[i] & 0x3f);
    }
    if (value < smallest[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return 0;
    *character = value;
    return length;
}

static unit next_unit(const char *text) {
    unit result;
    uint32_t character = 0;
    result.bytes = decode((const unsigned char *)text, &character);
    if (result.bytes > 0 && !is_harmful(character)) {
        result.length = result.bytes;
        memcpy(result.text, text, result.bytes);
        return result;
    }
    result.bytes = 1;
    result.length = (size_t)snprintf(result.text, sizeof result.text, "\\x%02x", (unsigned char)text[0]);
    return result;
}

static size_t printable_length(const char *text) {
    size_t length = 0;
    while (*text != '\0') {
        const unit u = next_unit(text);
        length += u.length;
        text += u.bytes;
    }
    return length;
}

/* Writes units from *text to `out` as long as they fit into `room`; moves *text on; returns the bytes
 * written. */
static size_t write_units(const char **text, char *out, size_t room) {
    size_t length = 0;
    while (**text != '\0') {
        const unit u = next_unit(*text);
        if (length + u.length > room)
            break;
        memcpy(out + length, u.text, u.length);
        length += u.length;
        *text += u.bytes;
    }
    return length;
}

/* The longest end of `text` that takes at most `room` bytes when it is printed. */
static const char *last_units(const char *text, size_t room) {
    for (size_t left = printable_length(text); left > room;) {
        const unit u = next_unit(text);
        left -= u.length;
        text += u.bytes;
    }
    return text;
}

const char *attn_make_printable(attn_printable *printable, const char *text) {
    static const char dots[] = "...";
    const size_t half = (ATTN_PRINTABLE_MAX - strlen(dots)) / 2;
    size_t length = 0;
    if (printable_length(text) > ATTN_PRINTABLE_MAX) {
        length = write_units(&text, printable->text, half);
        memcpy(printable->text + length, dots, strlen(dots));
        length += strlen(dots);
        text = last_units(text, half);
    }
    length += write_units(&text, printable->text + length, ATTN_PRINTABLE_MAX - length);
    printable->text[length] = '\0';
    return printable->text;
}

void attn_list_add(char *list, size_t size, const char *item) {
    const size_t length = strlen(list);
    snprintf(list + length, size - length, "%s%s", length == 0 ? "" : ", ", item);
}
