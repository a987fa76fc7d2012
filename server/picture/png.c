/* png.c: attention weights as a picture (PNG, ISO/IEC 15948). */
#include "core/size.h"
#include "server/picture/heatmap.h"
#include "server/picture/picture.h"

#include <spng.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* No filter, as the specification advises for a palette ("Filter selection"): on 12 maps of 512 x 512 weights
 * that makes 738 KB, libspng's own choice of filters 785 KB and more time. Level 6 would save 3 %. */
#define COMPRESSION 4

/* libspng hands its memory functions no context: this is the arena of the picture that the thread is
 * encoding, so that its memory, zlib's included, is charged like any other. */
static _Thread_local attn_arena *encoder_arena;

static void *take(size_t bytes) {
    return attn_arena_alloc(encoder_arena, bytes);
}

static void *take_zeroed(size_t count, size_t size) {
    size_t bytes;
    void *block = attn_multiply(count, size, &bytes) ? take(bytes) : NULL;
    return block == NULL ? NULL : memset(block, 0, bytes);
}

static void *resize(void *block, size_t bytes) {
    return attn_arena_resize(encoder_arena, block, bytes);
}

static void release(void *block) {
    attn_arena_release(encoder_arena, block);
}

static int append(spng_ctx *ctx, void *user, void *bytes, size_t count) {
    (void)ctx;
    return wire_buffer_append(user, bytes, count) ? 0 : SPNG_IO_ERROR;
}

/* The title has to live until all is encoded. */
static bool set_header(spng_ctx *ctx, const canvas *c, char *title) {
    struct spng_ihdr header = {.width = (uint32_t)c->width,
                               .height = (uint32_t)c->height,
                               .bit_depth = 8,
                               .color_type = SPNG_COLOR_TYPE_INDEXED};
    struct spng_plte palette = {.n_entries = HEATMAP_COLOURS};
    struct spng_text text = {.keyword = "Title", .type = SPNG_TEXT, .length = strlen(title), .text = title};
    uint8_t rgb[HEATMAP_COLOURS][3];
    heatmap_palette(rgb);
    for (size_t n = 0; n < HEATMAP_COLOURS; n++)
        palette.entries[n] =
            (struct spng_plte_entry){.red = rgb[n][0], .green = rgb[n][1], .blue = rgb[n][2]};
    return spng_set_ihdr(ctx, &header) == 0 && spng_set_plte(ctx, &palette) == 0 &&
           spng_set_srgb(ctx, 0) == 0 && spng_set_text(ctx, &text, 1) == 0;
}

static bool encode(spng_ctx *ctx, const canvas *c, char *title, wire_buffer *out) {
    if (!set_header(ctx, c, title) || spng_set_png_stream(ctx, append, out) != 0 ||
        spng_set_option(ctx, SPNG_IMG_COMPRESSION_LEVEL, COMPRESSION) != 0 ||
        spng_set_option(ctx, SPNG_FILTER_CHOICE, SPNG_DISABLE_FILTERING) != 0 ||
        spng_encode_image(ctx, NULL, 0, SPNG_FMT_PNG, SPNG_ENCODE_PROGRESSIVE | SPNG_ENCODE_FINALIZE) != 0)
        return false;
    int status = 0;
    for (size_t row = 0; row < c->height && status == 0; row++) {
        if (out->control != NULL && out->control->should_stop(out->control->context))
            return false;
        status = spng_encode_row(ctx, c->pixels + row * c->width, c->width);
    }
    return status == SPNG_EOI;
}

bool png_write_picture(const picture_options *options, const attend_call *call, wire_buffer *out) {
    struct spng_alloc memory = {take, resize, take_zeroed, release};
    char title[160];
    canvas c;
    snprintf(title, sizeof title, "Attention weights of %s", call->model->name);
    if (!heatmap_draw(options, call, out->control, out->arena, &c))
        return false;
    attn_arena *const before = encoder_arena; /* of a picture whose encoder has given way to this one */
    encoder_arena = out->arena;
    spng_ctx *ctx = spng_ctx_new2(&memory, SPNG_CTX_ENCODER);
    const bool written = ctx != NULL && encode(ctx, &c, title, out);
    spng_ctx_free(ctx);
    encoder_arena = before;
    attn_arena_release(out->arena, c.pixels);
    return written;
}
