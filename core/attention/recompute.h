/* recompute.h: the weights and scores that the caller wants to see, and their statistics. */
#ifndef ATTN_RECOMPUTE_H
#define ATTN_RECOMPUTE_H

#include "core/attention/pass.h"

/* Weights, scores and statistics of a pass, from its q, k, maxima and sums. */
void attn_recompute(attn_batch *batch, attn_pass *pass);

#endif
