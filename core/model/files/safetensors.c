#include "core/model/files/safetensors.h"

#include "core/model/files/file.h"
#include "core/model/files/json_value.h"
#include "core/model/files/json_walk.h"
#include "core/size.h"

#include <endian.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES ((size_t)8)       /* before the header: how long it is */
#define SMALLEST     ((size_t)2)       /* header: {} */
#define METADATA_MAX ((size_t)1 << 20) /* bytes of text */
#define ENTRY_MAX    ((size_t)4096)    /* bytes of text, beside the name, that describe one tensor */
#define METADATA     "__metadata__"

struct attn_safetensors {
    attn_file file;
    json_t *metadata;     /* or NULL */
    attn_tensor *tensors; /* [count], room for more; owns the names */
    size_t count, room;
    size_t data; /* where the data begin in the file */
};

attn_status attn_tensor_fail(const attn_safetensors *file, const char *tensor, attn_error *error,
                             const char *format, ...) {
    char sentence[256];
    attn_printable name;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return attn_fail(error, ATTN_BAD_MODEL, "%s: tensor \"%s\": %s", file->file.path.text,
                     attn_make_printable(&name, tensor), sentence);
}

void attn_shape_print(const size_t *shape, size_t rank, char *text, size_t size) {
    int length = snprintf(text, size, "[");
    for (size_t i = 0; i < rank && (size_t)length < size; i++)
        length += snprintf(text + length, size - (size_t)length, "%s%zu", i == 0 ? "" : ", ", shape[i]);
    if ((size_t)length < size)
        snprintf(text + length, size - (size_t)length, "]");
}

/* The header, parsed. */

static attn_status header_length(attn_safetensors *st, size_t *length, attn_error *error) {
    const size_t least = LENGTH_BYTES + SMALLEST;
    if (st->file.size < least)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: a file of %zu bytes, at least %zu expected",
                         st->file.path.text, st->file.size, least);
    uint64_t raw;
    ATTN_TRY(attn_file_read(&st->file, 0, &raw, sizeof raw, error));
    const uint64_t stated = le64toh(raw);
    const size_t rest = st->file.size - LENGTH_BYTES;
    const size_t most = rest < ATTN_HEADER_MAX ? rest : ATTN_HEADER_MAX;
    if (stated < SMALLEST || stated > most)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: header of %llu bytes, %zu to %zu expected in a file of %zu bytes",
                         st->file.path.text, (unsigned long long)stated, SMALLEST, most, st->file.size);
    *length = (size_t)stated;
    return ATTN_OK;
}

static attn_status check_metadata(const attn_safetensors *st, attn_error *error) {
    attn_printable printable, found;
    if (!json_is_object(st->metadata))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: " METADATA ": expected an object of strings, found %s",
                         st->file.path.text, attn_json_printable(&found, st->metadata));
    const char *key;
    json_t *value;
    json_object_foreach(st->metadata, key, value) {
        if (!json_is_string(value))
            return attn_fail(error, ATTN_BAD_MODEL, "%s: " METADATA ": \"%s\": expected a string, found %s",
                             st->file.path.text, attn_make_printable(&printable, key),
                             attn_json_printable(&found, value));
    }
    return ATTN_OK;
}

static attn_status parse_metadata(attn_safetensors *st, const attn_walk *walk, const attn_walk_value *value,
                                  attn_error *error) {
    if (st->metadata != NULL)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: " METADATA " stands in the header twice",
                         st->file.path.text);
    ATTN_TRY(attn_walk_parse(walk, METADATA, value, METADATA_MAX, 2, &st->metadata, error));
    return check_metadata(st, error);
}

/* One tensor of the header. */

static attn_status parse_dtype(const attn_safetensors *st, const json_t *value, attn_tensor *tensor,
                               attn_error *error) {
    attn_printable found;
    tensor->dtype = json_is_string(value) ? attn_dtype_find(json_string_value(value)) : NULL;
    if (tensor->dtype == NULL)
        return attn_tensor_fail(st, tensor->name, error,
                                "dtype: expected one of the format (F32, BF16, I64, ...), found %s",
                                attn_json_printable(&found, value));
    return ATTN_OK;
}

