/* The tensors of a model, from one file or from several, against files from the writer in model_files.h. */
#include "core/model/files/tensors.h"

#include "tests/core/model/model_files.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <stdarg.h>

static char *folder;
static st_writer writer;
static char index_text[1 << 16]; /* of the index, in the making */

static void begin(void) {
    folder = new_folder();
}

static void end(void) {
    remove_folder(folder);
}

TestSuite(tensors, .init = begin, .fini = end);

/* Writes one file of the folder. Its numbers begin with number `first` of test_value. */
static void write_shard(const char *name, const char *tensors, size_t first) {
    st_begin(&writer, "\"__metadata__\":{\"attend\":\"x\"}");
    writer.numbers = first;
    st_describe(&writer, tensors);
    st_end(&writer, in_folder(folder, name));
}

/* Writes the index with "NAME":"FILE" pairs. */
static void write_index(const char *pairs) {
    snprintf(index_text, sizeof index_text, "{\"metadata\":{\"total_size\":12},\"weight_map\":{%s}}", pairs);
    write_text(in_folder(folder, "model.safetensors.index.json"), index_text);
}

static attn_tensors *opened(const char *directory) {
    attn_tensors *tensors = NULL;
    attn_error error = {""};
    cr_assert_eq(attn_tensors_open_directory(directory, &tensors, &error), ATTN_OK, "%s", error.text);
    return tensors;
}

/* Opens the folder and expects one line with all of `says`, NULL at the end. */
static void refused(const char *directory, ...) {
    attn_tensors *tensors = NULL;
    attn_error error = {""};
    cr_expect_eq(attn_tensors_open_directory(directory, &tensors, &error), ATTN_BAD_MODEL);
    va_list says;
    va_start(says, directory);
    for (const char *part; (part = va_arg(says, const char *)) != NULL;)
        cr_expect_not_null(strstr(error.text, part), "'%s' lacks '%s'", error.text, part);
    va_end(says);
    for (const char *c = error.text; *c != '\0'; c++)
        cr_expect((unsigned char)*c >= 0x20, "control byte in '%s'", error.text);
}

/* Expects a tensor with these numbers of test_value. */
static void holds(const attn_tensors *tensors, const char *name, size_t first, size_t count) {
    float values[256];
    attn_tensor_place place;
    attn_error error = {""};
    cr_assert(attn_tensors_find(tensors, name, &place), "no tensor %s", name);
    cr_assert_str_eq(place.tensor->name, name);
    cr_assert(place.tensor->count == count && count <= 256);
    cr_assert_eq(attn_safetensors_read(place.file, place.tensor, 0, count, values, &error), ATTN_OK, "%s",
                 error.text);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(values[i], test_value(first + i), "%s, number %zu", name, i);
}

/* ---- what opens ---- */

Test(tensors, one_file) {
    write_shard("model.safetensors", "b[2,3] a[4]:F16", 0);
    write_index("\"a\":\"absent.safetensors\""); /* the file comes first, as in transformers */
    attn_tensor_place place;
    for (int way = 0; way < 2; way++) {
        attn_tensors *tensors = NULL;
        if (way == 0)
            tensors = opened(folder);
        else
            cr_assert_eq(attn_tensors_open_file(in_folder(folder, "model.safetensors"), &tensors, NULL),
                         ATTN_OK);
        cr_expect_eq(attn_tensors_count(tensors), 2);
        holds(tensors, "b", 0, 6);
        holds(tensors, "a", 6, 4);
        cr_expect(!attn_tensors_find(tensors, "c", &place));
        cr_expect_str_eq(attn_tensors_metadata(tensors, "attend"), "x");
        cr_expect_null(attn_tensors_metadata(tensors, "other"));
        cr_expect_str_eq(attn_tensors_path(tensors), in_folder(folder, "model.safetensors"));
        attn_tensors_close(tensors);
    }
    attn_tensors_close(NULL);
}

Test(tensors, a_file_with_nothing_in_it) {
    write_shard("model.safetensors", "", 0);
    attn_tensors *tensors = opened(folder);
    attn_tensor_place place;
    cr_expect_eq(attn_tensors_count(tensors), 0);
    cr_expect(!attn_tensors_find(tensors, "a", &place));
    attn_tensors_close(tensors);
}

