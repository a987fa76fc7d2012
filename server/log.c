#include "server/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
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

/* Lines that were lost since the last one that was written. */
static atomic_size_t lost;

/* Writes in one piece, so that lines of several threads do not mix. A reader that has stopped reading must
 * not stop the service: a line for which a pipe has no room (poll says so below PIPE_BUF bytes, which a line
 * never has) is counted instead. */
static void write_line(const char *line, size_t length) {
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&out, 1, 0) != 1 || (out.revents & POLLOUT) == 0) {
        lost++;
        return;
    }
    const size_t missing = atomic_exchange(&lost, 0);
    if (missing > 0)
        dprintf(STDERR_FILENO, "%zu lines of the log were lost: nobody was reading\n", missing);
    if (write(STDERR_FILENO, line, length) < 0)
        lost++;
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
    write_line(line, n);
}
