/* status.h: how a function of core says that something failed.
 *
 * A function that can fail returns an attn_status (0 is success) and writes one sentence for a person into
 * the caller's attn_error. Nothing in core prints or exits. */
#ifndef ATTN_STATUS_H
#define ATTN_STATUS_H

typedef enum {
    ATTN_OK = 0,
    ATTN_BAD_MODEL,   /* a model specification, configuration or file that cannot be served */
    ATTN_BAD_VALUE,   /* numbers that cannot be computed with: the result is beyond float32 */
    ATTN_NO_MEMORY,   /* an allocation failed */
    ATTN_OVER_BUDGET, /* the memory budget shared by all requests is used up */
    ATTN_CANCELLED,   /* the caller's should_stop said so */
} attn_status;

typedef struct {
    char text[512]; /* one sentence, NUL-terminated, cut if it would be longer */
} attn_error;

/* Writes the sentence into *error (which may be NULL) and returns `status`, so that a caller can
 * `return attn_fail(error, ATTN_BAD_MODEL, "...")`. */
attn_status attn_fail(attn_error *error, attn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Returns from the function if the call fails. */
#define ATTN_TRY(call)                                                                                       \
    do {                                                                                                     \
        const attn_status status_of_call = (call);                                                           \
        if (status_of_call != ATTN_OK)                                                                       \
            return status_of_call;                                                                           \
    } while (0)

#endif
