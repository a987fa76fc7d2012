#include "core/model/checkpoint/key_rules.h"

#include "core/model/files/json_value.h"
#include "core/printable.h"

#include <stdbool.h>
#include <string.h>

#define BERTS        "bert roberta xlm-roberta camembert electra"
#define GEMMA3       "gemma3_text gemma3"
#define TYPED        "mistral qwen2 qwen3 gemma2 " GEMMA3
#define OTHER_FILES  "it names other files than config.json and model.safetensors"
#define OTHER_FAMILY "it belongs to attention of another kind, and transformers passes over it in this family"

/* A key that would change attention in another family stops the start even where transformers ignores it:
 * whoever wrote it meant another layer. */
static const attn_key_rule rules[] = {
    {false, "per_layer_config", NULL, ATTN_KEY_STOPS, NULL, "layers that differ by it are not served"},
    {false, "configuration_files", NULL, ATTN_KEY_STOPS, NULL, OTHER_FILES},
    {false, "transformers_weights", NULL, ATTN_KEY_STOPS, NULL, OTHER_FILES},
    {false, "position_embedding_type", BERTS, ATTN_KEY_STOPS, "absolute",
     "relative positions change the scores"},
    {false, "is_decoder", BERTS, ATTN_KEY_STOPS, NULL, "decoders of this family are not served"},
    {false, "add_cross_attention", BERTS " gpt2", ATTN_KEY_STOPS, NULL,
     "cross-attention of this family is not served"},
    {false, "use_bidirectional_attention", "gemma gemma2", ATTN_KEY_STOPS, NULL,
     "transformers' kernels do not agree on what it does in this family"},
    {false, "head_dim", "gpt_neox", ATTN_KEY_STOPS, NULL,
     "transformers has it for the rotation and not for the heads"},
    {false, "attn_logit_softcapping", "!gemma2 " GEMMA3, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "query_pre_attn_scalar", "!gemma2 " GEMMA3, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "attention_multiplier", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "attention_chunk_size", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "attn_temperature_tuning", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "no_rope_layers", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "alibi", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "clip_qkv", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "qk_norm", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "use_qk_norm", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "qk_layernorm", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "use_logn_attn", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "use_dynamic_ntk", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "kv_lora_rank", NULL, ATTN_KEY_STOPS, NULL, OTHER_FAMILY},
    {false, "attn_logit_softcapping", GEMMA3, ATTN_KEY_WARNS, NULL, "no layer of Gemma 3 has a soft cap"},
    {false, "layer_types", "!" TYPED, ATTN_KEY_WARNS, NULL, "all layers of this family are of one type"},
    {false, "sliding_window", "!" TYPED " phi3", ATTN_KEY_WARNS, NULL, "this family has no windows"},
    {false, "sliding_window_pattern", "!" GEMMA3, ATTN_KEY_WARNS, NULL, "only Gemma 3 has such a pattern"},
    {true, "attn_factor", NULL, ATTN_KEY_WARNS, NULL, "what transformers reads is attention_factor"},
    {true, "mrope_section", NULL, ATTN_KEY_WARNS, NULL, "the positions of a text are the same without it"},
    {true, "*", NULL, ATTN_KEY_WARNS, NULL, "this type of rotation does not have it"},
};
#define RULES (sizeof rules / sizeof rules[0])

const attn_key_rule *attn_key_rules(size_t *count) {
    *count = RULES;
    return rules;
}

/* Is `word` among the words of a text with spaces between them? */
static bool has_word(const char *text, const char *word) {
    const size_t length = strlen(word);
    for (const char *at = text; *at != '\0'; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == length && memcmp(at, word, length) == 0)
            return true;
    return false;
}

static bool is_about(const attn_key_rule *rule, const char *family) {
    if (rule->families == NULL)
        return true;
    const bool others = rule->families[0] == '!';
    return family != NULL && has_word(rule->families + others, family) != others;
}

/* Does the value say no more than an absent key does? */
static bool says_nothing(const attn_key_rule *rule, const json_t *value) {
    if (json_is_string(value))
        return rule->only != NULL && strcmp(json_string_value(value), rule->only) == 0;
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

static attn_status apply(const attn_key_rule *rule, const char *where, const char *key, const json_t *value,
                         attn_warnings *warnings, attn_error *error) {
    attn_printable name, found;
    attn_make_printable(&name, key);
    const char *expected = rule->only != NULL ? rule->only : json_is_true(value) ? "false" : "no such key";
    if (rule->verdict == ATTN_KEY_STOPS)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: \"%s\": expected %s, found %s: %s", where, name.text,
                         expected, attn_json_printable(&found, value), rule->why);
    attn_warn(warnings, "%s: \"%s\" is passed over: %s", where, name.text, rule->why);
    return ATTN_OK;
}

attn_status attn_key_rules_check(const char *where, const char *family, const json_t *config,
                                 attn_warnings *warnings, attn_error *error) {
    attn_status status = ATTN_OK;
    for (size_t i = 0; i < RULES && status == ATTN_OK; i++) {
        const json_t *value = rules[i].rope ? NULL : json_object_get(config, rules[i].key);
        if (is_about(&rules[i], family) && !says_nothing(&rules[i], value))
            status = apply(&rules[i], where, rules[i].key, value, warnings, error);
    }
    return status;
}

attn_status attn_key_rules_check_rope(const char *where, const char *key, const json_t *value,
                                      attn_warnings *warnings, attn_error *error) {
    attn_printable name;
    size_t i = 0;
    if (json_is_object(value))
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"%s\": expected no object: rotations by type of layer are not those of this "
                         "family",
                         where, attn_make_printable(&name, key));
    while (!rules[i].rope || (strcmp(rules[i].key, key) != 0 && strcmp(rules[i].key, "*") != 0))
        i++;
    return apply(&rules[i], where, key, value, warnings, error);
}
