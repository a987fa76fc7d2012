/* charconv.h: what the C++ library makes of float32, for comparison. */
#ifndef TESTS_CHARCONV_H
#define TESTS_CHARCONV_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* std::to_chars: the fewest digits that read back, of those the nearest, in the form 1.2345e-06
 * (`scientific`) or whichever is shorter. Returns the number of bytes, at most 16, without a NUL. */
size_t charconv_write(float value, int scientific, char *text);

/* std::from_chars. Returns the number of bytes that it read, 0 if it could not. */
size_t charconv_read(const char *text, const char *end, float *value);

#ifdef __cplusplus
}
#endif

#endif
