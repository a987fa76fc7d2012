/* The reader of safetensors files, with damaged and hostile ones. */
#include "tests/core/model/files/safetensors_files.h"
#include "tests/random.h"

#include <fcntl.h>

TestSuite(bad, .init = begin, .fini = end);

#define NOT_CUT  SIZE_MAX
#define T(shape) "{\"t\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[0,8]}}"
#define O(range) "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" range "}}"
#define AB(a, b)                                                                                             \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" a                                             \
    "},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" b "}}"

/* Opens a path and expects a sentence with `says`, and with `more`. */
static void refused_with(const char *what, const char *path, const char *says, const char *more) {
    attn_safetensors *file = NULL;
    attn_error error = {""};
    cr_expect_eq(attn_safetensors_open(path, &file, &error), ATTN_BAD_MODEL, "%s", what);
    cr_expect_not_null(strstr(error.text, says), "%s: '%s' lacks '%s'", what, error.text, says);
    cr_expect_not_null(strstr(error.text, more), "%s: '%s' lacks '%s'", what, error.text, more);
}

static void refused(const char *path, const char *says) {
    refused_with(path, path, says, "");
}

/* Writes a file with zeros as data, cuts it to so many bytes, and expects its name in the sentence too. */
static void damage(const char *what, const char *header, uint64_t stated, size_t data, size_t cut,
                   const char *says, const char *more) {
    const char *path = in_folder(folder, "damaged.safetensors");
    static const uint8_t zeros[16];
    write_safetensors(path, header, strlen(header), stated, zeros, data);
    cr_assert(cut == NOT_CUT || truncate(path, (off_t)cut) == 0);
    refused_with(what, path, says, more);
    refused(path, "damaged.safetensors: ");
}

