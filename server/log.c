#include "server/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static log_level threshold = LOG_INFO;

void log_set_level(log_level level) {
    threshold = level;
}

/* Copies `text` to `out` [size] with everything but printable ASCII escaped; returns the length. */
static size_t escape(const char *text, char *out, size_t size) {
    size_t n = 0;
    for (; *text != '\0' && n + 5 < size; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c < 0x7f)
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
    }
    return n;
}

void log_line(log_level level, const char *format, ...) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (level > threshold)
        return;
    char text[1024], line[2200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ %s ", now.tv_nsec / 1000000, names[level]);
    n += escape(text, line + n, sizeof line - n - 1);
    line[n++] = '\n';
    /* One write, so that lines of several threads do not mix. A log that cannot be written stops nothing. */
    if (write(STDERR_FILENO, line, n) < 0)
        return;
}
