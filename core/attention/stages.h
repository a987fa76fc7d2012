/* stages.h: the stages of a pass, in their order, but for what bias.c and visible.c prepare (block.h). */
#ifndef ATTN_STAGES_H
#define ATTN_STAGES_H

#include "core/attention/pass.h"

/* project.c: the bytes of a slot that attn_project_inputs and attn_project_output need; SIZE_MAX on overflow.
 * The batch has its jobs and room for its parts; its passes are zero. */
size_t attn_project_scratch(attn_batch *batch);

/* project.c: allocates q, k and v; false without memory. */
bool attn_project_allocate(attn_pass *pass);

/* angles.c: computes the sines and cosines of all positions of a pass. They are ready before its rows are
 * projected, whose order is open. */
void attn_angles_prepare(attn_batch *batch, attn_pass *pass);

/* project.c: computes q, k and v of all passes from their inputs: projects, norms, rotates. */
void attn_project_inputs(attn_batch *batch);

/* attend.c: the bytes of a slot that attn_attend needs; SIZE_MAX on overflow. */
size_t attn_attend_scratch(const attn_layer *layer);

/* attend.c: computes the heads of all passes from their q, k and v. */
void attn_attend(attn_batch *batch);

/* recompute.c: weights, scores and statistics of a pass, from its q, k, maxima and sums. */
void attn_recompute(attn_batch *batch, attn_pass *pass);

/* export.c: copies what is wanted of q, k, v and the heads. Fails with ATTN_BAD_VALUE if a number is beyond
 * float32. */
attn_status attn_export(attn_pass *pass);

/* project.c: computes the outputs of all passes from their heads. */
void attn_project_output(attn_batch *batch);

#endif