Test(bad, cut) {
    static const struct {
        const char *what;
        size_t bytes;
        const char *says, *more;
    } files[] = {
        {"empty file", 0, "a file of 0 bytes", "at least 10"},
        {"cut in the length", 7, "a file of 7 bytes", "at least 10"},
        {"cut in the header", 30, "header of", "2 to 22 expected"},
        {"cut in the data", 8 + 54 + 5, "tensor \"t\"", "<= 5"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        damage(files[i].what, O("[0,8]"), ST_TRUE_LENGTH, 8, files[i].bytes, files[i].says, files[i].more);
}

Test(bad, length_of_the_header) {
    static const struct {
        const char *what, *header;
        uint64_t stated;
        const char *says, *more;
    } files[] = {
        {"length 0", O("[0,8]"), 0, "header of 0 bytes", "2 to 62"},
        {"length 1", O("[0,8]"), 1, "header of 1 bytes", "2 to 62"},
        {"length 2^63", O("[0,8]"), 1ULL << 63, "header of 9223372036854775808 bytes", "2 to 62"},
        {"length 2^64-1", O("[0,8]"), UINT64_MAX, "header of 18446744073709551615 bytes", "62"},
        {"length - 8", O("[0,8]"), UINT64_MAX - 7, "header of 18446744073709551608 bytes", "62"},
        {"length too short", O("[0,8]"), 53, "header: not valid JSON: byte 53", "found the end"},
        {"length too long", "{}", 4, "header: not valid JSON: byte 2", "found a zero byte"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        damage(files[i].what, files[i].header, files[i].stated, 8, NOT_CUT, files[i].says, files[i].more);
}

static const struct {
    const char *what, *header;
    size_t data; /* bytes */
    const char *says, *more;
} headers[] = {
    {"not JSON", "{\"t\":}", 0, "header: not valid JSON: byte 5", "unexpected token"},
    {"white space only", "    ", 0, "header: byte 4: expected a JSON object", "found the end"},
    {"an array", "[]", 0, "header: byte 0: expected a JSON object", "found '['"},
    {"a number", "12", 0, "header: byte 0: expected a JSON object", "found '1'"},
    {"two documents", "{}{}", 0, "header: not valid JSON: byte 2",
     "expected nothing after the object, found '{'"},
    {"not UTF-8", "{\"t\xff\":1}", 0, "header: not valid JSON", "byte 0xff"},
    {"NUL in a name", "{\"t\\u0000\":1}", 0, "header: not valid JSON", "\\u0000"},
    {"tensor twice",
     "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"\\u0074\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, "tensor \"t\": stands in the header twice", "damaged"},
    {"metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0,
     "__metadata__ stands in the header twice", ""},
    {"key twice", "{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     "header: not valid JSON", "duplicate"},
    {"metadata no object", "{\"__metadata__\":[]}", 0, "__metadata__", "found an array"},
    {"metadata number", "{\"__metadata__\":{\"k\":7}}", 0, "__metadata__: \"k\"", "found 7"},
    {"tensor no object", "{\"t\":8}", 0, "tensor \"t\"", "object of exactly dtype, shape"},
    {"no dtype", "{\"t\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor \"t\"", "exactly"},
    {"a key too many", "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8,
     "tensor \"t\"", "exactly"},
    {"unknown dtype", "{\"t\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     "tensor \"t\": dtype", "found \"F33\""},
    {"dtype a number", "{\"t\":{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     "tensor \"t\": dtype", "found 32"},
    {"shape no array", T("2"), 8, "tensor \"t\": shape", "found 2"},
    {"negative dimension", T("[1,-2]"), 8, "tensor \"t\": shape", "dimension 1, found -2"},
    {"dimension 2.0", T("[2.0]"), 8, "tensor \"t\": shape", "dimension 0, found 2"},
    {"dimension 2^64", T("[18446744073709551616]"), 8, "header: not valid JSON", "integer"},
    {"product overflows to 2", T("[4611686018427387905,4,1,2]"), 8, "tensor \"t\"", "too large"},
    {"product overflows, and what is before it fits",
     "{\"t\":{\"dtype\":\"F32\",\"shape\":[3,6148914691236517206],\"data_offsets\":[0,12]}}", 12,
     "tensor \"t\"", "too large"},
    {"bytes overflow to 8", T("[4611686018427387906]"), 8, "tensor \"t\"", "too large"},
    {"overflow behind a zero", T("[0,4611686018427387904,4]"), 8, "tensor \"t\"", "too large"},
    {"rank 9", T("[1,1,1,1,1,1,1,1,2]"), 8, "tensor \"t\": shape: 9 dimensions", "at most 8"},
    {"size too small", T("[3]"), 8, "tensor \"t\"", "takes 12 bytes, data_offsets give it 8"},
    {"size of nothing", T("[0]"), 8, "tensor \"t\"", "takes 0 bytes"},
    {"half a byte", "{\"t\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "tensor \"t\"",
     "whole bytes"},
    {"offsets reversed", O("[8,0]"), 8, "tensor \"t\": data_offsets [8, 0]", "begin <= end"},
    {"offsets beyond the end", O("[0,9]"), 8, "tensor \"t\": data_offsets [0, 9]", "<= 8"},
    {"offsets negative", O("[-8,0]"), 8, "tensor \"t\": data_offsets [-8, 0]", "<= 8"},
    {"offsets three", O("[0,8,8]"), 8, "tensor \"t\": data_offsets", "[begin, end]"},
    {"offsets one", O("[8]"), 8, "tensor \"t\": data_offsets", "[begin, end]"},
    {"offsets not whole", O("[0,8.0]"), 8, "tensor \"t\": data_offsets", "[begin, end]"},
    {"offsets an object", O("{}"), 8, "tensor \"t\": data_offsets", "[begin, end]"},
    {"overlap", AB("[0,4]", "[3,7]"), 7, "tensor \"b\": overlaps with tensor \"a\"", "expected 4"},
    {"the same place", AB("[0,4]", "[0,4]"), 4, "overlaps with tensor", "expected 4"},
    {"hole", AB("[0,4]", "[5,9]"), 9, "tensor \"b\": a hole", "byte 5 of the data, expected 4"},
    {"hole at the start", AB("[5,9]", "[1,5]"), 9, "tensor \"b\": a hole", "byte 1"},
    {"bytes after the last", AB("[4,8]", "[0,4]"), 11, "3 bytes after the last tensor", "end"},
    {"bytes without a tensor", "{}", 5, "5 bytes after the last tensor", "end there"},
    {"control bytes in a name", "{\"t\\n\\u001b[2J\\u202e\":3}", 0,
     "tensor \"t\\x0a\\x1b[2J\\xe2\\x80\\xae\"", "exactly"},
};

Test(bad, each_header_has_its_sentence) {
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        damage(headers[i].what, headers[i].header, ST_TRUE_LENGTH, headers[i].data, NOT_CUT, headers[i].says,
               headers[i].more);
}

Test(bad, no_regular_file, .timeout = 20) {
    const char *pipe_path = in_folder(folder, "pipe");
    cr_assert_eq(mkfifo(pipe_path, 0600), 0);
    refused(pipe_path, "expected a regular file, found a pipe"); /* and does not wait for a writer */
    refused(folder, "expected a regular file, found a directory");
    refused("/dev/null", "expected a regular file, found a device");
    refused(in_folder(folder, "missing"), "missing: cannot be opened: No such file");
}

Test(bad, long_and_wild_path) {
    char name[201];
    memset(name, 'n', 200);
    name[200] = '\0';
    name[1] = '\n';
    attn_safetensors *file;
    attn_error error = {""};
    cr_expect_eq(attn_safetensors_open(in_folder(folder, name), &file, &error), ATTN_BAD_MODEL);
    cr_expect_lt(strlen(error.text), 200);
    cr_expect_not_null(strstr(error.text, "\\x0a"));
    cr_expect_not_null(strstr(error.text, "nnn...nnn"));
    cr_expect_null(strchr(error.text, '\n'));
}

Test(bad, header_beyond_our_limit) {
    const char *path = in_folder(folder, "large.safetensors");
    write_safetensors(path, "{}", 2, ((uint64_t)8 << 20) + 1, "", 0);
    cr_assert_eq(truncate(path, 9 << 20), 0);
    refused(path, "header of 8388609 bytes, 2 to 8388608 expected");
}

Test(bad, too_many_tensors) {
    const size_t tensors = ATTN_TENSORS_MAX + 1, each = 64;
    char *header = malloc(tensors * each);
    size_t length = 0;
    for (size_t i = 0; i < tensors; i++)
        length += (size_t)snprintf(header + length, each,
                                   "%s\"%zu\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                                   i == 0 ? "{" : ",", i);
    header[length++] = '}';
    const char *path = in_folder(folder, "many.safetensors");
    write_safetensors(path, header, length, ST_TRUE_LENGTH, "", 0);
    refused(path, "more than 65536 tensors");
    free(header);
}

Test(bad, names_and_descriptions_beyond_our_limits) {
    static char header[8192];
    const char *path = in_folder(folder, "long.safetensors");
    for (size_t more = 0; more < 2; more++) {
        const int name = ATTN_TENSOR_NAME_MAX + (int)more;
        snprintf(header, sizeof header, "{\"%0*d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
                 name, 0);
        write_safetensors(path, header, strlen(header), ST_TRUE_LENGTH, "", 0);
        attn_safetensors *file = NULL;
        if (more == 1)
            refused(path, "a name of 513 bytes, at most 512 expected");
        else
            cr_expect_eq(attn_safetensors_open(path, &file, NULL), ATTN_OK);
        attn_safetensors_close(file);
    }
    snprintf(header, sizeof header, "{\"t\":{%*s}}", 4096, "");
    write_safetensors(path, header, strlen(header), ST_TRUE_LENGTH, "", 0);
    refused(path, "\"t\": 4098 bytes of JSON, nested 1 deep: at most 4096 bytes");
}

/* Reads tensor "t" and expects a sentence with `says`. */
static void read_refused(const char *says) {
    static float values[15000];
    attn_safetensors *file = open_good();
    attn_error error = {""};
    const attn_tensor *tensor = find(file, "t");
    cr_expect_eq(attn_safetensors_read(file, tensor, 0, tensor->count, values, &error), ATTN_BAD_MODEL);
    cr_expect_not_null(strstr(error.text, says), "'%s' lacks '%s'", error.text, says);
    cr_expect_not_null(strstr(error.text, "good.safetensors: tensor \"t\": "), "%s", error.text);
    attn_safetensors_close(file);
}

Test(bad, numbers_that_are_not_finite) {
    const struct {
        const char *dtype;
        size_t size;
        union {
            double d;
            float f;
            uint16_t h;
        } value;
        const char *says;
    } cases[] = {{"F64", 8, {.d = NAN}, "nan"},      {"F64", 8, {.d = -INFINITY}, "-inf"},
                 {"F64", 8, {.d = 1e39}, "1e+39"},   {"F64", 8, {.d = 0x1.ffffffp127}, "3.40282e+38"},
                 {"F32", 4, {.f = NAN}, "nan"},      {"F32", 4, {.f = INFINITY}, "inf"},
                 {"F16", 2, {.h = 0x7e00}, "nan"},   {"F16", 2, {.h = 0xfc00}, "-inf"},
                 {"F16", 2, {.h = 0x7c01}, "nan"},   {"BF16", 2, {.h = 0x7fc0}, "nan"},
                 {"BF16", 2, {.h = 0x7f80}, "inf"},  {"F8_E4M3", 1, {.h = 0x7f}, "nan"},
                 {"F8_E5M2", 1, {.h = 0x7e}, "nan"}, {"F8_E5M2", 1, {.h = 0xfc}, "-inf"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[6 * 8] = {0};
        memcpy(bytes + 5 * cases[i].size, &cases[i].value, cases[i].size);
        st_begin(&writer, "");
        st_add(&writer, "t", cases[i].dtype, "[2,3]", bytes, 6 * cases[i].size);
        st_end(&writer, good_path());
        char says[96];
        snprintf(says, sizeof says, "element [1][2]: expected a finite float32, found %s", cases[i].says);
        read_refused(says);
    }
}

Test(bad, not_finite_in_a_later_piece) {
    st_begin(&writer, "");
    st_describe(&writer, "t[40,375]");
    const float bad = NAN;
    memcpy(writer.data + 4 * (39 * 375 + 374), &bad, sizeof bad);
    st_end(&writer, good_path());
    read_refused("element [39][374]: expected a finite float32, found nan");
}

Test(bad, types_that_are_no_weights) {
    st_begin(&writer, "");
    st_describe(&writer, "t[2]:I32");
    st_end(&writer, good_path());
    read_refused("dtype: expected F64, F32, F16 or BF16, found I32");
}

Test(bad, cut_after_it_was_opened) {
    st_begin(&writer, "");
    st_describe(&writer, "t[100]");
    st_end(&writer, good_path());
    attn_safetensors *file = open_good();
    float values[100];
    attn_error error = {""};
    cr_assert_eq(truncate(good_path(), 200), 0);
    cr_expect_eq(attn_safetensors_read(file, find(file, "t"), 0, 100, values, &error), ATTN_BAD_MODEL);
    cr_expect_not_null(strstr(error.text, "good.safetensors: ends at byte 200"), "%s", error.text);
    attn_safetensors_close(file);
}

/* Random damage: no crash, and what still opens is a whole. */
Test(bad, random_bytes) {
    uint64_t random = test_seed("safetensors") | 1; /* zero would stay zero */
    st_begin(&writer, "\"__metadata__\":{\"attend\":\"x\"}");
    st_describe(&writer, "a[2,3]:F16 b[] c[4]:F64 d[0]");
    strcat(writer.header, "}");
    const size_t length = strlen(writer.header), size = 8 + length + writer.bytes;
    uint8_t *whole = malloc(size);
    int opened = 0;
    for (int round = 0; round < 3000; round++) {
        const uint64_t stated = htole64(length);
        memcpy(whole, &stated, 8);
        memcpy(whole + 8, writer.header, length);
        memcpy(whole + 8 + length, writer.data, writer.bytes);
        for (uint64_t left = 1 + random_bits(&random) % 3; left > 0; left--)
            whole[random_bits(&random) % size] ^= (uint8_t)(1U << random_bits(&random) % 8);
        write_bytes(good_path(), whole, size);
        attn_safetensors *file = NULL;
        attn_error error = {""};
        if (attn_safetensors_open(good_path(), &file, &error) != ATTN_OK) {
            cr_assert_not_null(strstr(error.text, "good.safetensors: "), "%s", error.text);
            continue;
        }
        size_t count, bytes = 0;
        const attn_tensor *tensors = attn_safetensors_tensors(file, &count);
        for (size_t i = 0; i < count; i++) {
            float values[64];
            cr_assert(tensors[i].offset <= size && tensors[i].bytes <= size - tensors[i].offset);
            bytes += tensors[i].bytes;
            attn_safetensors_read(file, &tensors[i], 0, tensors[i].count, values, NULL);
        }
        cr_assert_eq(bytes, writer.bytes);
        opened++;
        attn_safetensors_close(file);
    }
    cr_expect(opened > 0 && opened < 3000, "%d of 3000 still open", opened);
    free(whole);
}