/* Many tensors, thrown into shards at random; one in eight is not in the index, and is there all the same. */
Test(tensors, random_shards) {
    enum { TENSORS = 60, SHARDS = 7 };
    uint64_t random = test_seed("tensors") | 1;
    for (int round = 0; round < 20; round++) {
        static char descriptions[SHARDS][4096], pairs[8192];
        size_t where[TENSORS], first[TENSORS], size[TENSORS], filled[SHARDS] = {0};
        memset(descriptions, 0, sizeof descriptions);
        pairs[0] = '\0';
        for (size_t i = 0; i < TENSORS; i++) {
            const size_t s = where[i] = random_bits(&random) % SHARDS;
            size[i] = random_bits(&random) % 50;
            first[i] = 1000 * s + filled[s];
            filled[s] += size[i];
            char *d = descriptions[s] + strlen(descriptions[s]);
            snprintf(d, 64, "layer.%zu[%zu] ", (i * 37) % TENSORS, size[i]);
            char *p = pairs + strlen(pairs);
            if (i < SHARDS || random_bits(&random) % 8 != 0)
                snprintf(p, 96, "%s\"layer.%zu\":\"model-%zu-of-7.safetensors\"", p == pairs ? "" : ",",
                         (i * 37) % TENSORS, s);
        }
        size_t named = 0; /* shards that the index names */
        for (size_t s = 0; s < SHARDS; s++) {
            char name[64];
            snprintf(name, sizeof name, "model-%zu-of-7.safetensors", s);
            write_shard(name, descriptions[s], 1000 * s);
            named += strstr(pairs, name) != NULL;
        }
        write_index(pairs);
        attn_tensors *tensors = opened(folder);
        size_t expected = 0;
        for (size_t i = 0; i < TENSORS; i++) {
            char name[64], file[64];
            snprintf(name, sizeof name, "layer.%zu", (i * 37) % TENSORS);
            snprintf(file, sizeof file, "model-%zu-of-7.safetensors", where[i]);
            if (strstr(pairs, file) == NULL)
                continue;
            holds(tensors, name, first[i], size[i]);
            expected++;
        }
        cr_expect(named > 1 && expected > 10);
        cr_expect_eq(attn_tensors_count(tensors), expected);
        size_t listed = 0; /* each is listed once, and found where it is listed */
        for (size_t i = 0; i < expected; i++) {
            const attn_tensor_place at = attn_tensors_at(tensors, i);
            attn_tensor_place found;
            listed += attn_tensors_find(tensors, at.tensor->name, &found) && found.tensor == at.tensor &&
                      found.file == at.file;
        }
        cr_expect_eq(listed, expected);
        cr_expect_null(attn_tensors_metadata(tensors, "attend"));
        cr_expect_str_eq(attn_tensors_path(tensors), in_folder(folder, "model.safetensors.index.json"));
        attn_tensors_close(tensors);
    }
}

/* ---- links ---- */

/* A link in the folder, to a path that is seen from there. */
static void make_link(const char *name, const char *target) {
    unlink(in_folder(folder, name));
    cr_assert_eq(symlink(target, in_folder(folder, name)), 0);
}

Test(tensors, links_within_the_directory) {
    write_shard("weights.bin", "a[2]", 0);
    make_link("model.safetensors", "weights.bin");
    attn_tensors *tensors = opened(folder);
    holds(tensors, "a", 0, 2);
    attn_tensors_close(tensors);
    mkdir(in_folder(folder, "inner"), 0700);
    rename(in_folder(folder, "weights.bin"), in_folder(folder, "inner/weights.bin"));
    make_link("model.safetensors", "../.././tmp/../tmp/"); /* a directory, and outside */
    refused(folder, "model.safetensors: a symbolic link that leads out of the model's directory", NULL);
    make_link("model.safetensors", "inner/../inner/weights.bin");
    tensors = opened(folder);
    holds(tensors, "a", 0, 2);
    attn_tensors_close(tensors);
}

Test(tensors, links_out_of_the_directory) {
    mkdir(in_folder(folder, "m"), 0700);
    mkdir(in_folder(folder, "m2"), 0700);
    write_shard("m2/secret", "a[2]", 0); /* m2 begins like m */
    make_link("m/model.safetensors", "../m2/secret");
    refused(in_folder(folder, "m"), "m/model.safetensors: a symbolic link that leads out", "m2/secret", NULL);
    make_link("m/model.safetensors", "/etc/passwd");
    refused(in_folder(folder, "m"), "leads out of the model's directory, to /etc/passwd", NULL);
    make_link("m/step", "../m2");
    make_link("m/model.safetensors", "step/secret"); /* out in two steps */
    refused(in_folder(folder, "m"), "m/model.safetensors: a symbolic link that leads out", NULL);
    make_link("m/model.safetensors", "gone\n");
    refused(in_folder(folder, "m"), "a symbolic link to gone\\x0a that cannot be followed: No such file",
            NULL);
    make_link("m/model.safetensors", "model.safetensors");
    refused(in_folder(folder, "m"), "that cannot be followed: Too many levels", NULL);
    unlink(in_folder(folder, "m/model.safetensors"));
    make_link("m/model.safetensors.index.json", "../m2/secret");
    refused(in_folder(folder, "m"), "index.json: a symbolic link that leads out", "m2/secret", NULL);
    unlink(in_folder(folder, "m/model.safetensors.index.json"));
    write_index("\"a\":\"s.safetensors\"");
    rename(in_folder(folder, "model.safetensors.index.json"),
           in_folder(folder, "m/model.safetensors.index.json"));
    make_link("m/s.safetensors", "../m2/secret");
    refused(in_folder(folder, "m"), "m/s.safetensors: a symbolic link that leads out", "m2/secret", NULL);
    make_link("m3", "m2"); /* the directory itself may be a link: its user named it */
    make_link("m2/model.safetensors", "secret");
    attn_tensors_close(opened(in_folder(folder, "m3")));
}

