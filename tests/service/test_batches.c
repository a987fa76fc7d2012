/* Requests that wait for the same model are computed together, and none of them notices. */
#include "tests/service/clients.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODELS                                                                                               \
    "--model", SMALL, "--model", "wide=init:embed_dim=64,num_heads=4,causal=true,seed=7", "--model",         \
        "heavy=init:embed_dim=512,num_heads=8,seed=3"

/* A request on a connection of its own. */
typedef struct {
    int fd;
    char *text, *answer; /* the whole of them */
    int status;
    int batch; /* requests that it was computed with, or 0 */
} call;

static call new_call(const char *path, const char *header, const char *body) {
    call c = {.fd = -1};
    const size_t size = strlen(body) + 300;
    c.text = keep(malloc(size));
    snprintf(c.text, size,
             "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s",
             path, header, strlen(body), body);
    return c;
}

/* Connects, and sends all but the last byte. */
static void begin_call(call *c, const server *s) {
    c->fd = raw_connect(s);
    cr_assert(raw_send(c->fd, c->text, strlen(c->text) - 1));
}

static void complete_call(call *c) {
    cr_assert(raw_send(c->fd, c->text + strlen(c->text) - 1, 1));
}

static void read_call(call *c) {
    c->answer = raw_read(c->fd, NULL);
    close(c->fd);
    const char *batch = strstr(c->answer, ";batch=");
    c->status = 0;
    sscanf(c->answer, "HTTP/1.1 %d", &c->status);
    c->batch = batch == NULL ? 0 : atoi(batch + 7);
}

static const char *body_of(const call *c) {
    const char *end = strstr(c->answer, "\r\n\r\n");
    return end == NULL ? "" : end + 4;
}

/* The body of the same request's answer when it is alone. */
static char *ask_alone(call *c, const server *s) {
    begin_call(c, s);
    complete_call(c);
    read_call(c);
    cr_assert(c->batch <= 1);
    return keep(strdup(body_of(c)));
}

/* Sends all of them at one moment, at which the only worker is busy with a request of this length. */
static void ask_at_once(call *calls, size_t count, const server *s, size_t length) {
    call long_one = new_call("/attend/small", "", make_request(1, length, 8, "", 1));
    begin_call(&long_one, s);
    for (size_t i = 0; i < count; i++)
        begin_call(&calls[i], s);
    complete_call(&long_one);
    for (size_t i = 0; i < count; i++)
        complete_call(&calls[i]);
    for (size_t i = 0; i < count; i++)
        read_call(&calls[i]);
    read_call(&long_one);
    cr_assert_eq(long_one.status, 200);
}

Test(batches, one_token_requests_are_computed_together_with_the_same_bytes) {
    enum { CALLS = 32 };
    server s = server_start(MODELS, "--threads", "1", NULL);
    call calls[CALLS];
    char *alone[CALLS];
    for (unsigned i = 0; i < CALLS; i++) {
        calls[i] = new_call("/attend/wide", "", make_request(1, 1, 64, "\"need_weights\":true,", i + 1));
        alone[i] = ask_alone(&calls[i], &s);
        cr_assert_eq(calls[i].status, 200, "%s", calls[i].answer);
    }
    /* That they meet is a matter of moments; that it never happens is not. */
    int most = 0;
    for (int turn = 0; turn < 20 && most < CALLS / 2; turn++) {
        ask_at_once(calls, CALLS, &s, 8000);
        for (size_t i = 0; i < CALLS; i++) {
            cr_assert_str_eq(body_of(&calls[i]), alone[i]);
            most = calls[i].batch > most ? calls[i].batch : most;
        }
    }
    cr_assert_geq(most, CALLS / 2);
    cr_assert_eq(server_stop(&s), 0);
}

/* `count` requests of one query, or so many, and of so many keys; how many of them met at most, in some
 * turns. */
static int how_many_meet(const server *s, size_t queries, size_t keys, int enough) {
    enum { CALLS = 6 };
    call calls[CALLS];
    int most = 0;
    char *key = make_request(1, keys, 64, "", 99), *more = keep(malloc(strlen(key) + 20));
    sprintf(more, "\"key\":%s", strchr(key, '['));
    strcpy(strrchr(more, '}'), ",");
    for (unsigned i = 0; i < CALLS; i++)
        calls[i] = new_call("/attend/wide", "", make_request(1, queries, 64, more, i + 1));
    for (int turn = 0; turn < 20 && most < enough; turn++) {
        ask_at_once(calls, CALLS, s, 8000);
        for (size_t i = 0; i < CALLS; i++) {
            cr_assert_eq(calls[i].status, 200, "%s", calls[i].answer);
            most = calls[i].batch > most ? calls[i].batch : most;
        }
    }
    return most;
}

/* At most SCHED_ROWS, 512, together; a job counts for the more of its queries and its keys. */
Test(batches, keys_count_as_queries_do) {
    server s = server_start(MODELS, "--threads", "1", NULL);
    cr_expect_geq(how_many_meet(&s, 1, 100, 3), 3);
    cr_expect_eq(how_many_meet(&s, 1, 257, 2), 1, "many keys");
    cr_expect_eq(how_many_meet(&s, 257, 1, 2), 1, "many queries");
    cr_assert_eq(server_stop(&s), 0);
}

