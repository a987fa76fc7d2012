/* outputs.h: what an answer can hold, one table: `return`, every wire format and the description of the API
 * follow it; and the arrays of one answer, which are made by it. */
#ifndef ATTEND_OUTPUTS_H
#define ATTEND_OUTPUTS_H

#include "core/arena.h"
#include "server/attend/request.h"
#include "server/attend/view.h"
#include "server/problem.h"

#include <stdbool.h>
#include <stddef.h>

/* An array, or an object of arrays, its members. */
typedef struct attend_output attend_output;
struct attend_output {
    const char *name;           /* of a member: "stats.max" */
    const char *letters;        /* its shape, see below; NULL: an object, or there with view.top_k only */
    size_t offset;              /* of its pointer in attn_output */
    bool is_int32;              /* else it is float32 */
    bool may_be_minus_infinity; /* which JSON writes as null */
    bool is_map;                /* of weights or scores: view says of which, and with top_k it has members */
    const attend_output *members; /* up to one without a name; NULL: there are none */
};

/* Letters of shapes: B batch entries, L queries, T keys with the extra ones, H heads, K heads of keys and
 * values, D head width, E embedding width. */

/* In the order in which an answer has them, up to one without a name. */
extern const attend_output attend_outputs[];

enum {
    OUTPUT_WEIGHTS = 1,  /* the index of attn_weights, which need_weights asks for */
    OUTPUT_RETURNED = 2, /* bit n of `returned` asks for number OUTPUT_RETURNED + n */
};

/* Output `n` of all and their members, which stand behind what they are members of; NULL if there are not so
 * many. *whole is its own index in attend_outputs, or that of the output it is a member of. */
const attend_output *output_at(size_t n, size_t *whole);

/* Does the request ask for attend_outputs[n]? */
bool output_asked(const attend_request *request, size_t n);

/* Makes it ask for that. */
void output_ask(attend_request *request, size_t n);

/* Lists the arrays that the request asks for in call->arrays, in the order in which they are written, and
 * allocates them from `arena` once it is known that all of them together take no more than `max_answer`
 * bytes. Everything else in *call is there already. Fails with *p filled in. */
problem_code outputs_allocate(const attend_request *request, const view_shape *map, size_t max_answer,
                              attn_arena *arena, attend_call *call, problem *p);

/* Allocates the weights that are kept but are not in the answer, if there are such. Fails with *p filled in.
 */
problem_code outputs_allocate_withheld(attend_call *call, attn_arena *arena, problem *p);

#endif
