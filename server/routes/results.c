/* results.c: what is kept, under /results/{id}: as JSON, as a picture, and its end. The page is in
 * explorer.c. */
#include "server/attend/kept_results.h"

#include "server/picture/picture.h"
#include "server/routes/compute.h"
#include "server/routes/handlers.h"
#include "server/wire/json/json.h"

#include <string.h>

static bool write_json(computation *c, const store_item *item) {
    c->x->media_type = NULL;
    return json_write_kept(item->value, item->created, item->seconds_left, &c->x->answer);
}

static bool write_picture(computation *c, const store_item *item) {
    http_exchange *x = c->x;
    const kept_result *kept = item->value;
    picture_options *picture = c->query;
    attend_call shown;
    problem p;
    if (picture_map_show(picture, &kept->request, &kept->call, &c->control, x->arena, &shown, &p) !=
        PROBLEM_NONE) {
        compute_fail(c, &p);
        return false;
    }
    c->request.picture = picture;
    x->media_type = FORMAT_PNG;
    return png_write_picture(picture, &shown, &x->answer);
}

/* The name is copied: the log is written when what was taken may be gone. */
static void log_model(http_exchange *x, const char *name) {
    const size_t size = strlen(name) + 1;
    char *copy = attn_arena_alloc(x->small, size);
    if (copy != NULL)
        x->logged = (http_header){"model", memcpy(copy, name, size)};
}

/* What is taken from the store is given back when its answer has been written; nothing of that leads into it.
 * There is nothing to compute, so all is done while it is prepared. */
static bool answer_kept(http_exchange *x, bool (*write)(computation *c, const store_item *item)) {
    computation *c = compute_new(x);
    if (c == NULL)
        return false;
    const store_item item = store_take(x->service->results, x->argument);
    if (item.value == NULL) {
        answer_no_result(x);
        return false;
    }
    log_model(x, ((const kept_result *)item.value)->model.name);
    x->answer = (wire_buffer){.arena = x->arena, .control = &c->control};
    const bool written = write(c, &item);
    store_give_back(x->service->results, &item);
    if (x->status == 0)
        compute_close(c, written);
    compute_release(x);
    return false;
}

static bool prepare_json(http_exchange *x, sched_job *job) {
    (void)job;
    return answer_kept(x, write_json);
}

static bool prepare_picture(http_exchange *x, sched_job *job) {
    (void)job;
    return answer_kept(x, write_picture);
}

const http_work result_json_work = {.prepare = prepare_json};
const http_work result_picture_work = {.prepare = prepare_picture};

void handle_result_delete(http_exchange *x) {
    if (store_delete(x->service->results, x->argument))
        x->status = 204;
    else
        answer_no_result(x);
}
