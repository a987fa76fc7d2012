/* map.h: a picture of weights that were computed before, instead of weights that are computed for it.
 */
#ifndef PICTURE_MAP_H
#define PICTURE_MAP_H

#include "core/arena.h"
#include "server/attend/request.h"
#include "server/picture/options.h"

/* Can such a picture be made of the weights that this request asks for? Fails with *p filled in, as
 * picture_plan does, and also where the request's view leaves out what the picture would show. */
problem_code picture_map_check(const picture_options *o, const attn_model *model,
                               const attend_request *request, attn_arena *arena, problem *p);

/* Makes *shown a call for png_write_picture: that of `call`, but with the part of its weights that a request
 * for this picture alone would have had computed, in the same bits. `call` is what became of `request`
 * (kept.h says what has to be in it). Memory comes from `arena`. Fails with *p filled in, with
 * deadline_exceeded if the control (NULL: there is none) says stop. */
problem_code picture_map_show(const picture_options *o, const attend_request *request,
                              const attend_call *call, const attn_control *control, attn_arena *arena,
                              attend_call *shown, problem *p);

#endif
