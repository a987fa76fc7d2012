#include "tests/charconv.h"

#include <charconv>

size_t charconv_write(float value, int scientific, char *text) {
    const auto result = scientific ? std::to_chars(text, text + 16, value, std::chars_format::scientific)
                                   : std::to_chars(text, text + 16, value);
    return static_cast<size_t>(result.ptr - text);
}

size_t charconv_read(const char *text, const char *end, float *value) {
    const auto result = std::from_chars(text, end, *value);
    return result.ec == std::errc() ? static_cast<size_t>(result.ptr - text) : 0;
}
