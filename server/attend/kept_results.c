#include "server/attend/kept_results.h"

#include "core/watch.h"

#include <stdint.h>
#include <stdio.h>

_Static_assert(sizeof RESULTS_PATH + STORE_ID_LENGTH <= RESULT_URL_SIZE, "RESULT_URL_SIZE");

problem_code keep_check(const store *results, const attend_request *request, const attend_call *call,
                        problem *p) {
    size_t bytes;
    bytes = kept_size(request, call, &bytes) ? store_cost(bytes) : SIZE_MAX;
    if (bytes <= store_limit(results))
        return PROBLEM_NONE;
    return problem_set_at(
        p, PROBLEM_TOO_LARGE, "keep",
        "to keep this result would take %zu bytes, but --results-memory allows %zu; leave out "
        "keep, or keep less of the weights with a view",
        bytes, store_limit(results));
}

static problem_code say_failure(store_failure failure, problem *p) {
    switch (failure) {
    case STORE_DONE:
        break;
    case STORE_NO_MEMORY:
        return problem_from_core(p, ATTN_NO_MEMORY, NULL);
    case STORE_NO_RANDOMNESS:
        return problem_set(p, PROBLEM_UNAVAILABLE,
                           "the system has no random numbers for the id of a kept result; try again later");
    case STORE_NO_ROOM:
        return problem_set(
            p, PROBLEM_QUEUE_FULL,
            "kept results that are being made or read hold too much of --results-memory at this "
            "moment; try again later");
    }
    return PROBLEM_NONE;
}

problem_code keep_result(store *results, const attend_request *request, attend_call *call,
                         const attn_control *control, problem *p) {
    store_entry *entry;
    size_t bytes;
    problem_code code = keep_check(results, request, call, p);
    if (code != PROBLEM_NONE || !kept_size(request, call, &bytes))
        return code;
    code = say_failure(store_reserve(results, bytes, &entry), p);
    if (code != PROBLEM_NONE)
        return code;
    snprintf(call->result_url, sizeof call->result_url, RESULTS_PATH "%s", store_id(entry));
    kept_result *kept = kept_copy(request, call, control); /* it may be large: the store is not locked */
    if (kept != NULL) {
        store_put(results, entry, kept);
        return PROBLEM_NONE;
    }
    store_cancel(results, entry);
    *call->result_url = '\0';
    return problem_from_core(p, attn_control_stops(control) ? ATTN_CANCELLED : ATTN_NO_MEMORY, NULL);
}