static attn_status parse_shape(const attn_safetensors *st, const json_t *value, attn_tensor *tensor,
                               attn_error *error) {
    attn_printable found;
    if (!json_is_array(value))
        return attn_tensor_fail(st, tensor->name, error, "shape: expected an array, found %s",
                                attn_json_printable(&found, value));
    tensor->rank = json_array_size(value);
    if (tensor->rank > ATTN_RANK_MAX)
        return attn_tensor_fail(st, tensor->name, error, "shape: %zu dimensions, at most %d expected",
                                tensor->rank, ATTN_RANK_MAX);
    for (size_t i = 0; i < tensor->rank; i++) {
        const json_t *entry = json_array_get(value, i);
        if (!json_is_integer(entry) || json_integer_value(entry) < 0)
            return attn_tensor_fail(st, tensor->name, error,
                                    "shape: expected a whole number as dimension %zu, found %s", i,
                                    attn_json_printable(&found, entry));
        tensor->shape[i] = (size_t)json_integer_value(entry);
    }
    return ATTN_OK;
}

/* Reads where the tensor is, and makes its offset count from the start of the file. */
static attn_status parse_offsets(const attn_safetensors *st, const json_t *value, attn_tensor *tensor,
                                 attn_error *error) {
    const json_t *from = json_array_get(value, 0), *to = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(from) || !json_is_integer(to))
        return attn_tensor_fail(st, tensor->name, error, "data_offsets: expected [begin, end]");
    const json_int_t begin = json_integer_value(from), end = json_integer_value(to);
    const size_t size = st->file.size - st->data;
    if (begin < 0 || begin > end || (uint64_t)end > size)
        return attn_tensor_fail(st, tensor->name, error,
                                "data_offsets [%lld, %lld]: expected 0 <= begin <= end <= %zu, the bytes of "
                                "data in the file",
                                (long long)begin, (long long)end, size);
    tensor->offset = st->data + (size_t)begin;
    tensor->bytes = (size_t)(end - begin);
    return ATTN_OK;
}

/* Do the elements fill the bytes? A dimension of zero counts as one when it is asked whether sizes overflow:
 * so that does not depend on the order of the dimensions. */
static attn_status check_size(const attn_safetensors *st, attn_tensor *tensor, attn_error *error) {
    char shape[192];
    attn_shape_print(tensor->shape, tensor->rank, shape, sizeof shape);
    size_t count = 1, bits;
    bool fits = true, empty = false;
    for (size_t i = 0; i < tensor->rank; i++) {
        empty = empty || tensor->shape[i] == 0;
        fits = fits && attn_multiply(count, tensor->shape[i] == 0 ? 1 : tensor->shape[i], &count);
    }
    if (!fits || !attn_multiply(count, tensor->dtype->bits, &bits))
        return attn_tensor_fail(st, tensor->name, error, "shape %s is too large", shape);
    tensor->count = empty ? 0 : count;
    bits = empty ? 0 : bits;
    if (bits % 8 != 0)
        return attn_tensor_fail(st, tensor->name, error, "shape %s of %s does not fill whole bytes", shape,
                                tensor->dtype->name);
    if (bits / 8 != tensor->bytes)
        return attn_tensor_fail(st, tensor->name, error,
                                "shape %s of %s takes %zu bytes, data_offsets give it %zu", shape,
                                tensor->dtype->name, bits / 8, tensor->bytes);
    return ATTN_OK;
}

static attn_status parse_entry(const attn_safetensors *st, const json_t *entry, attn_tensor *tensor,
                               attn_error *error) {
    const json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (dtype == NULL || shape == NULL || offsets == NULL || json_object_size(entry) != 3)
        return attn_tensor_fail(st, tensor->name, error,
                                "expected an object of exactly dtype, shape and data_offsets");
    ATTN_TRY(parse_dtype(st, dtype, tensor, error));
    ATTN_TRY(parse_shape(st, shape, tensor, error));
    ATTN_TRY(parse_offsets(st, offsets, tensor, error));
    return check_size(st, tensor, error);
}

/* Makes room for one more tensor. The room doubles, so that memory follows the tensors that there are. */
static attn_status make_room(attn_safetensors *st, attn_error *error) {
    if (st->count < st->room)
        return ATTN_OK;
    if (st->count == ATTN_TENSORS_MAX)
        return attn_fail(error, ATTN_BAD_MODEL, "%s: more than %d tensors", st->file.path.text,
                         ATTN_TENSORS_MAX);
    const size_t room = st->room == 0 ? 64 : 2 * st->room;
    attn_tensor *tensors = realloc(st->tensors, room * sizeof *tensors);
    if (tensors == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for a list of %zu tensors", st->file.path.text,
                         room);
    st->tensors = tensors;
    st->room = room;
    return ATTN_OK;
}

