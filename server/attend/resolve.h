/* resolve.h: a request checked against a model: an attn_input, and a list of arrays for the answer. */
#ifndef ATTEND_RESOLVE_H
#define ATTEND_RESOLVE_H

#include "core/arena.h"
#include "server/attend/request.h"
#include "server/problem.h"

/* Checks `request` against `model`, fills in the defaults (key = query, value = key, a seed), and allocates
 * the arrays of the answer from `arena`. `max_answer` bounds the bytes of the answer's tensors. On failure *p
 * says what does not fit. */
problem_code request_resolve(attend_request *request, const attn_model *model, size_t max_answer,
                             attn_arena *arena, attend_call *call, problem *p);

#endif
