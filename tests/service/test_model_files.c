/* Damaged and hostile models, given to the real binary: each is refused with one line that says what is wrong
 * where, and without taking much memory. */
#include "tests/service/model_runs.h"

static st_writer writer;

TestSuite(model_files, .init = begin, .fini = end, .timeout = 300);

/* ---- what can be wrong with a model; `text` says how ---- */

#define CONFIG "{\"embed_dim\":4,\"num_heads\":2}"
#define LAYER  "in_proj_weight[12,4] in_proj_bias[12] out_proj.weight[4,4] out_proj.bias[4]"

/* A tensor without elements. */
#define NOTHING "{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"

static void write_layer(const char *name, const char *tensors) {
    st_begin(&writer, "");
    st_describe(&writer, tensors);
    st_end(&writer, inside(name));
}

/* A directory with a layer in which nothing is wrong. */
static void good(void) {
    remove_tree(in_folder(folder, "m"));
    mkdir(in_folder(folder, "m"), 0700);
    write_text(inside("config.json"), CONFIG);
    write_layer(MODEL, LAYER);
}

static void config(const char *text) {
    write_text(inside("config.json"), text);
}

static void layer(const char *text) {
    write_layer(MODEL, text);
}

/* This header before 8 bytes of data. */
static void header(const char *text) {
    write_safetensors(inside(MODEL), text, strlen(text), ST_TRUE_LENGTH, "01234567", 8);
}

/* "TYPE NUMBER": the last number of the last tensor is this one. */
static void number(const char *text) {
    char tensors[256], type[8];
    double wide;
    cr_assert_eq(sscanf(text, "%7s %lf", type, &wide), 2);
    const float narrow = (float)wide;
    snprintf(tensors, sizeof tensors, LAYER ":%s", type);
    st_begin(&writer, "");
    st_describe(&writer, tensors);
    const bool is_wide = strcmp(type, "F64") == 0;
    const size_t size = is_wide ? sizeof wide : sizeof narrow;
    memcpy(writer.data + writer.bytes - size, is_wide ? (const void *)&wide : (const void *)&narrow, size);
    st_end(&writer, inside(MODEL));
}

/* "NAME SIZE": the file gets this size; a negative one is counted from its end. */
static void resize(const char *text) {
    char name[64];
    long long size;
    struct stat state;
    cr_assert_eq(sscanf(text, "%63s %lld", name, &size), 2);
    cr_assert_eq(stat(inside(name), &state), 0);
    cr_assert_eq(truncate(inside(name), (off_t)(size < 0 ? state.st_size + size : size)), 0);
}

/* The length of the header is said to be this. */
static void length(const char *text) {
    const uint64_t stated = htole64(strtoull(text, NULL, 0));
    const int file = open(inside(MODEL), O_WRONLY);
    cr_assert_eq(pwrite(file, &stated, sizeof stated, 0), sizeof stated);
    close(file);
}

/* ... and the file is long enough for it. */
static void long_header(const char *text) {
    char size[64];
    snprintf(size, sizeof size, MODEL " %llu", strtoull(text, NULL, 0) + 64);
    length(text);
    resize(size);
}

/* "BEFORE|PIECE|AFTER|SIZE": a header with the piece repeated to SIZE bytes; @ is a running number. */
static char *repeated(const char *text, size_t *total) {
    char before[128] = "", piece[128] = "", after[64] = "";
    size_t size = 0;
    cr_assert_eq(sscanf(text, "%127[^|]|%127[^|]|%63[^|]|%zu", before, piece, after, &size), 4, "%s", text);
    char *bytes = malloc(size + 256);
    size_t n = (size_t)sprintf(bytes, "%s", before);
    for (unsigned count = 0; n + strlen(piece) + strlen(after) + 8 < size; count++)
        for (const char *c = piece; *c != '\0'; c++)
            if (*c == '@')
                n += (size_t)sprintf(bytes + n, "%x", count);
            else
                bytes[n++] = *c;
    *total = n + (size_t)sprintf(bytes + n, "%s", after);
    return bytes;
}