/* Adds one tensor, which then owns the name. */
static attn_status parse_tensor(attn_safetensors *st, const attn_walk *walk, char *name,
                                const attn_walk_value *value, attn_error *error) {
    attn_status status = make_room(st, error);
    if (status != ATTN_OK) {
        free(name);
        return status;
    }
    attn_tensor *tensor = &st->tensors[st->count++];
    *tensor = (attn_tensor){.name = name};
    if (strlen(name) > ATTN_TENSOR_NAME_MAX)
        return attn_tensor_fail(st, name, error, "a name of %zu bytes, at most %d expected", strlen(name),
                                ATTN_TENSOR_NAME_MAX);
    json_t *entry;
    status = attn_walk_parse(walk, name, value, ENTRY_MAX, 2, &entry, error);
    if (status != ATTN_OK)
        return status;
    status = parse_entry(st, entry, tensor, error);
    json_decref(entry);
    return status;
}

static attn_status parse_header(attn_safetensors *st, const char *text, size_t length, attn_error *error) {
    char where[sizeof st->file.path.text + 16];
    snprintf(where, sizeof where, "%s: header", st->file.path.text);
    st->data = LENGTH_BYTES + length;
    attn_walk walk;
    attn_status status = attn_walk_begin(&walk, where, text, length, error);
    while (status == ATTN_OK) {
        char *name;
        attn_walk_value value;
        status = attn_walk_next(&walk, &name, &value, error);
        if (name == NULL)
            break;
        if (strcmp(name, METADATA) != 0) {
            status = parse_tensor(st, &walk, name, &value, error);
        } else {
            status = parse_metadata(st, &walk, &value, error);
            free(name);
        }
    }
    return status;
}

static attn_status read_header(attn_safetensors *st, attn_error *error) {
    size_t length = 0;
    attn_status status = header_length(st, &length, error);
    if (status != ATTN_OK)
        return status;
    char *text = malloc(length);
    if (text == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "%s: no memory for a header of %zu bytes", st->file.path.text,
                         length);
    status = attn_file_read(&st->file, LENGTH_BYTES, text, length, error);
    if (status == ATTN_OK)
        status = parse_header(st, text, length, error);
    free(text);
    return status;
}

/* All tensors together. */

