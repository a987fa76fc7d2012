/* angles.h: the tables of a rotary position embedding for one request. */
#ifndef ATTN_ANGLES_H
#define ATTN_ANGLES_H

#include "core/attention/pass.h"

/* The sines and cosines of all positions of a pass, before its rows are projected in any order. */
void attn_angles_prepare(attn_batch *batch, attn_pass *pass);

#endif
