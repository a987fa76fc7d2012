/* project.h: from the inputs to q, k and v, and from the heads to the outputs. */
#ifndef ATTN_PROJECT_H
#define ATTN_PROJECT_H

#include "core/attention/pass.h"

/* The bytes of a slot that attn_project_inputs and attn_project_output need; SIZE_MAX on overflow.
 * The batch has its jobs and room for its parts; its passes are zero. */
size_t attn_project_scratch(attn_batch *batch);

/* Allocates q, k and v; false without memory. */
bool attn_project_allocate(attn_pass *pass);

/* Computes q, k and v of all passes from their inputs: projects, norms, rotates. */
void attn_project_inputs(attn_batch *batch);

/* Computes the outputs of all passes from their heads. */
void attn_project_output(attn_batch *batch);

#endif
