/* health.c: is the process alive, and does it want requests? */
#include "server/routes/handlers.h"

static void answer_ok(http_exchange *x) {
    static const char ok[] = "{\"status\":\"ok\"}";
    x->answer.arena = x->small;
    if (wire_buffer_append(&x->answer, ok, sizeof ok - 1))
        x->status = 200;
}

void handle_healthz(http_exchange *x) {
    answer_ok(x);
}

bool check_ready(http_exchange *x) {
    problem p;
    const bool draining = x->service->draining;
    if (!draining && atomic_load(&x->service->server) != NULL)
        return true;
    problem_set(&p, PROBLEM_UNAVAILABLE,
                draining ? "the service is shutting down and wants no new requests"
                         : "the service is starting and does not listen yet");
    http_answer_problem(x, &p);
    return false;
}

void handle_readyz(http_exchange *x) {
    if (check_ready(x))
        answer_ok(x);
}