/* What huggingface_hub makes of a download. */
Test(tensors, the_cache_of_hugging_face) {
    static const char *const parts[] = {"models--x--y", "models--x--y/blobs", "models--x--y/snapshots",
                                        "models--x--y/snapshots/1f", "models--x--y/blobs2"};
    for (int i = 0; i < 5; i++)
        mkdir(in_folder(folder, parts[i]), 0700);
    write_shard("models--x--y/blobs/0123", "a[2]", 0);
    write_shard("models--x--y/blobs2/0123", "a[2]", 0);
    write_shard("models--x--y/other", "a[2]", 0);
    const char *file = "models--x--y/snapshots/1f/model.safetensors";
    make_link(file, "../../blobs/0123");
    attn_tensors *tensors = opened(in_folder(folder, "models--x--y/snapshots/1f"));
    holds(tensors, "a", 0, 2);
    attn_tensors_close(tensors);
    make_link("by-name", "models--x--y/snapshots/1f");
    attn_tensors_close(opened(in_folder(folder, "by-name")));
    static const char *const bad[] = {"../../blobs2/0123", "../../other", "../../blobs/../other",
                                      "../../../../../etc/passwd"};
    for (int i = 0; i < 4; i++) {
        make_link(file, bad[i]);
        refused(in_folder(folder, "models--x--y/snapshots/1f"), "a symbolic link that leads out", NULL);
    }
    /* blobs beside a directory of another name are not the cache. */
    rename(in_folder(folder, "models--x--y/snapshots"), in_folder(folder, "models--x--y/snapshotz"));
    make_link("models--x--y/snapshotz/1f/model.safetensors", "../../blobs/0123");
    refused(in_folder(folder, "models--x--y/snapshotz/1f"), "a symbolic link that leads out", NULL);
}

/* ---- the index ---- */

static const struct {
    const char *what, *pairs, *says[3];
} indices[] = {
    {"shard missing", "\"a\":\"one\",\"z\":\"gone\"", {"/gone: cannot be opened: No such file"}},
    {"parent", "\"a\":\"../one\"", {"\"weight_map\": tensor \"a\"", "found \"../one\""}},
    {"absolute", "\"a\":\"/etc/passwd\"", {"\"weight_map\": tensor \"a\"", "found \"/etc/passwd\""}},
    {"deeper", "\"a\":\"one\",\"b\":\"x/two\"", {"tensor \"b\": expected the name of a file in the dir"}},
    {"dots", "\"a\":\"..\"", {"tensor \"a\"", "found \"..\""}},
    {"dot", "\"a\":\".\"", {"tensor \"a\"", "found \".\""}},
    {"empty", "\"a\":\"\"", {"tensor \"a\"", "found \"\""}},
    {"control byte", "\"a\":\"on\\ne\"", {"tensor \"a\"", "found \"on\\x0ae\""}},
    {"a directory", "\"a\":\"inner\"", {"/inner: expected a regular file, found a directory"}},
    {"a number", "\"a\":7", {"tensor \"a\": expected the name of a file, found 7"}},
    {"null", "\"a\":null", {"tensor \"a\": expected the name of a file, found null"}},
    {"a list", "\"a\":[\"one\"]", {"tensor \"a\": expected the name of a file, found an array"}},
    {"not a model file", "\"a\":\"text\"", {"/text: header of"}},
    {"not JSON", "\"a\":\"one\"\"b\"", {"index.json: not valid JSON: byte", "found '\"'"}},
};

Test(tensors, each_bad_index_has_its_sentence) {
    write_shard("one", "a[2] b[2]", 0);
    write_shard("two", "c[2]", 0);
    write_shard("same", "c[2] b[2]", 0);
    write_text(in_folder(folder, "text"), "no model at all");
    mkdir(in_folder(folder, "inner"), 0700);
    write_index("\"a\":\"one\",\"c\":\"two\"");
    attn_tensors_close(opened(folder));
    for (size_t i = 0; i < sizeof indices / sizeof indices[0]; i++) {
        write_index(indices[i].pairs);
        const char *const *says = indices[i].says;
        refused(folder, says[0], says[1] != NULL ? says[1] : "/", NULL);
    }
}