static int compare_places(const void *left, const void *right) {
    const attn_tensor *a = left, *b = right;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static int compare_names(const void *left, const void *right) {
    const attn_tensor *a = left, *b = right;
    return strcmp(a->name, b->name);
}

/* qsort wants an array even for no elements. */
static void sort(attn_safetensors *st, int (*compare)(const void *, const void *)) {
    if (st->count > 0)
        qsort(st->tensors, st->count, sizeof *st->tensors, compare);
}

static attn_status check_names(attn_safetensors *st, attn_error *error) {
    sort(st, compare_names);
    for (size_t i = 1; i < st->count; i++)
        if (strcmp(st->tensors[i - 1].name, st->tensors[i].name) == 0)
            return attn_tensor_fail(st, st->tensors[i].name, error, "stands in the header twice");
    return ATTN_OK;
}

/* Each byte of the data must belong to exactly one tensor. */
static attn_status check_cover(attn_safetensors *st, attn_error *error) {
    sort(st, compare_places);
    size_t covered = st->data;
    for (size_t i = 0; i < st->count; i++) {
        const attn_tensor *tensor = &st->tensors[i];
        attn_printable previous;
        if (tensor->offset < covered)
            return attn_tensor_fail(
                st, tensor->name, error,
                "overlaps with tensor \"%s\": begins at byte %zu of the data, expected %zu",
                attn_make_printable(&previous, st->tensors[i - 1].name), tensor->offset - st->data,
                covered - st->data);
        if (tensor->offset > covered)
            return attn_tensor_fail(st, tensor->name, error,
                                    "a hole before it: begins at byte %zu of the data, expected %zu",
                                    tensor->offset - st->data, covered - st->data);
        covered = tensor->offset + tensor->bytes;
    }
    if (covered != st->file.size)
        return attn_fail(error, ATTN_BAD_MODEL,
                         "%s: %zu bytes after the last tensor, expected the file to end there",
                         st->file.path.text, st->file.size - covered);
    sort(st, compare_names);
    return ATTN_OK;
}

static attn_status open_file(attn_safetensors *st, const char *path, attn_error *error) {
    ATTN_TRY(attn_file_open(&st->file, path, error));
    ATTN_TRY(read_header(st, error));
    ATTN_TRY(check_names(st, error));
    return check_cover(st, error);
}

attn_status attn_safetensors_open(const char *path, attn_safetensors **file, attn_error *error) {
    attn_safetensors *st = calloc(1, sizeof *st);
    if (st == NULL)
        return attn_fail(error, ATTN_NO_MEMORY, "no memory to open a model file");
    const attn_status status = open_file(st, path, error);
    if (status != ATTN_OK) {
        attn_safetensors_close(st);
        return status;
    }
    *file = st;
    return ATTN_OK;
}

void attn_safetensors_close(attn_safetensors *file) {
    if (file == NULL)
        return;
    attn_file_close(&file->file);
    attn_safetensors_forget_metadata(file);
    for (size_t i = 0; i < file->count; i++)
        free((char *)file->tensors[i].name);
    free(file->tensors);
    free(file);
}

const char *attn_safetensors_path(const attn_safetensors *file) {
    return file->file.path.text;
}

const attn_tensor *attn_safetensors_tensors(const attn_safetensors *file, size_t *count) {
    *count = file->count;
    return file->tensors;
}

const char *attn_safetensors_metadata(const attn_safetensors *file, const char *key) {
    return json_string_value(json_object_get(file->metadata, key));
}

void attn_safetensors_forget_metadata(attn_safetensors *file) {
    json_decref(file->metadata);
    file->metadata = NULL;
}

/* Reading. */

/* Names element `index` of a tensor: "[2][3]". */
static void print_index(const attn_tensor *tensor, size_t index, char *text, size_t size) {
    size_t stride = tensor->count;
    int length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < tensor->rank && (size_t)length < size; i++) {
        stride /= tensor->shape[i];
        length += snprintf(text + length, size - (size_t)length, "[%zu]", index / stride);
        index %= stride;
    }
}

/* The number in the file from which `value` was made: an F64 may be finite and beyond float32. */
static double found_number(const attn_dtype *dtype, const uint8_t *bytes, float value) {
    uint64_t bits;
    double number = (double)value;
    if (strcmp(dtype->name, "F64") == 0) {
        memcpy(&bits, bytes, sizeof bits);
        bits = le64toh(bits);
        memcpy(&number, &bits, sizeof number);
    }
    return number;
}

/* Checks the elements from number `first` on: values [count], as they came from `bytes`. */
static attn_status check_finite(const attn_safetensors *file, const attn_tensor *tensor, size_t first,
                                size_t count, const uint8_t *bytes, const float *values, attn_error *error) {
    for (size_t i = 0; i < count; i++) {
        if (isfinite(values[i]))
            continue;
        char index[192];
        print_index(tensor, first + i, index, sizeof index);
        return attn_tensor_fail(file, tensor->name, error, "element %s: expected a finite float32, found %g",
                                index,
                                found_number(tensor->dtype, bytes + i * tensor->dtype->bits / 8, values[i]));
    }
    return ATTN_OK;
}

attn_status attn_safetensors_read(const attn_safetensors *file, const attn_tensor *tensor, size_t first,
                                  size_t count, float *values, attn_error *error) {
    uint8_t piece[32768]; /* on its way to `values`: no second copy of a large tensor is needed */
    const attn_dtype *dtype = tensor->dtype;
    if (dtype->to_float == NULL)
        return attn_tensor_fail(file, tensor->name, error, "dtype: expected " ATTN_WEIGHT_DTYPES ", found %s",
                                dtype->name);
    const size_t size = dtype->bits / 8, most = sizeof piece / size;
    while (count > 0) {
        const size_t now = count < most ? count : most;
        attn_status status =
            attn_file_read(&file->file, tensor->offset + first * size, piece, now * size, error);
        if (status != ATTN_OK)
            return status;
        dtype->to_float(piece, now, values);
        status = check_finite(file, tensor, first, now, piece, values, error);
        if (status != ATTN_OK)
            return status;
        first += now;
        values += now;
        count -= now;
    }
    return ATTN_OK;
}
