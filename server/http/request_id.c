#include "server/http/request_id.h"

#include "server/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

void request_id_choose(const char *given, char *id) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t length = given == NULL ? 0 : strspn(given, allowed);
    if (length > 0 && length <= REQUEST_ID_MAX && given[length] == '\0') {
        memcpy(id, given, length + 1);
        return;
    }
    unsigned char random[16] = {0};
    if (getrandom(random, sizeof random, GRND_NONBLOCK) < 0) { /* only before the system has any randomness */
        const uint64_t now = clock_now();
        memcpy(random, &now, sizeof now);
    }
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(id + 2 * i, 3, "%02x", random[i]);
}