/* As transformers has it: the index names the files, and a tensor is where it is. */
Test(tensors, what_the_index_may_get_wrong) {
    static const char *const pairs[] = {
        "\"a\":\"two\",\"c\":\"one\"",               /* in another shard */
        "\"a\":\"one\",\"c\":\"two\",\"x\":\"one\"", /* nowhere */
        "\"a\":\"one\",\"a\":\"one\",\"b\":\"two\"", /* named twice */
    };
    write_shard("one", "a[2] b[2]", 0);
    write_shard("two", "c[2]", 4);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        write_index(pairs[i]);
        attn_tensors *tensors = opened(folder);
        cr_expect_eq(attn_tensors_count(tensors), 3, "%s", pairs[i]);
        holds(tensors, "a", 0, 2);
        holds(tensors, "c", 4, 2);
        attn_tensors_close(tensors);
    }
}

/* Which of the two is meant nobody knows: that is for him to say who needs it. */
Test(tensors, a_tensor_in_two_shards) {
    write_shard("one", "a[2] b[2]", 0);
    write_shard("same", "c[2] b[2]", 0);
    write_index("\"a\":\"one\",\"c\":\"same\"");
    attn_tensors *tensors = opened(folder);
    attn_tensor_place place;
    cr_assert(attn_tensors_find(tensors, "b", &place) && place.other != NULL);
    cr_expect(place.other != place.file);
    cr_assert(attn_tensors_find(tensors, "a", &place) && place.other == NULL);
    attn_tensors_close(tensors);
}

Test(tensors, each_bad_document_has_its_sentence) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "index.json: byte 0: expected a JSON object, found the end"},
        {"[\"a\"]", "index.json: byte 0: expected a JSON object, found '['"},
        {"{}", "index.json: \"weight_map\" is missing"},
        {"{\"weight_map\":[]}", "index.json: byte 14: expected a JSON object, found '['"},
        {"{\"weight_map\":\"one\"}", "index.json: byte 14: expected a JSON object, found '\"'"},
        {"{\"weight_map\":{},\"weight_map\":{}}", "\"weight_map\" stands there twice"},
        {"{\"metadata\":[[[[[[[[[]]]]]]]]],\"weight_map\":{}}", "\"metadata\": 18 bytes of JSON, nested 9"},
        {"{\"weight_map\":{\"a\":{\"b\":{}}}}", "\"a\": 8 bytes of JSON, nested 2 deep"},
        {"{\"weight_map\":{}", "not valid JSON: byte 16"},
        {"{\"weight_map\":{\"a\":\"one\"}]", "not valid JSON: byte 25"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text(in_folder(folder, "model.safetensors.index.json"), cases[i].text);
        refused(folder, cases[i].says, NULL);
    }
    cr_assert_eq(truncate(in_folder(folder, "model.safetensors.index.json"), (8 << 20) + 1), 0);
    refused(folder, "index.json: a file of 8388609 bytes, at most 8388608 expected", NULL);
    write_index(""); /* no shards: no tensors */
    attn_tensors *tensors = opened(folder);
    cr_expect_eq(attn_tensors_count(tensors), 0);
    attn_tensors_close(tensors);
}

Test(tensors, too_many_shards) {
    static char pairs[1 << 15];
    size_t length = 0;
    for (int i = 0; i < 513; i++)
        length += (size_t)snprintf(pairs + length, sizeof pairs - length, "%s\"%d\":\"s%d\"",
                                   i == 0 ? "" : ",", i, i);
    write_index(pairs);
    refused(folder, "index.json: \"weight_map\": more than 512 files", NULL);
}

/* ---- other forms ---- */

Test(tensors, what_else_a_directory_may_hold) {
    static const struct {
        const char *file, *says;
    } cases[] = {
        {"notes.txt", "expected model.safetensors or model.safetensors.index.json, found neither"},
        {"odd.safetensors", "index.json, found odd.safetensors: if that is the whole model, rename it"},
        {"q4\n.gguf", "found q4\\x0a.gguf: convert it with from_pretrained(DIRECTORY, gguf_file=FILE)"},
        {"pytorch_model-00001-of-00002.bin", "found pytorch_model-00001-of-00002.bin: convert it with"},
        {"model-00001-of-00002.safetensors", "but no index over the shards"},
        {"adapter_model.safetensors", "found adapter_model.safetensors: an adapter, not a model: merge it"},
    };
    /* Each comes before those that are already there. */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text(in_folder(folder, cases[i].file), "");
        refused(folder, folder, cases[i].says, NULL);
    }
    refused(in_folder(folder, "nowhere"), "nowhere: expected model.safetensors or", NULL);
}
