#include "server/load.h"

#include "core/model/load.h"
#include "core/self_check.h"
#include "server/log.h"
#include "server/machine.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const options *options;
    const snapshot *before; /* NULL at the start */
    snapshot *next;
    bool checked[ATTN_PRECISIONS]; /* the kernels */
} loading;

/* Holds the kernels against plain loops, for the precisions that the models have. */
static attn_status check_kernels(loading *l, const attn_registry *models, attn_error *error) {
    bool in_use[ATTN_PRECISIONS] = {false}, any = false;
    for (size_t i = 0; i < models->count; i++) {
        const attn_precision precision = models->models[i]->layer.config.precision;
        any |= in_use[precision] = !l->checked[precision];
    }
    if (!any || !l->options->self_check)
        return ATTN_OK;
    ATTN_TRY(attn_self_check(l->options->kernels, in_use, error));
    for (size_t i = 0; i < ATTN_PRECISIONS; i++)
        l->checked[i] |= in_use[i];
    return ATTN_OK;
}

/* What was loaded at the start is what the machine is for; a reload must not bring down what is served. */
static attn_status check_room(const loading *l, const char *spec, attn_error *error) {
    size_t bytes;
    ATTN_TRY(attn_registry_measure(&l->next->models, spec, &bytes, error));
    const size_t left = machine_memory_left();
    return bytes <= left
               ? ATTN_OK
               : attn_fail(error, ATTN_NO_MEMORY,
                           "loading it takes %zu bytes beside what is served, the machine or its cgroup has "
                           "%zu left: %zu too few",
                           bytes, left, bytes - left);
}

/* The models of later SPECs can become stale, and then keep their names. */
static attn_status check_names(const loading *l, size_t index, const attn_registry *models,
                               attn_error *error) {
    for (size_t i = 0; i < l->before->models.count; i++) {
        const char *name = l->before->models.models[i]->name;
        const bool is_later = i >= l->before->sources[index].first + l->before->sources[index].count;
        if (is_later && attn_registry_find(models, name) != NULL)
            return attn_fail(error, ATTN_BAD_MODEL,
                             "model name \"%s\" is taken by a later model: give another with NAME=SPEC",
                             name);
    }
    return ATTN_OK;
}

/* Files that are being replaced would become one model from two. */
static attn_status check_stamp(const char *spec, const char *stamp, attn_error *error) {
    char *now = attn_spec_stamp(spec);
    const bool same = now != NULL && stamp != NULL && strcmp(now, stamp) == 0;
    free(now);
    return same ? ATTN_OK : attn_fail(error, ATTN_BAD_MODEL, "its files changed while they were read");
}

static attn_status load_spec(loading *l, size_t index, attn_registry *models, attn_error *error) {
    const char *spec = l->options->models.words[index];
    if (l->before != NULL)
        ATTN_TRY(check_room(l, spec, error));
    ATTN_TRY(attn_registry_load(models, spec, error));
    if (l->before != NULL) {
        ATTN_TRY(check_stamp(spec, l->next->sources[index].stamp, error));
        ATTN_TRY(check_names(l, index, models, error));
    }
    ATTN_TRY(check_kernels(l, models, error));
    return attn_registry_move(&l->next->models, models, error);
}

static attn_status load_new(loading *l, size_t index, attn_error *error) {
    attn_registry models = {.kernels = l->options->kernels, .precision = l->next->models.precision};
    const attn_status status = load_spec(l, index, &models, error);
    attn_registry_free(&models);
    return status;
}

/* The models of the SPEC before, and what is known of them. */
static attn_status keep(loading *l, size_t index, attn_error *error) {
    const snapshot_source *before = &l->before->sources[index];
    for (size_t i = 0; i < before->count; i++)
        ATTN_TRY(attn_registry_share(&l->next->models, l->before->models.models[before->first + i], error));
    snapshot_source *source = &l->next->sources[index];
    free(source->stamp);
    source->stamp = before->stamp == NULL ? NULL : strdup(before->stamp);
    return ATTN_OK;
}

/* Keeps the models for want of newer ones. */
static attn_status keep_stale(loading *l, size_t index, attn_error *error) {
    log_line(LOG_WARNING, "%s: not reloaded, its models are served as they were: %s",
             l->options->models.words[index], error->text);
    if ((l->next->sources[index].stale = strdup(error->text)) == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "cannot allocate memory");
    return keep(l, index, error);
}

static attn_status load_source(loading *l, size_t index, attn_error *error) {
    const snapshot_source *before = l->before == NULL ? NULL : &l->before->sources[index];
    snapshot_source *source = &l->next->sources[index];
    source->first = l->next->models.count;
    source->stamp = attn_spec_stamp(l->options->models.words[index]);
    attn_status status;
    if (before != NULL && before->stamp != NULL && source->stamp != NULL &&
        strcmp(before->stamp, source->stamp) == 0)
        status = keep(l, index, error);
    else if ((status = load_new(l, index, error)) != ATTN_OK && before != NULL)
        status = keep_stale(l, index, error);
    source->count = l->next->models.count - source->first;
    return status;
}

static attn_status load_models(loading *l, const atomic_bool *given_up, attn_error *error) {
    const options *o = l->options;
    snapshot *next = l->next;
    next->models.kernels = o->kernels;
    next->models.precision = (attn_precision)o->precision;
    for (size_t i = 0; i < o->models.count; i++) {
        if (atomic_load(given_up))
            return attn_fail(error, ATTN_CANCELLED, "the service ends");
        next->source_count = i + 1;
        ATTN_TRY(load_source(l, i, error));
    }
    for (size_t i = 0; i < next->models.warnings.count; i++)
        log_line(LOG_WARNING, "%s", next->models.warnings.lines[i]);
    return ATTN_OK;
}

/* The keys of the file, or those from before for want of newer ones. */
static attn_status load_keys(loading *l, attn_error *error) {
    const char *path = l->options->api_key_file;
    if (path == NULL || (l->next->keys = keys_read(path, error)) != NULL)
        return ATTN_OK;
    if (l->before == NULL)
        return ATTN_BAD_MODEL;
    log_line(LOG_WARNING, "the keys are not reloaded, those from before are good: %s", error->text);
    l->next->keys_are_stale = true;
    l->next->keys = keys_copy(l->before->keys);
    return l->next->keys != NULL ? ATTN_OK : attn_fail(error, ATTN_NO_MEMORY, "cannot allocate memory");
}

snapshot *load_snapshot(const options *o, const snapshot *before, const atomic_bool *given_up,
                        attn_error *error) {
    loading l = {.options = o, .before = before, .next = snapshot_new(o->models.count)};
    if (l.next == NULL) {
        attn_fail(error, ATTN_NO_MEMORY, "cannot allocate memory");
        return NULL;
    }
    if (load_keys(&l, error) == ATTN_OK && load_models(&l, given_up, error) == ATTN_OK)
        return l.next;
    snapshot_release(l.next);
    return NULL;
}