static void full_header(const char *text) {
    size_t size;
    char *bytes = repeated(text, &size);
    write_safetensors(inside(MODEL), bytes, size, ST_TRUE_LENGTH, "", 0);
    free(bytes);
}

static void full_config(const char *text) {
    size_t size;
    char *bytes = repeated(text, &size);
    write_bytes(inside("config.json"), bytes, size);
    free(bytes);
}

/* The file, or what it has become, goes. */
static void gone(const char *name) {
    remove_tree(inside(name));
}

static void folder_instead(const char *name) {
    gone(name);
    cr_assert_eq(mkdir(inside(name), 0700), 0);
}

static void pipe_instead(const char *name) {
    gone(name);
    cr_assert_eq(mkfifo(inside(name), 0600), 0);
}

/* "NAME TARGET": a symbolic link. */
static void link_instead(const char *text) {
    char name[64], target[128];
    cr_assert_eq(sscanf(text, "%63s %127s", name, target), 2);
    gone(name);
    cr_assert_eq(symlink(target, inside(name)), 0);
}

/* Shards, and an index with this weight_map. */
static void shards(const char *map) {
    static char text[4096];
    gone(MODEL);
    write_layer("one", "in_proj_weight[12,4] in_proj_bias[12]");
    write_layer("two", "out_proj.weight[4,4] out_proj.bias[4]");
    write_layer("again", "out_proj.bias[4]");
    write_text(in_folder(folder, "outside"), "secret");
    snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":1},\"weight_map\":%s}", map);
    write_text(inside(INDEX), text);
}

static void index_text(const char *text) {
    shards("{}");
    write_text(inside(INDEX), text);
}

static void long_index(const char *text) {
    shards("{}");
    resize(text);
}

static void full_index(const char *text) {
    size_t size;
    char *bytes = repeated(text, &size);
    shards("{}");
    write_bytes(inside(INDEX), bytes, size);
    free(bytes);
}

/* Shards with so many tensors each: one is within the limits, all of them are not. */
static void crowded_shards(const char *count) {
    char text[128], map[512] = "", name[2] = "a";
    for (; name[0] <= 'x'; name[0]++)
        snprintf(map + strlen(map), 32, "%c\"%s0\":\"%s\"", name[0] == 'a' ? '{' : ',', name, name);
    shards(strcat(map, "}"));
    while (name[0]-- > 'a') {
        snprintf(text, sizeof text, "{|\"%s@\":" NOTHING ",|\"\":" NOTHING "}|%d", name, atoi(count) * 56);
        full_header(text);
        rename(inside(MODEL), inside(name));
    }
}

static void linked_shard(const char *target) {
    shards("{\"in_proj_weight\":\"one\",\"out_proj.weight\":\"three\"}");
    cr_assert_eq(symlink(target, inside("three")), 0);
}

static void cut_shard(const char *text) {
    shards("{\"in_proj_weight\":\"one\",\"out_proj.weight\":\"two\"}");
    resize(text);
}

static void other_form(const char *name) {
    gone(MODEL);
    gone("config.json");
    write_text(inside(name), "");
}

#define T(shape)   "{\"t\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[0,8]}}"
#define O(offsets) "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets "}}"
#define D(dtype)   "{\"t\":{\"dtype\":" dtype ",\"shape\":[2],\"data_offsets\":[0,8]}}"
#define AB(a, b)                                                                                             \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" a                                             \
    "},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" b "}}"
#define BERT "{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":1"
#define M    "m/model.safetensors: "
#define C    "m/config.json: "
#define I    "m/model.safetensors.index.json: "
#define TWO  "\"in_proj_weight\":\"one\",\"in_proj_bias\":\"one\",\"out_proj.bias\":\"two\""

