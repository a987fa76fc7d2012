/* models.c: what is served. The options of a model have the names that a config.json has for them. */
#include "core/model/builtin/patterns.h"
#include "server/routes/handlers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A float32 as the double that its shortest decimal stands for: 0.1, not 0.100000001490116. */
static json_t *number(float value) {
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return json_real(strtod(text, NULL));
}

/* `values` as a list; null if there are none. */
static json_t *numbers(const float *values, size_t count) {
    if (values == NULL)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(list, number(values[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* Null: 1 / sqrt(D). One number if all heads have the same. */
static json_t *describe_scale(const attn_layer *layer) {
    const size_t H = layer->config.num_heads;
    if (layer->scale == NULL)
        return json_null();
    for (size_t h = 1; h < H; h++)
        if (layer->scale[h] != layer->scale[0])
            return numbers(layer->scale, H);
    return number(layer->scale[0]);
}

/* As Hugging Face writes it; null if the frequencies are as they were trained. */
static json_t *describe_scaling(const attn_layer *layer) {
    const attn_rope *rope = &layer->config.rope;
    const json_int_t length = (json_int_t)rope->original_length;
    switch (rope->scaling) {
    case ATTN_ROPE_LINEAR:
        return json_pack("{s:s, s:f}", "rope_type", "linear", "factor", rope->factor);
    case ATTN_ROPE_DYNAMIC:
        return json_pack("{s:s, s:f, s:I}", "rope_type", "dynamic", "factor", rope->factor,
                         "original_max_position_embeddings", length);
    case ATTN_ROPE_YARN:
        return json_pack("{s:s, s:f, s:I, s:f, s:f, s:f, s:b}", "rope_type", "yarn", "factor", rope->factor,
                         "original_max_position_embeddings", length, "attention_factor", rope->magnitude,
                         "beta_fast", rope->beta_fast, "beta_slow", rope->beta_slow, "truncate",
                         (int)rope->truncate);
    case ATTN_ROPE_LLAMA3:
        return json_pack("{s:s, s:f, s:I, s:f, s:f}", "rope_type", "llama3", "factor", rope->factor,
                         "original_max_position_embeddings", length, "low_freq_factor",
                         rope->low_frequency_factor, "high_freq_factor", rope->high_frequency_factor);
    case ATTN_ROPE_LONGROPE:
        return json_pack("{s:s, s:I, s:f, s:o, s:o}", "rope_type", "longrope",
                         "original_max_position_embeddings", length, "attention_factor", rope->magnitude,
                         "short_factor", numbers(layer->rope_short, rope->dims / 2), "long_factor",
                         numbers(layer->rope_long, rope->dims / 2));
    case ATTN_ROPE_UNSCALED:
        break;
    }
    return json_null();
}

static json_t *describe_rope(const attn_layer *layer) {
    const attn_rope *rope = &layer->config.rope;
    if (rope->style == ATTN_ROPE_NONE)
        return json_null();
    return json_pack("{s:f, s:s, s:I, s:o}", "theta", rope->theta, "style",
                     rope->style == ATTN_ROPE_HALF ? "half" : "interleaved", "dims", (json_int_t)rope->dims,
                     "scaling", describe_scaling(layer));
}

static json_t *describe_relative_bias(const attn_relative_bias *bias) {
    if (bias->buckets == 0)
        return json_null();
    return json_pack("{s:I, s:I, s:b}", "buckets", (json_int_t)bias->buckets, "max_distance",
                     (json_int_t)bias->max_distance, "bidirectional", (int)bias->bidirectional);
}

/* What can be there or not: null, or false, if it is not. */
static json_t *describe_options(const attn_layer *layer) {
    const attn_config *c = &layer->config;
    json_t *softcap = c->softcap == 0 ? json_null() : json_real(c->softcap);
    json_t *window = c->sliding_window == 0 ? json_null() : json_integer((json_int_t)c->sliding_window);
    json_t *norm = c->qk_norm ? json_pack("{s:f}", "eps", c->qk_norm_eps) : json_null();
    return json_pack("{s:b, s:f, s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "bias",
                     (int)c->bias, "dropout", c->dropout, "causal", (int)c->causal, "add_bias_kv",
                     (int)c->add_bias_kv, "add_zero_attn", (int)c->add_zero_attn, "scale",
                     describe_scale(layer), "softcap", softcap, "sliding_window", window, "rope",
                     describe_rope(layer), "qk_norm", norm, "alibi_slopes",
                     numbers(layer->alibi_slopes, c->num_heads), "relative_bias",
                     describe_relative_bias(&c->relative_bias), "sinks", (int)c->sinks);
}

/* Adds the members of `more` to `object`, and gives up both if either is NULL or memory runs out. */
static json_t *merge(json_t *object, json_t *more) {
    if (object != NULL && (more == NULL || json_object_update(object, more) != 0)) {
        json_decref(object);
        object = NULL;
    }
    json_decref(more);
    return object;
}

/* Null: the weights are as they were read, or the probe is beyond float32. */
static json_t *describe_error(const attn_model *model) {
    const bool is_measured = model->layer.config.precision != ATTN_FLOAT32 && !isnan(model->precision_error);
    return is_measured ? number((float)model->precision_error) : json_null();
}

/* Nothing; but of models whose files say something else by now, why that is not served. */
static json_t *describe_staleness(const snapshot *s, const attn_model *model) {
    const char *why = snapshot_stale(s, model);
    if (why == NULL)
        return json_object();
    /* A sentence that was too long may have been cut within a character. */
    const size_t length = strlen(why);
    json_t *text = NULL;
    for (size_t cut = 0; cut < 4 && cut < length && text == NULL; cut++)
        text = json_stringn(why, length - cut);
    return json_pack("{s:o}", "stale", text);
}

static json_t *describe(const snapshot *s, const attn_model *model) {
    const attn_config *c = &model->layer.config;
    json_t *shape = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:s, s:I}", "name", model->name,
                              "embed_dim", (json_int_t)c->embed_dim, "kdim", (json_int_t)c->kdim, "vdim",
                              (json_int_t)c->vdim, "num_heads", (json_int_t)c->num_heads, "num_kv_heads",
                              (json_int_t)c->num_kv_heads, "head_dim", (json_int_t)c->head_dim, "precision",
                              attn_precision_name(c->precision), "precision_error", describe_error(model),
                              "layout", model->layout, "bytes", (json_int_t)model->bytes);
    return merge(merge(shape, describe_options(&model->layer)), describe_staleness(s, model));
}

static json_t *describe_models(const snapshot *s) {
    const attn_registry *registry = &s->models;
    json_t *list = json_array();
    for (size_t i = 0; i < registry->count; i++)
        if (json_array_append_new(list, describe(s, registry->models[i])) != 0) {
            json_decref(list);
            list = NULL;
            break;
        }
    return json_pack("{s:s, s:o}", "default", registry->models[0]->name, "models", list);
}

void handle_models(http_exchange *x) {
    answer_once(x, &x->snapshot->model_list, describe_models);
}

void handle_openapi(http_exchange *x) {
    answer_once(x, &x->snapshot->api, describe_api);
}

void handle_model(http_exchange *x) {
    const attn_model *model = lookup_model(x, x->argument, "");
    if (model != NULL)
        answer_document(x, strcmp(model->layout, "patterns") == 0
                               ? merge(describe(x->snapshot, model), attn_patterns_describe())
                               : describe(x->snapshot, model));
}