/* Every third is beyond float32 once it is multiplied; every third has a shape that does not fit. */
Test(batches, what_fails_in_a_batch_does_not_disturb_its_neighbours) {
    enum { CALLS = 18 };
    server s = server_start(MODELS, "--threads", "1", NULL);
    call calls[CALLS];
    char *alone[CALLS];
    for (unsigned i = 0; i < CALLS; i++) {
        const char *body = i % 3 == 0   ? make_request(1, 1 + i % 4, 8, "", i + 1)
                           : i % 3 == 1 ? "{\"query\":[[3e38,-3e38,3e38,3e38,-3e38,3e38,3e38,3e38]]}"
                                        : "{\"query\":[[1,2,3]]}";
        calls[i] = new_call("/attend/small", "", body);
        alone[i] = ask_alone(&calls[i], &s);
        cr_assert_eq(calls[i].status, i % 3 == 0 ? 200 : 400, "%s", calls[i].answer);
    }
    int most = 0;
    for (int turn = 0; turn < 20 && most < 6; turn++) {
        ask_at_once(calls, CALLS, &s, 8000);
        for (size_t i = 0; i < CALLS; i++) {
            cr_assert_eq(calls[i].status, i % 3 == 0 ? 200 : 400, "%s", calls[i].answer);
            cr_assert_str_eq(body_of(&calls[i]), alone[i]);
            most = calls[i].batch > most ? calls[i].batch : most;
        }
    }
    cr_assert_geq(most, 6);
    cr_assert_eq(server_stop(&s), 0);
}

static call new_heavy_call(unsigned seed, unsigned rows, unsigned timeout) {
    char header[64] = "";
    if (timeout > 0)
        snprintf(header, sizeof header, "X-Request-Timeout: %u\r\n", timeout);
    return new_call("/attend/heavy", header, make_request(1, rows, 512, "", seed));
}

/* The deadline of the first passes sooner or later in each turn: in the queue, while others are prepared, and
 * in the midst of the batch that it is the first of. To read it alone takes any CPU about a millisecond. */
Test(batches, a_deadline_holds_for_one_of_a_batch) {
    enum { CALLS = 24 };
    server s = server_start(MODELS, "--threads", "1", NULL);
    call calls[CALLS];
    char *alone[CALLS];
    int late = 0;
    for (unsigned i = 0; i < CALLS; i++) {
        calls[i] = new_heavy_call(i + 1, i == 0 ? 100 : 20, 0);
        alone[i] = ask_alone(&calls[i], &s);
        cr_assert_eq(calls[i].status, 200, "%s", calls[i].answer);
    }
    for (unsigned turn = 1; turn <= 16; turn++) {
        calls[0] = new_heavy_call(1, 100, turn <= 8 ? turn : 6 * turn);
        ask_at_once(calls, CALLS, &s, 4000);
        for (size_t i = 0; i < CALLS; i++) {
            const bool in_time = calls[i].status == 200;
            cr_assert(in_time || (i == 0 && calls[i].status == 504), "%zu: %s", i, calls[i].answer);
            cr_assert(in_time ? strcmp(body_of(&calls[i]), alone[i]) == 0
                              : strstr(calls[i].answer, "deadline_exceeded") != NULL);
            late += !in_time;
        }
    }
    cr_assert_gt(late, 0);
    cr_assert(answers(&s));
    cr_assert_eq(server_stop(&s), 0);
}

/* Clients that vanish from a batch leave nothing, and the others get their answers. */
Test(batches, who_vanishes_from_a_batch_leaves_nothing) {
    enum { CALLS = 20 };
    server s = server_start(MODELS, "--threads", "1", NULL);
    cr_assert(answers(&s));
    const size_t before = server_descriptors(&s);
    for (unsigned turn = 0; turn < 5; turn++) {
        call calls[CALLS];
        for (unsigned i = 0; i < CALLS; i++) {
            calls[i] = new_call("/attend/heavy", "", make_request(1, 20, 512, "", i + 1));
            begin_call(&calls[i], &s);
        }
        for (size_t i = 0; i < CALLS; i++)
            complete_call(&calls[i]);
        usleep(3000 * turn);
        for (size_t i = 0; i < CALLS; i += 2)
            close(calls[i].fd);
        for (size_t i = 0; i < CALLS; i++) {
            if (i % 2 == 1)
                read_call(&calls[i]);
            cr_assert(i % 2 == 0 || calls[i].status == 200, "%s", calls[i].answer);
        }
    }
    cr_assert(server_settles(&s, before));
    cr_assert_eq(server_stop(&s), 0);
}

/* Two models and ten requests at once: no thread is started for them. */
Test(batches, no_load_adds_threads) {
    enum { CALLS = 10 };
    server s = server_start(MODELS, "--threads", "1", NULL);
    const size_t with_one = server_threads(&s);
    cr_assert_eq(server_stop(&s), 0);
    s = server_start(MODELS, "--threads", "3", NULL);
    cr_assert_eq(server_threads(&s), with_one + 2);
    call calls[CALLS];
    for (unsigned i = 0; i < CALLS; i++) {
        const bool heavy = i % 2 == 0;
        calls[i] = new_call(heavy ? "/attend/heavy" : "/attend/wide", "",
                            make_request(1, heavy ? 300 : 2000, heavy ? 512 : 64, "", i + 1));
        begin_call(&calls[i], &s);
    }
    for (size_t i = 0; i < CALLS; i++)
        complete_call(&calls[i]);
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(server_threads(&s), with_one + 2);
        usleep(1000);
    }
    for (size_t i = 0; i < CALLS; i++) {
        read_call(&calls[i]);
        cr_assert_eq(calls[i].status, 200, "%s", calls[i].answer);
    }
    cr_assert_eq(server_threads(&s), with_one + 2);
    cr_assert_eq(server_stop(&s), 0);
}