static const struct {
    void (*make)(const char *text);
    const char *text, *says[2];
} hostile[] = {
    /* cut and lengthened */
    {resize, MODEL " 0", {M "a file of 0 bytes"}},
    {resize, MODEL " 5", {M "a file of 5 bytes"}},
    {resize, MODEL " 60", {M "header of"}},
    {resize, MODEL " -325", {M "header of"}},
    {resize, MODEL " -320", {M "tensor \"in_proj_weight\": data_offsets"}},
    {resize, MODEL " -200", {M "tensor \"in_proj_weight\": data_offsets"}},
    {resize, MODEL " -16", {M "tensor \"out_proj.bias\": data_offsets"}},
    {resize, MODEL " -1", {M "tensor \"out_proj.bias\": data_offsets"}},
    {resize, MODEL " 4096", {M, "bytes after the last tensor"}},
    {resize, MODEL " 4294967296", {M, "bytes after the last tensor"}},
    /* the length of the header */
    {length, "0", {M "header of 0 bytes"}},
    {length, "1", {M "header of 1 bytes"}},
    {length, "104857600", {M "header of 104857600 bytes"}},
    {long_header, "104857600", {M "header of 104857600 bytes"}},
    {long_header, "8388608", {M "tensor \"in_proj_weight\": data_offsets"}},
    {length, "9223372036854775808", {M "header of 9223372036854775808 bytes"}},
    {length, "18446744073709551615", {M "header of 18446744073709551615 bytes"}},
    {length, "200", {M "header: not valid JSON"}},
    /* what the header says */
    {header, "", {M "header of 0 bytes"}},
    {header, "\"\"", {M "header: byte 0: expected a JSON object"}},
    {header, "[1,2]", {M "header: byte 0: expected a JSON object"}},
    {header, "{\"t\xc3\":{}}", {M "header: not valid JSON", "0xc3"}},
    {header, "{\"t\\u0000\":{}}", {M "header: not valid JSON", "\\u0000"}},
    {header, "{\"t\":{}}garbage", {M "tensor \"t\": expected an object of exactly"}},
    {header, "{}garbage", {M "header: not valid JSON: byte 2"}},
    {header, "{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", {M "header: not valid JSON", "duplicate"}},
    {header, AB("[0,4]", "[4,8]") "\b", {M "header: not valid JSON", "found '\\x08'"}},
    {header, "{\"a\":" NOTHING ",\"a\":" NOTHING "}", {M "tensor \"a\": stands in the header twice"}},
    {header, "{\"__metadata__\":{\"a\":1}}", {M "__metadata__: \"a\": expected a string"}},
    {header, "{\"__metadata__\":\"a\"}", {M "__metadata__: expected an object of strings"}},
    {header, "{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", {M "header: not valid JSON", "duplicate"}},
    {header, D("\"F31\""), {M "tensor \"t\": dtype"}},
    {header, D("null"), {M "tensor \"t\": dtype"}},
    {header, T("[4611686018427387904,4]"), {M "tensor \"t\": shape", "too large"}},
    {header, T("[-2]"), {M "tensor \"t\": shape"}},
    {header, T("[2.0]"), {M "tensor \"t\": shape"}},
    {header, T("[1e400]"), {M "header: not valid JSON", "real number overflow"}},
    {header, T("[36893488147419103234]"), {M "header: not valid JSON", "too big integer"}},
    {header, T("[1,1,1,1,1,1,1,1,2]"), {M "tensor \"t\": shape: 9 dimensions"}},
    {header, T("[3]"), {M "tensor \"t\": shape [3] of F32 takes 12 bytes"}},
    {header, O("[8,0]"), {M "tensor \"t\": data_offsets [8, 0]"}},
    {header, O("[0,9223372036854775807]"), {M "tensor \"t\": data_offsets"}},
    {header, O("[-8,0]"), {M "tensor \"t\": data_offsets [-8, 0]"}},
    {header, O("[0.0,8.0]"), {M "tensor \"t\": data_offsets"}},
    {header, O("[0]"), {M "tensor \"t\": data_offsets"}},
    {header, AB("[0,4]", "[2,6]"), {M "tensor \"b\": overlaps with tensor \"a\""}},
    {header, AB("[4,8]", "[0,4]") " ", {M "tensor \"a\": unexpected"}},
    {header, AB("[0,4]", "[5,9]"), {M "tensor \"b\": data_offsets"}},
    {header, AB("[1,5]", "[5,9]"), {M "tensor \"b\": data_offsets"}},
    {header, AB("[0,4]", "[0,4]"), {M, "overlaps with tensor"}},
    {header, O("[0,8]") "\n", {M "tensor \"t\": unexpected"}},
    /* headers that would take memory */
    {full_header, "{\"t\":|[|]}|8000000", {M "header: \"t\": 79", "nested 79"}},
    {full_header, "{\"t\":|[{},|]}|8000000", {M "header: \"t\": 79"}},
    {full_header, "{\"t\":|[|]}|10000", {M "header: \"t\": 99", "nested 99"}},
    {full_header, "{\"t\":[|[],|[]]}|8000000", {M "header: \"t\": 79", "nested 2"}},
    {full_header, "{\"__metadata__\":{|\"@\":\"\",|\"\":\"\"}}|8000000", {M "header: \"__metadata__\": 79"}},
    {full_header,
     "{\"__metadata__\":{|\"@\":[],|\"\":\"\"}}|1000000",
     {M "__metadata__", "expected a string"}},
    {full_header, "{|\"@\":" NOTHING ",|\"\":" NOTHING "}|8000000", {M "more than 65536 tensors"}},
    {full_header, "{\"|nnnnnnnn|\":{}}|8000000", {M "tensor \"nnn", "a name of 79"}},
    /* tensors that do not make a layer */
    {layer,
     "in_proj_weight[12,4] in_proj_bias[12] out_proj.weight[4,4]",
     {M "tensor \"out_proj.bias\": missing"}},
    {layer,
     "in_proj_weight[12,5] in_proj_bias[12] out_proj.weight[4,4] out_proj.bias[4]",
     {M "tensor \"in_proj_weight\": expected shape [12, 4], found [12, 5]"}},
    {layer, LAYER " lora[4]", {M "tensor \"lora\": unexpected"}},
    {layer, LAYER ":I32", {M "tensor \"out_proj.bias\": dtype", "found I32"}},
    {number, "F32 nan", {M "tensor \"out_proj.bias\": element [3]", "found nan"}},
    {number, "F32 -inf", {M "tensor \"out_proj.bias\": element [3]", "found -inf"}},
    {number, "F64 1e39", {M "tensor \"out_proj.bias\": element [3]", "found 1e+39"}},
    /* config.json */
    {gone, "config.json", {C "cannot be opened: No such file"}},
    {resize, "config.json 0", {C "not valid JSON"}},
    {resize, "config.json -3", {C "not valid JSON"}},
    {resize, "config.json 1073741824", {C "a file of 1073741824 bytes"}},
    {config, "[]", {C "expected a JSON object, found an array"}},
    {config, CONFIG CONFIG, {C "not valid JSON"}},
    {config, "{\"embed_dim\":\"4\",\"num_heads\":2}", {C "\"embed_dim\": expected"}},
    {config, "{\"embed_dim\":4,\"num_heads\":0}", {C "\"num_heads\": expected"}},
    {config, "{\"embed_dim\":4,\"num_heads\":2,\"nun_heads\":2}", {C "unknown key \"nun_heads\""}},
    {config, "{\"embed_dim\":4,\"num_heads\":2,\"num_heads\":2}", {C "not valid JSON", "duplicate"}},
    {config, "{\"embed_dim\":16777216,\"num_heads\":16777216,\"head_dim\":16777216}", {"m/", "16777216"}},
    {config, "{\"embed_dim\":16777216,\"num_heads\":1}", {M "tensor \"in_proj_weight\": expected shape"}},
    {config, "{\"embed_dim\":99999999999999999999,\"num_heads\":1}", {C "not valid JSON", "too big integer"}},
    {config, "{\"embed_dim\":4,\"num_heads\":2,\"x\xff\":1}", {C "not valid JSON", "0xff"}},
    {config, "{\"model_type\":\"nothing\"}", {C "\"model_type\"", "found \"nothing\""}},
    {config, BERT "}", {M "tensor \"encoder.layer.0.attention.self.query.weight\": missing"}},
    {full_config, "{\"a\":[|{},|0]}|1000000", {C, "opening brackets, at most 65536"}},
    {full_config, "{\"a\":|[|}|60000", {C "not valid JSON", "depth"}},
    {full_config, "{\"a\":[|0,|0]}|1000000", {C "unknown key \"a\""}},
    {full_config, "{\"a\":[|\"\",|0]}|1000000", {C "unknown key \"a\""}},
    {full_config, BERT ",\"b\":[|[0,0,0,0],|0]}|640000", {M "tensor"}},
    /* what is no file, or not of the directory */
    {folder_instead, "config.json", {C "expected a regular file, found a directory"}},
    {folder_instead, MODEL, {M "expected a regular file, found a directory"}},
    {pipe_instead, "config.json", {C "expected a regular file, found a pipe"}},
    {pipe_instead, MODEL, {M "expected a regular file, found a pipe"}},
    {link_instead, "config.json /etc/passwd", {C "a symbolic link that leads out", "/etc/passwd"}},
    {link_instead, MODEL " /dev/zero", {M "a symbolic link that leads out", "/dev/zero"}},
    {link_instead, MODEL " ../x", {M "a symbolic link to ../x that cannot be followed: No such file"}},
    {link_instead, MODEL " " MODEL, {M "a symbolic link to", "cannot be followed"}},
    {link_instead, MODEL " .", {M "a symbolic link that leads out"}},
    {gone, MODEL, {"m: expected " MODEL " or " INDEX ", found neither"}},
    {other_form,
     "pytorch_model.bin",
     {"m: expected config.json and model.safetensors, found pytorch_model.bin"}},
    {other_form, "x.gguf", {"m: expected config.json and model.safetensors, found x.gguf"}},
    {other_form, "adapter_model.safetensors", {"found adapter_model.safetensors: an adapter"}},
    /* the index over shards */
    {index_text, "[]", {I "byte 0: expected a JSON object"}},
    {index_text, "{\"weight_map\":[]}", {I "byte 14: expected a JSON object"}},
    {index_text, "{\"weight_map\":{\"a\":\"one\"", {I "not valid JSON"}},
    {index_text, "{}", {I "\"weight_map\" is missing"}},
    {shards, "{\"a\":1}", {I "\"weight_map\": tensor \"a\": expected the name of a file, found 1"}},
    {shards, "{" TWO ",\"a\":\"three\"}", {"m/three: cannot be opened: No such file"}},
    {shards, "{\"a\":\"/etc/passwd\"}", {I "\"weight_map\": tensor \"a\"", "\"/etc/passwd\""}},
    {shards, "{\"a\":\"../outside\"}", {I "\"weight_map\": tensor \"a\"", "\"../outside\""}},
    {shards, "{\"a\":\".\"}", {I "\"weight_map\": tensor \"a\"", "found \".\""}},
    {shards,
     "{" TWO ",\"out_proj.bias\":\"again\"}",
     {"tensor \"out_proj.bias\": stands in another shard too"}},
    {shards, "{\"in_proj_weight\":\"one\"}", {I "tensor \"out_proj.bias\": missing"}},
    {cut_shard, "two -1", {"m/two: tensor \"out_proj.bias\": data_offsets"}},
    {cut_shard, "two 3", {"m/two: a file of 3 bytes"}},
    {linked_shard, "/etc/passwd", {"m/three: a symbolic link that leads out", "/etc/passwd"}},
    {linked_shard, "../outside", {"m/three: a symbolic link that leads out"}},
    {linked_shard, "nowhere", {"m/three: a symbolic link to nowhere that cannot be followed"}},
    {full_index,
     "{\"weight_map\":{|\"@\":\"@\",|\"\":\"\"}}|8000000",
     {I "\"weight_map\": more than 512 files"}},
    {full_index, "{\"weight_map\":|[{},|}|8000000", {I "byte 14"}},
    {full_index,
     "{\"weight_map\":{|\"@\":\"one\",|\"\":\"one\"}}|8000000",
     {I "tensor \"out_proj.bias\": missing"}},
    {full_index, "{\"metadata\":|[{},|}|8000000", {I "\"metadata\": 79"}},
    {crowded_shards, "50000", {I "more than 65536 tensors in all files"}},
    {long_index, INDEX " 1073741824", {I "a file of 1073741824 bytes, at most 8388608"}},
};
#define HOSTILE (sizeof hostile / sizeof hostile[0])

