/* outputs.h: the arrays that an answer consists of. */
#ifndef ATTEND_OUTPUTS_H
#define ATTEND_OUTPUTS_H

#include "server/attend/request.h"
#include "server/attend/view.h"

/* Lists the results that the request asks for in call->results, in the order in which they are written, and
 * allocates them from `arena` once it is known that all of them together take no more than `max_answer`
 * bytes. Everything else in *call is there already. Fails with *p filled in. */
problem_code answer_allocate(const attend_request *request, const view_shape *map, size_t max_answer,
                             attn_arena *arena, attend_call *call, problem *p);

/* Allocates the weights that are kept but are not in the answer, if there are such. Fails with *p filled in.
 */
problem_code answer_allocate_withheld(attend_call *call, attn_arena *arena, problem *p);

#endif
