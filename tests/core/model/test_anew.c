/* What a reload wants to know of a SPEC before it loads: whether its files have changed, and what it takes.
 */
#include "tests/core/model/specs.h"

#include <fcntl.h>
#include <utime.h>

TestSuite(stamp, .init = begin, .fini = end);

static char *stamp(const char *format) {
    char spec[2048];
    snprintf(spec, sizeof spec, format, folder);
    return attn_spec_stamp(spec);
}

/* Is the stamp another one than `before` (which is freed)? *now becomes it. */
static bool differs(const char *format, char **now) {
    char *before = *now;
    *now = stamp(format);
    const bool result = before == NULL || *now == NULL || strcmp(before, *now) != 0;
    free(before);
    return result;
}

Test(stamp, is_the_same_until_a_file_changes) {
    static const char spec[] = "m=%s/m";
    write_model("m", HEADS "}", LAYER);
    char *now = stamp(spec);
    cr_assert_not_null(now);
    cr_expect(!differs(spec, &now));
    write_model("m", HEADS "}", LAYER); /* the same bytes, written once more */
    cr_expect(differs(spec, &now));
    const int file = open(in_folder(folder, "m/model.safetensors"), O_WRONLY); /* in place, same size */
    cr_assert_eq(pwrite(file, "\1", 1, 500), 1);
    close(file);
    cr_expect(differs(spec, &now));
    cr_assert_eq(utime(in_folder(folder, "m/config.json"), &(struct utimbuf){1, 1}), 0);
    cr_expect(differs(spec, &now));
    write_text(in_folder(folder, "m/other"), "more");
    cr_expect(differs(spec, &now));
    cr_assert_eq(unlink(in_folder(folder, "m/other")), 0);
    cr_expect(differs(spec, &now));
    mkdir(in_folder(folder, "m/deeper"), 0700);
    cr_expect(!differs(spec, &now));
    free(now);
}

/* A file that is written twice within one tick of the clock has the same times after both. */
Test(stamp, sees_the_second_of_two_quick_changes) {
    mkdir(in_folder(folder, "m"), 0700);
    for (int i = 0; i < 20; i++) {
        write_text(in_folder(folder, "m/config.json"), "one");
        char *now = stamp("%s/m");
        write_text(in_folder(folder, "m/config.json"), "two");
        cr_assert(differs("%s/m", &now));
        free(now);
    }
}

Test(stamp, goes_by_where_links_lead) {
    write_model("one", HEADS "}", LAYER);
    write_model("two", HEADS "}", LAYER);
    cr_assert_eq(symlink("one", in_folder(folder, "link")), 0);
    char *now = stamp("%s/link"), *one = stamp("%s/one");
    cr_expect_str_eq(now, one);
    cr_assert_eq(unlink(in_folder(folder, "link")), 0);
    cr_assert_eq(symlink("two", in_folder(folder, "link")), 0);
    cr_expect(differs("%s/link", &now));
    cr_expect(!differs("a=%s/link#3", &now), "a part has its directory's files");
    free(now);
    free(one);
}

Test(stamp, of_all_kinds_of_specs) {
    static const char *const fixed[] = {"init:embed_dim=4,num_heads=2", "builtin:demo"};
    for (size_t i = 0; i < 2; i++) {
        char *now = stamp(fixed[i]);
        cr_assert_not_null(now);
        cr_expect(!differs(fixed[i], &now));
        free(now);
    }
    static const char file[] = "f=%s/a.safetensors";
    write_text(in_folder(folder, "a.safetensors"), "anything");
    char *now = stamp(file);
    write_text(in_folder(folder, "b"), "beside it");
    cr_expect(!differs(file, &now));
    write_text(in_folder(folder, "a.safetensors"), "something");
    cr_expect(differs(file, &now));
    cr_assert_eq(unlink(in_folder(folder, "a.safetensors")), 0);
    cr_expect(differs(file, &now));
    cr_expect_null(now, "it leads nowhere");
}

TestSuite(measure, .init = begin, .fini = end);

/* What is loaded takes what was foretold, and the projections of its largest layer while it is loaded. */
static void measured(const char *format, size_t while_loading) {
    char spec[2048];
    attn_error error = {""};
    size_t bytes, sum = 0;
    const size_t before = registry.count;
    snprintf(spec, sizeof spec, format, folder);
    cr_assert_eq(attn_registry_measure(&registry, spec, &bytes, &error), ATTN_OK, "%s", error.text);
    cr_assert_eq(registry.count, before);
    loaded(format);
    for (size_t i = before; i < registry.count; i++)
        sum += registry.models[i]->bytes;
    cr_expect_eq(bytes, sum + while_loading, "%s: %zu, expected %zu + %zu", spec, bytes, sum, while_loading);
}

Test(measure, is_what_the_weights_take) {
    enum { FLOAT = sizeof(float), LAYERS = 4 * 16 * FLOAT };
    write_model("m", HEADS "}", LAYER);
    write_model("narrow", HEADS ",\"precision\":\"int8\",\"scale\":[1,2]}", LAYER);
    write_model("two", HEADS "}",
                "a.in_proj_weight[12,4] a.in_proj_bias[12] a.out_proj.weight[4,4] a.out_proj.bias[4] "
                "b.in_proj_weight[12,4] b.in_proj_bias[12] b.out_proj.weight[4,4] b.out_proj.bias[4]");
    measured("%s/m", LAYERS);
    measured("%s/narrow", 2 * LAYERS);
    measured("%s/two#b", LAYERS);
    measured("i=init:embed_dim=64,num_heads=2,num_kv_heads=1", (2 * 64 * 64 + 2 * 32 * 64) * FLOAT);
    measured("builtin:patterns", 4 * 256 * 256 * FLOAT);
    registry.precision = ATTN_BFLOAT16;
    measured("again=%s/m", 2 * LAYERS);
}

Test(measure, reads_no_more_than_the_headers) {
    char path[1024];
    write_model("m", HEADS "}", LAYER);
    snprintf(path, sizeof path, "%s/m/model.safetensors", folder);
    FILE *file = fopen(path, "r+b");
    const float no_number = NAN;
    fseek(file, -4, SEEK_END);
    fwrite(&no_number, 1, sizeof no_number, file);
    fclose(file);
    char spec[1100];
    size_t bytes;
    attn_error error;
    snprintf(spec, sizeof spec, "%s/m", folder);
    cr_expect_eq(attn_registry_measure(&registry, spec, &bytes, &error), ATTN_OK);
    REFUSED("%s/m", "out_proj.bias");
}

Test(measure, fails_as_loading_does) {
    char spec[1100];
    size_t bytes;
    attn_error planned = {""}, error = {""};
    write_model("m", HEADS ",\"nonsense\":1}", LAYER);
    snprintf(spec, sizeof spec, "%s/m", folder);
    cr_expect_eq(attn_registry_measure(&registry, spec, &bytes, &planned), ATTN_BAD_MODEL);
    cr_expect_eq(attn_registry_load(&registry, spec, &error), ATTN_BAD_MODEL);
    cr_expect_str_eq(planned.text, error.text);
}
