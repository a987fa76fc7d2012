/* kept_results.h: puts results into a store, for a browser to look at. */
#ifndef ATTEND_KEPT_RESULTS_H
#define ATTEND_KEPT_RESULTS_H

#include "server/attend/kept_copy.h"
#include "server/store/store.h"

#define RESULTS_PATH "/results/" /* what the path of a kept result begins with; its id follows */

/* Could this be kept? Before anything is computed. Fails with too_large, which names the flag. */
problem_code keep_check(const store *results, const attend_request *request, const attend_call *call,
                        problem *p);

/* Sets call->result_url to a path of its own, and puts a copy, a kept_result to be freed with free(), into
 * the store. Fails with *p filled in, and an empty result_url: there are no random numbers or no memory, too
 * much of the store is in use at this moment, or the control (NULL: there is none) says stop. */
problem_code keep_result(store *results, const attend_request *request, attend_call *call,
                         const attn_control *control, problem *p);

#endif
