/* recompute.h: the weights and scores that the caller wants to see. */
#ifndef ATTN_RECOMPUTE_H
#define ATTN_RECOMPUTE_H

#include "core/attention/pass.h"

/* Weights, scores and statistics of a pass, from its q, k, maxima and sums. */
void attn_maps(attn_batch *batch, attn_pass *pass);

#endif
