/* kept_copy.h: a request and the arrays of its answer, copied out of the request's memory into one block. */
#ifndef ATTEND_KEPT_COPY_H
#define ATTEND_KEPT_COPY_H

#include "server/attend/request.h"

#include <stdbool.h>
#include <stddef.h>

/* All pointers lead into the block, or to constants. Of the call's input the arrays are gone but for the
 * masks; of its output the view and the weights are there; its model has a name and a configuration, no
 * weights. */
typedef struct {
    attend_request request;
    attend_call call;
    attn_model model;
} kept_result;

/* How many bytes the block of kept_copy would take, for arrays that need not be there yet. False if they
 * overflow. */
bool kept_size(const attend_request *request, const attend_call *call, size_t *bytes);

/* Copies a resolved request and its computed call. The caller frees with free(). NULL if there is no memory,
 * or if the control (NULL: there is none) says stop. */
kept_result *kept_copy(const attend_request *request, const attend_call *call, const attn_control *control);

/* The weights among the arrays, whether they were in the answer or not; *count is 0 (there are none), 1, or
 * 2 (values and indices). */
const attend_array *kept_weights(const attend_call *call, size_t *count);

#endif
