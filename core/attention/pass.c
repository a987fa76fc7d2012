#include "core/attention/pass.h"

#include <stdarg.h>
#include <stdio.h>

size_t attn_keys_with_extra(const attn_config *config, size_t S, bool omit_extra) {
    return omit_extra ? S : S + (config->add_bias_kv ? 1 : 0) + (config->add_zero_attn ? 1 : 0);
}

float *attn_pass_array(attn_pass *pass, size_t count, size_t width) {
    size_t numbers;
    return attn_multiply(count, width, &numbers) ? attn_arena_array(pass->work, numbers, sizeof(float))
                                                 : NULL;
}

attn_status attn_pass_fail(attn_pass *pass, size_t at, attn_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&pass->failing);
    if (at < atomic_load(&pass->failed_at)) {
        vsnprintf(pass->error.text, sizeof pass->error.text, format, arguments);
        pass->status = status;
        atomic_store(&pass->failed_at, at);
    }
    pthread_mutex_unlock(&pass->failing);
    va_end(arguments);
    return status;
}

attn_status attn_pass_no_memory(attn_pass *pass) {
    return attn_pass_fail(pass, 0, attn_arena_failure(pass->work),
                          "no working memory for the attention pass");
}

attn_status attn_pass_cancel(attn_pass *pass) {
    return attn_pass_fail(pass, 0, ATTN_CANCELLED, "the computation was stopped before it was complete");
}

bool attn_pass_ends(attn_pass *pass, size_t at) {
    if (atomic_load_explicit(&pass->failed_at, memory_order_relaxed) < at)
        return true;
    if (!attn_control_stops(pass->control))
        return false;
    attn_pass_cancel(pass);
    return true;
}

bool attn_pass_stops(attn_pass *pass, attn_watch *watch, size_t steps) {
    if (!attn_watch_stops(watch, steps))
        return false;
    attn_pass_cancel(pass);
    return true;
}
