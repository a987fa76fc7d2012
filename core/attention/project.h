/* project.h: the linear parts of the pass, from the inputs to q, k and v, and from the heads to the outputs.
 */
#ifndef ATTN_PROJECT_H
#define ATTN_PROJECT_H

#include "core/attention/pass.h"

/* Bytes that attn_project_inputs and attn_project_output need for a slot; SIZE_MAX on overflow.
 * The batch has its jobs and room for its parts; its passes are zero. */
size_t attn_project_scratch(attn_batch *batch);

/* The arrays for q, k and v; false without memory. */
bool attn_project_allocate(attn_pass *pass);

/* q, k and v of all passes from their inputs: projected, normed, rotated. */
void attn_project_inputs(attn_batch *batch);

/* The outputs of all passes from their heads. */
void attn_project_output(attn_batch *batch);

#endif
