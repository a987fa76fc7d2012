#include "server/log_path.h"

#include "server/store/results.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static int digit(char c) {
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Resolves %41, cut to `size`. */
static void decode(const char *text, char *plain, size_t size) {
    size_t n = 0;
    for (; *text != '\0' && n + 1 < size; text++) {
        plain[n] = *text;
        if (*text == '%' && isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2])) {
            plain[n] = (char)(digit(text[1]) * 16 + digit(text[2]));
            text += 2;
        }
        n += plain[n] != '\0';
    }
    plain[n] = '\0';
}

void log_path(const char *uri, char *shown, size_t size) {
    static const char *const endings[] = {"", ".json", "/heatmap.png"};
    char plain[1024];
    decode(uri, plain, sizeof plain);
    const char *rest = strstr(plain, RESULTS_PATH);
    if (rest == NULL || rest[strlen(RESULTS_PATH)] == '\0') {
        snprintf(shown, size, "%s", uri);
        return;
    }
    rest += strlen(RESULTS_PATH);
    rest += strcspn(rest, "./?#");
    const char *ending = "...";
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcspn(rest, "?#") == strlen(endings[i]) && strncmp(rest, endings[i], strlen(endings[i])) == 0)
            ending = endings[i];
    snprintf(shown, size, RESULTS_PATH "{id}%s", ending);
}
