/* forward.c: the forward pass, several of them at once: the order of its stages. The letters and the shapes
 * are those of core/attention.h. */
#include "core/attention/block.h"
#include "core/attention/stages.h"

#include <string.h>

static bool wants_weights(const attn_pass *pass) {
    const attn_output *out = pass->output;
    return out->weights.values != NULL || out->scores.values != NULL || attn_wants_stats(out);
}

/* ---- One pass among others ---- */

/* The heads that the caller gives, [B, H, L, D], become [B, L, H, D]. */
static void copy_given_heads(attn_pass *pass) {
    const attn_input *in = pass->input;
    const size_t H = pass->layer->config.num_heads, D = pass->layer->config.head_dim;
    attn_watch watch = {.control = pass->control};
    for (size_t b = 0; b < in->B && in->L > 0; b++)
        for (size_t h = 0; h < H; h++)
            for (size_t i = 0; i < in->L; i++) {
                memcpy(pass->heads + ((b * in->L + i) * H + h) * D,
                       in->head_output + ((b * H + h) * in->L + i) * D, D * sizeof(float));
                if (attn_pass_stops(pass, &watch, ATTN_ROW_STEPS + D))
                    return;
            }
}

/* The maximum and the sum of each row. */
static bool allocate_rows(attn_pass *pass, size_t queries) {
    size_t rows;
    return attn_multiply(queries, pass->layer->config.num_heads, &rows) &&
           (pass->max = attn_arena_array(pass->work, rows, sizeof *pass->max)) != NULL &&
           (pass->sum = attn_arena_array(pass->work, rows, sizeof *pass->sum)) != NULL;
}

static bool allocate(attn_pass *pass) {
    const attn_config *config = &pass->layer->config;
    const bool given = pass->input->head_output != NULL;
    const bool keeps_q = !given && (pass->output->q != NULL || wants_weights(pass));
    size_t queries;
    if (!attn_multiply(pass->input->B, pass->input->L, &queries) ||
        (!given && !attn_project_allocate(pass)) ||
        (!given && wants_weights(pass) && !allocate_rows(pass, queries)))
        return false;
    pass->heads =
        given || keeps_q ? attn_pass_array(pass, queries, config->num_heads * config->head_dim) : pass->q;
    return pass->heads != NULL;
}

static void start(attn_pass *pass, const attn_layer *layer, const attn_job *job) {
    *pass = (attn_pass){
        .layer = layer,
        .kernels = layer->kernels,
        .input = job->input,
        .output = job->output,
        .control = job->control,
        .work = job->work,
        .mark = attn_arena_mark(job->work),
        .value_width = attn_round_up(layer->config.head_dim, layer->kernels->lanes),
        .extra = attn_keys_with_extra(&layer->config, job->input->S, job->input->omit_extra) - job->input->S,
        .blocks = attn_divide_up(job->input->S, TILE_KEYS),
        .failing = PTHREAD_MUTEX_INITIALIZER,
        .failed_at = SIZE_MAX,
        .status = ATTN_OK,
    };
    if (!allocate(pass))
        attn_pass_no_memory(pass);
    else if (job->input->head_output != NULL)
        copy_given_heads(pass);
}

static void end(attn_pass *pass, attn_job *job) {
    attn_arena_rewind(pass->work, pass->mark);
    pthread_mutex_destroy(&pass->failing);
    job->status = pass->status;
    if (pass->status != ATTN_OK)
        job->error = pass->error;
}

/* ---- All passes ---- */

static bool allocate_passes(attn_batch *batch, attn_arena *work) {
    if ((batch->passes = attn_arena_array(work, batch->count, sizeof *batch->passes)) == NULL ||
        (batch->parts = attn_arena_array(work, batch->count, ATTN_LINEARS * sizeof *batch->parts)) == NULL)
        return false;
    memset(batch->passes, 0, batch->count * sizeof *batch->passes);
    return true;
}

/* What each slot needs for the largest of the stages. */
static bool allocate_scratch(attn_batch *batch, attn_arena *work) {
    const size_t project = attn_project_scratch(batch), attend = attn_attend_scratch(batch->layer);
    const size_t most = project > attend ? project : attend;
    size_t bytes;
    if (most > SIZE_MAX - ATTN_ALIGNMENT ||
        !attn_multiply(attn_round_up(most, ATTN_ALIGNMENT), attn_parallel_slots(batch->parallel), &bytes))
        return false;
    batch->slot_bytes = attn_round_up(most, ATTN_ALIGNMENT);
    return (batch->scratch = attn_arena_alloc(work, bytes)) != NULL;
}

/* Are there stages left between the projections? */
static bool attends(const attn_pass *pass) {
    return !attn_pass_failed(pass) && pass->input->head_output == NULL;
}

/* The order of the stages. It is a round of a loop, so that all of it treats small numbers alike
 * (parallel.h). */
static void run_stages(void *context, size_t round, size_t slot) {
    attn_batch *batch = context;
    (void)round, (void)slot;
    for (size_t n = 0; n < batch->count; n++)
        start(&batch->passes[n], batch->layer, &batch->jobs[n]);
    attn_project_inputs(batch);
    for (size_t n = 0; n < batch->count; n++)
        if (attends(&batch->passes[n]) && attn_bias_prepare(&batch->passes[n]) == ATTN_OK)
            attn_visible_prepare(batch, &batch->passes[n]);
    attn_attend(batch);
    for (size_t n = 0; n < batch->count; n++) {
        if (attends(&batch->passes[n]) && wants_weights(&batch->passes[n]))
            attn_recompute(batch, &batch->passes[n]);
        if (attends(&batch->passes[n]))
            attn_export(&batch->passes[n]);
    }
    attn_project_output(batch);
    for (size_t n = 0; n < batch->count; n++)
        end(&batch->passes[n], &batch->jobs[n]);
}

void attn_forward_batch(const attn_layer *layer, attn_job *jobs, size_t count,
                        const attn_parallel *parallel) {
    attn_batch batch = {.layer = layer, .parallel = parallel, .jobs = jobs, .count = count};
    if (count == 0)
        return;
    const size_t mark = attn_arena_mark(jobs[0].work);
    const bool has_room = allocate_passes(&batch, jobs[0].work) && allocate_scratch(&batch, jobs[0].work);
    if (has_room)
        attn_parallel_run(NULL, 1, run_stages, &batch);
    attn_arena_rewind(jobs[0].work, mark);
    if (has_room)
        return;
    /* Memory is short. What passes share must not make all of them fail, so each tries alone. */
    for (size_t n = 0; n < count && (count > 1 || attn_parallel_slots(parallel) > 1); n++)
        attn_forward_batch(layer, &jobs[n], 1, NULL);
    if (count == 1 && attn_parallel_slots(parallel) == 1)
        jobs[0].status = attn_fail(&jobs[0].error, attn_arena_failure(jobs[0].work),
                                   "no working memory for the attention pass");
}

attn_status attn_forward(const attn_layer *layer, const attn_input *input, const attn_output *output,
                         attn_arena *work, const attn_control *control, attn_error *error) {
    attn_job job = {.input = input, .output = output, .work = work, .control = control};
    attn_forward_batch(layer, &job, 1, NULL);
    if (job.status != ATTN_OK && error != NULL)
        *error = job.error;
    return job.status;
}
