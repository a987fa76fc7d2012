#include "server/http/lingering.h"

#include "server/clock.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

/* Waits, with a limit that only a fault reaches, until no more than `count` linger. */
static bool settles(lingering *l, size_t count) {
    const uint64_t end = clock_in_ms(10000);
    while (lingering_count(l) > count && clock_now() < end)
        usleep(1000);
    return lingering_count(l) <= count;
}

/* A socket that lingers, whose owner has closed it, and the client's end. */
static int linger(lingering *l) {
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    lingering_add(l, pair[0]);
    close(pair[0]);
    return pair[1];
}

/* However steadily it sends, it is over after the longest time. */
Test(lingering, who_sends_on_and_on_is_closed) {
    lingering *l = lingering_new(300);
    const int client = linger(l);
    const uint64_t end = clock_in_ms(10000);
    size_t sent = 0;
    while (send(client, "x", 1, MSG_NOSIGNAL) == 1 && clock_now() < end) {
        sent++;
        usleep(10000);
    }
    cr_assert(clock_now() < end, "it goes on");
    cr_assert(sent > 5, "closed after %zu bytes", sent);
    cr_assert_eq(lingering_count(l), 0);
    close(client);
    lingering_free(l);
}

/* What is sent meanwhile is read, so that the client is not held up. */
Test(lingering, what_still_comes_is_read) {
    lingering *l = lingering_new(30000);
    const int client = linger(l);
    static char bytes[1 << 20];
    for (int i = 0; i < 20; i++)
        for (size_t sent = 0; sent < sizeof bytes;) {
            const ssize_t n = send(client, bytes + sent, sizeof bytes - sent, MSG_NOSIGNAL);
            cr_assert(n > 0);
            sent += (size_t)n;
        }
    cr_assert_eq(lingering_count(l), 1);
    close(client);
    cr_assert(settles(l, 0), "a client that has left");
    lingering_free(l);
}

Test(lingering, silence_ends_it_long_before_the_longest_time) {
    lingering *l = lingering_new(3600000);
    const int client = linger(l);
    cr_assert(settles(l, 0));
    char byte;
    cr_assert_eq(recv(client, &byte, 1, 0), 0);
    close(client);
    lingering_free(l);
}

Test(lingering, the_oldest_makes_room) {
    enum { MANY = 80, KEPT = 64 };
    lingering *l = lingering_new(3600000);
    int clients[MANY];
    for (int i = 0; i < MANY; i++) {
        clients[i] = linger(l);
        usleep(1000); /* so that there is an oldest */
    }
    cr_assert(settles(l, KEPT));
    char byte;
    cr_assert_eq(recv(clients[0], &byte, 1, MSG_DONTWAIT), 0);
    cr_assert_eq(recv(clients[MANY - 1], &byte, 1, MSG_DONTWAIT), -1);
    lingering_free(l);
    cr_assert_eq(recv(clients[MANY - 1], &byte, 1, 0), 0);
    for (int i = 0; i < MANY; i++)
        close(clients[i]);
}
