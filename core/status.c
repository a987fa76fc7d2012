#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>

attn_status attn_fail(attn_error *error, attn_status status, const char *format, ...) {
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return status;
}