/* Expects a model to be refused in one line that names what it is about. */
static void refused(size_t i, const outcome *o) {
    const char *what = hostile[i].text;
    cr_expect_eq(o->code, 2, "case %zu, %.60s: exit code %d: %s", i, what, o->code, o->said);
    cr_expect(strncmp(o->said, "attend-server: ", 15) == 0, "case %zu, %.60s: %s", i, what, o->said);
    const char *line_end = strchr(o->said, '\n');
    cr_expect(line_end != NULL && line_end[1] == '\0', "case %zu, %.60s: not one line: %s", i, what, o->said);
    for (int k = 0; k < 2 && hostile[i].says[k] != NULL; k++)
        cr_expect_not_null(strstr(o->said, hostile[i].says[k]), "case %zu, %.60s: '%s' lacks '%s'", i, what,
                           o->said, hostile[i].says[k]);
}

Test(model_files, each_damage_is_refused_in_one_line) {
    const size_t empty = empty_peak();
    size_t worst = 0, worst_case = 0;
    good();
    outcome o = check(in_folder(folder, "m"));
    cr_assert_eq(o.code, 0, "%s", o.said);
    for (size_t i = 0; i < HOSTILE; i++) {
        good();
        hostile[i].make(hostile[i].text);
        o = check(in_folder(folder, "m"));
        refused(i, &o);
        const size_t more = more_than(empty, &o);
        cr_expect(!MEMORY_COUNTS || more <= 96 * MIB, "case %zu, %.60s: %zu MiB", i, hostile[i].text,
                  more / MIB);
        worst_case = more > worst ? i : worst_case;
        worst = more > worst ? more : worst;
    }
    fprintf(stderr, "model_files: %zu damaged or hostile models; case %zu took most memory: %zu MiB\n",
            HOSTILE, worst_case, worst / MIB);
}

