#include "core/model/describe.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    char *text;
    size_t size, length;
} line;

static void __attribute__((format(printf, 2, 3))) add(line *l, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(l->text + l->length, l->size - l->length, format, arguments);
    va_end(arguments);
    l->length += (size_t)length;
    if (l->length >= l->size)
        l->length = l->size - 1;
}

static void add_rope(line *l, const attn_rope *rope) {
    static const char *const scalings[] = {"", ", linear", ", dynamic", ", yarn", ", llama3", ", longrope"};
    if (rope->style != ATTN_ROPE_NONE)
        add(l, ", rope (%s, %zu dims, theta %g%s)", rope->style == ATTN_ROPE_HALF ? "half" : "interleaved",
            rope->dims, rope->theta, scalings[rope->scaling]);
}

void attn_model_describe(const attn_model *model, char *text, size_t size) {
    const attn_config *c = &model->layer.config;
    line l = {text, size, 0};
    add(&l, "embed_dim %zu, %zu head%s of %zu", c->embed_dim, c->num_heads, c->num_heads == 1 ? "" : "s",
        c->head_dim);
    if (c->num_kv_heads != c->num_heads)
        add(&l, " (%zu of keys and values)", c->num_kv_heads);
    if (c->kdim != c->embed_dim || c->vdim != c->embed_dim)
        add(&l, ", kdim %zu, vdim %zu", c->kdim, c->vdim);
    const struct {
        bool has;
        const char *name;
    } switches[] = {{c->bias, "bias"},
                    {c->add_bias_kv, "bias_k and bias_v"},
                    {c->add_zero_attn, "zero key"},
                    {c->causal, "causal"},
                    {c->qk_norm, "q and k norm"},
                    {c->scale_given, "own scale"},
                    {c->alibi, "alibi"},
                    {c->sinks, "sinks"}};
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++)
        if (switches[i].has)
            add(&l, ", %s", switches[i].name);
    if (c->sliding_window != 0)
        add(&l, ", window %zu", c->sliding_window);
    if (c->softcap > 0)
        add(&l, ", softcap %g", c->softcap);
    add_rope(&l, &c->rope);
    if (c->relative_bias.buckets != 0)
        add(&l, ", relative bias (%zu buckets to %zu)", c->relative_bias.buckets,
            c->relative_bias.max_distance);
    if (c->dropout > 0)
        add(&l, ", dropout %g", c->dropout);
    if (c->precision != ATTN_FLOAT32)
        add(&l, ", %s", attn_precision_name(c->precision));
    if (c->precision != ATTN_FLOAT32 && !isnan(model->precision_error))
        add(&l, " (output error %.2g %%)", 100 * model->precision_error);
    add(&l, ", %s layout, %zu bytes", model->layout, model->bytes);
}
