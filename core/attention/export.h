/* export.h: q, k, v and the heads for the caller. */
#ifndef ATTN_EXPORT_H
#define ATTN_EXPORT_H

#include "core/attention/pass.h"

/* Copies what of them is wanted. Fails with ATTN_BAD_VALUE if a number is beyond float32. */
attn_status attn_export(attn_pass *pass);

#endif
