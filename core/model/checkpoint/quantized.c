/* quantized.c: checkpoints some of whose modules are quantised. They can be served as long as attention is
 * not. */
#include "core/model/checkpoint/config_json.h"
#include "core/printable.h"

#include <fnmatch.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define KEY            "quantization_config"
#define NAME_MAX_BYTES 512

/* The lists of modules that were left as they are, under the names that the methods have for them. */
static const char *const exceptions[] = {
    "modules_to_not_convert", /* AWQ, bitsandbytes, FBGEMM, fine-grained FP8, MXFP4 and others */
    "llm_int8_skip_modules",  /* bitsandbytes */
    "ignore",                 /* compressed-tensors, ModelOpt */
    "ignored_layers",         /* vLLM's FP8 */
    "exclude_modules",        /* ModelOpt */
    "exclude",                /* Quark */
};

/* The methods whose quantised matrices have other names than NAME.weight, or that leave attention alone. */
static const char *const plain_methods[] = {"awq", "gptq", "auto-round", "mxfp4"};

static bool is_plain_dtype(const char *name) {
    static const char *const plain[] = {"F64", "F32", "F16", "BF16"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (strcmp(plain[i], name) == 0)
            return true;
    return false;
}

/* Does the regular expression match from the start of the name, as Python's re.match does? One that POSIX
 * does not know matches nothing. */
static bool matches_expression(const char *expression, const char *module) {
    regex_t compiled;
    regmatch_t match;
    if (regcomp(&compiled, expression, REG_EXTENDED) != 0)
        return false;
    const bool matches = regexec(&compiled, module, 1, &match, 0) == 0 && match.rm_so == 0;
    regfree(&compiled);
    return matches;
}

/* Does an entry of such a list name the module, or one that contains it? An entry that begins with "re:" is a
 * regular expression; one with special characters is one too, or a shell pattern; any other is a path or a
 * part of one. */
static bool names_module(const char *line, const char *module) {
    if (strncmp(line, "re:", 3) == 0)
        return matches_expression(line + 3, module);
    if (strpbrk(line, "*^$[|(") != NULL)
        return fnmatch(line, module, 0) == 0 || matches_expression(line, module);
    const size_t length = strlen(line);
    for (const char *at = module; length > 0 && (at = strstr(at, line)) != NULL; at++)
        if ((at == module || at[-1] == '.') && (at[length] == '.' || at[length] == '\0'))
            return true;
    return false;
}

static bool is_excepted(const json_t *quantization, const char *module) {
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++) {
        const json_t *list = json_object_get(quantization, exceptions[i]);
        for (size_t k = 0; k < json_array_size(list); k++) {
            const char *line = json_string_value(json_array_get(list, k));
            if (line != NULL && names_module(line, module))
                return true;
        }
    }
    const char *method = json_string_value(json_object_get(quantization, "quant_method"));
    for (size_t i = 0; i < sizeof plain_methods / sizeof plain_methods[0] && method != NULL; i++)
        if (strcmp(plain_methods[i], method) == 0)
            return true;
    return false;
}

/* A tensor beside the module's weight and bias: scales, zeros, packed numbers. NULL: there is none. */
static const attn_tensor *find_companion(const attn_tensors *tensors, const char *module, size_t length) {
    for (size_t i = 0; i < attn_tensors_count(tensors); i++) {
        const attn_tensor *tensor = attn_tensors_at(tensors, i).tensor;
        if (strncmp(tensor->name, module, length) != 0 || tensor->name[length] != '.')
            continue;
        const char *last = tensor->name + length + 1;
        if (strcmp(last, "weight") != 0 && strcmp(last, "bias") != 0)
            return tensor;
    }
    return NULL;
}

attn_status attn_quantized_check(const char *where, const json_t *quantization, const attn_tensors *tensors,
                                 const char *tensor, attn_error *error) {
    char module[NAME_MAX_BYTES];
    attn_tensor_place place;
    attn_printable printable;
    const char *dot = strrchr(tensor, '.');
    snprintf(module, sizeof module, "%.*s", dot == NULL ? 0 : (int)(dot - tensor), tensor);
    const attn_tensor *companion = find_companion(tensors, module, strlen(module));
    if (companion != NULL)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"" KEY "\": quantised weights are not served, found tensor \"%s\"", where,
                         attn_make_printable(&printable, companion->name));
    if (!attn_tensors_find(tensors, tensor, &place))
        return ATTN_OK;
    if (!is_plain_dtype(place.tensor->dtype->name))
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"" KEY "\": quantised weights are not served, found tensor \"%s\" of "
                         "type %s",
                         where, attn_make_printable(&printable, tensor), place.tensor->dtype->name);
    if (!is_excepted(quantization, module))
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: \"" KEY "\": quantised weights are not served, found no "
                         "modules_to_not_convert or the like that excepts \"%s\"",
                         where, attn_make_printable(&printable, module));
    return ATTN_OK;
}
