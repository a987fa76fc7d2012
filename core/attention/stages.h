/* stages.h: the stages of a pass, in their order, but for what bias.c and visible.c prepare (block.h); and
 * what they call. */
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

/* ---- What they call ---- */

/* Which of the inputs is projected. */
typedef enum { QUERY, KEY, VALUE, INPUTS } attn_projected;

/* exact.c: computes again what is beyond float32 in head h of rows [row, row + rows) of q, k or v; `heads`
 * are these rows, `width` apart. A row's head is computed whole and by itself, so that its bits do not depend
 * on other rows. False if a number stays beyond float32. */
bool attn_exact_heads(attn_pass *pass, attn_projected which, size_t row, size_t rows, size_t h, float *heads,
                      size_t width);

/* exact.c: computes again what is beyond float32 in columns [column, column + columns) of rows [row, row +
 * rows) of the output, each number by itself. Sets pass->overflowed if one stays beyond float32. */
void attn_exact_outputs(attn_pass *pass, size_t row, size_t rows, size_t column, size_t columns);

/* stats.c: are statistics or the entropy wanted? */
bool attn_wants_stats(const attn_output *output);

/* stats.c: writes what is wanted about row i of batch entry b, head h, whose weights are `row` [S+]; if
 * output->stats.received is wanted, adds the row to `received` [S+]. False if the watch says stop. */
bool attn_stats_write_row(const attn_layer *layer, const attn_input *input, const attn_output *output,
                          size_t b, size_t h, size_t i, const float *row, double *received,
                          attn_watch *watch);

#endif
