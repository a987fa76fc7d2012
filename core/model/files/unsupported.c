#include "core/model/files/unsupported.h"

#include "core/printable.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>

/* Names of files, and what their owner can do (NULL: nothing, such a file is served); the first match counts.
 */
static const struct {
    const char *pattern, *advice;
} forms[] = {
    {"model.safetensors", NULL},
    {"model.safetensors.index.json", NULL},
    {"adapter_model.*", "an adapter, not a model: merge it into its base model with merge_and_unload() of "
                        "peft, then save_pretrained()"},
    {"model-*-of-*.safetensors", "a shard, but no index over the shards: download "
                                 "model.safetensors.index.json too"},
    {"pytorch_model*.bin", "convert it with from_pretrained(DIRECTORY).save_pretrained(DIRECTORY) of "
                           "transformers"},
    {"*.gguf", "convert it with from_pretrained(DIRECTORY, gguf_file=FILE).save_pretrained(DIRECTORY) of "
               "transformers"},
    {"*.safetensors", "if that is the whole model, rename it"},
};
#define FORMS (sizeof forms / sizeof forms[0])

/* The form of a file, or FORMS. */
static size_t form_of(const char *name) {
    size_t form = 0;
    while (form < FORMS && fnmatch(forms[form].pattern, name, FNM_PERIOD) != 0)
        form++;
    return form;
}

bool attn_unsupported_find(const char *directory, char *advice, size_t size) {
    size_t best = FORMS;
    attn_printable found;
    DIR *entries = opendir(directory);
    if (entries == NULL)
        return false;
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        const size_t form = form_of(entry->d_name);
        if (form < best) {
            best = form;
            attn_make_printable(&found, entry->d_name);
        }
    }
    closedir(entries);
    if (best == FORMS || forms[best].advice == NULL)
        return false;
    snprintf(advice, size, "found %s: %s", found.text, forms[best].advice);
    return true;
}
