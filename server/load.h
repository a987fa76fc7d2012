/* load.h: from the options to what is served, at the start and again on SIGHUP. */
#ifndef SERVER_LOAD_H
#define SERVER_LOAD_H

#include "core/status.h"
#include "server/options.h"
#include "server/snapshot.h"

#include <stdatomic.h>

/* Loads what the options name, and holds the kernels against plain loops, for the precisions that the loaded
 * models have. NULL on failure; the caller releases the snapshot.
 *
 * With `before`, an earlier snapshot of the same options, this is a reload. Each SPEC is then all or nothing:
 *
 *     its files are as they were       its models are those of `before`
 *     they have changed                they are loaded, beside what is served
 *     that fails, or does not fit      its models are those of `before`, stale; one line in the log says why
 *
 * It gives up before the next SPEC once *given_up is true. */
snapshot *load_snapshot(const options *o, const snapshot *before, const atomic_bool *given_up,
                        attn_error *error);

#endif
