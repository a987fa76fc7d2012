/* plan.h: what has to be computed for a picture. */
#ifndef PICTURE_PLAN_H
#define PICTURE_PLAN_H

#include "core/arena.h"
#include "core/model/model.h"
#include "server/attend/request.h"
#include "server/picture/options.h"
#include "server/problem.h"

/* Makes the request one for a picture, before it is resolved: it asks for the weights, of one batch entry, of
 * the heads that are shown, pooled as far as it takes to have room for them; rows, columns, heads and sizes
 * of a view that the request has itself stay as they are where there is room. Lists come from `arena`. Fails
 * with *p filled in; the tensors' shapes need not fit the model, which is checked when the request is
 * resolved. */
problem_code picture_plan(const picture_options *o, const attn_model *model, attend_request *request,
                          attn_arena *arena, problem *p);

#endif