Test(model_files, shards_and_links_that_are_served) {
    good();
    shards("{\"out_proj.weight\":\"two\"," TWO "}");
    outcome o = check(in_folder(folder, "m"));
    cr_expect_eq(o.code, 0, "%s", o.said);
    rename(inside("two"), inside("really-two"));
    cr_assert_eq(symlink("really-two", inside("two")), 0);
    o = check(in_folder(folder, "m"));
    cr_expect_eq(o.code, 0, "%s", o.said);
}

/* With one allocation after the other failing, a model is refused in one line, and not half loaded. A
 * sanitizer brings its own allocator, which cannot be replaced. */
Test(model_files, each_failed_allocation_is_an_error, .disabled = !MEMORY_COUNTS) {
    int refusals = 0, failing = 1;
    good();
    shards("{\"out_proj.weight\":\"two\"," TWO "}");
    setenv("LD_PRELOAD", FAIL_ALLOCATION_LIBRARY, 1);
    for (bool reached = true; reached; failing++) {
        char text[16];
        snprintf(text, sizeof text, "%d", failing);
        setenv("FAIL_ALLOCATION", text, 1);
        const outcome o = check(in_folder(folder, "m"));
        const char *count = strstr(o.said, "allocations: ");
        cr_assert_not_null(count, "%s", o.said);
        reached = atoi(count + 13) >= failing;
        if (o.code == 2) {
            cr_assert(strncmp(o.said, "attend-server: ", 15) == 0 && strchr(o.said, '\n') == count - 1 &&
                          strstr(o.said, "memory") != NULL,
                      "allocation %d: %s", failing, o.said);
            refusals++;
        } else { /* the program could do without it */
            cr_assert(o.code == 0 && count == o.said, "allocation %d: exit code %d: %s", failing, o.code,
                      o.said);
        }
    }
    fprintf(stderr, "model_files: %d allocations failed, %d of them stopped the start\n", failing - 2,
            refusals);
    cr_assert(refusals > 10 && refusals >= failing - 5);
}
