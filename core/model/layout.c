#include "core/model/layout.h"

#include "core/printable.h"

#include <string.h>

#define ONES_MAX ((size_t)2)

/* The shape that a source's tensor must have. */
typedef struct {
    size_t rank;
    size_t sizes[ONES_MAX + 2];
} shape;

static bool is_matrix(attn_slot slot) {
    return slot <= ATTN_O_WEIGHT || slot == ATTN_RELATIVE_BIAS;
}

static shape expected_shape(const attn_source *source, const attn_config *config) {
    shape result = {.rank = 0};
    size_t rows = 0;
    for (size_t i = 0; i < source->slots; i++)
        rows += attn_slot_rows(config, (attn_slot)(source->first + i));
    const size_t columns = attn_slot_columns(config, source->first);
    const bool transposed = source->arrangement == ATTN_TRANSPOSED;
    while (result.rank < source->ones && result.rank < ONES_MAX)
        result.sizes[result.rank++] = 1;
    result.sizes[result.rank++] = transposed ? columns : rows;
    if (is_matrix(source->first))
        result.sizes[result.rank++] = transposed ? rows : columns;
    return result;
}

static attn_status check_source(const attn_tensors *tensors, const attn_source *source,
                                const attn_config *config, attn_error *error) {
    const shape expected = expected_shape(source, config);
    char wanted[96], found[192];
    attn_printable name;
    attn_tensor_place at;
    attn_shape_print(expected.sizes, expected.rank, wanted, sizeof wanted);
    if (!attn_tensors_find(tensors, source->name, &at))
        return attn_fail(error, ATTN_BAD_MODEL, "%s: tensor \"%s\": missing, expected with shape %s",
                         attn_tensors_path(tensors), attn_make_printable(&name, source->name), wanted);
    if (at.other != NULL)
        return attn_tensor_fail(at.file, source->name, error, "stands in another shard too, %s",
                                attn_safetensors_path(at.other));
    const attn_tensor *tensor = at.tensor;
    if (tensor->dtype->to_float == NULL)
        return attn_tensor_fail(at.file, source->name, error,
                                "dtype: expected " ATTN_WEIGHT_DTYPES ", found %s", tensor->dtype->name);
    if (tensor->rank != expected.rank ||
        memcmp(tensor->shape, expected.sizes, expected.rank * sizeof expected.sizes[0]) != 0) {
        attn_shape_print(tensor->shape, tensor->rank, found, sizeof found);
        return attn_tensor_fail(at.file, source->name, error, "expected shape %s, found %s", wanted, found);
    }
    return ATTN_OK;
}

/* Reads the rows of all arrays, in `parts` equal parts: in each, the rows of one array follow those of the
 * one before. */
static attn_status read_rows(const attn_tensor_place *at, const attn_source *source,
                             const attn_config *config, size_t parts, float *const arrays[ATTN_SLOTS],
                             attn_error *error) {
    const size_t columns = attn_slot_columns(config, source->first);
    size_t first = 0;
    for (size_t part = 0; part < parts; part++) {
        for (size_t i = 0; i < source->slots; i++) {
            const attn_slot slot = (attn_slot)(source->first + i);
            const size_t count = attn_slot_rows(config, slot) / parts * columns;
            ATTN_TRY(attn_safetensors_read(at->file, at->tensor, first, count, arrays[slot] + part * count,
                                           error));
            first += count;
        }
    }
    return ATTN_OK;
}

/* Reads what is one row in the file and one column of array `slot`. */
static attn_status read_column(const attn_tensor_place *at, size_t first, size_t column, attn_slot slot,
                               const attn_config *config, float *array, attn_error *error) {
    float piece[512];
    const size_t most = sizeof piece / sizeof *piece;
    const size_t rows = attn_slot_rows(config, slot), columns = attn_slot_columns(config, slot);
    for (size_t row = 0; row < rows;) {
        const size_t now = rows - row < most ? rows - row : most;
        ATTN_TRY(attn_safetensors_read(at->file, at->tensor, first + row, now, piece, error));
        for (size_t i = 0; i < now; i++)
            array[(row + i) * columns + column] = piece[i];
        row += now;
    }
    return ATTN_OK;
}

static attn_status read_transposed(const attn_tensor_place *at, const attn_source *source,
                                   const attn_config *config, float *const arrays[ATTN_SLOTS],
                                   attn_error *error) {
    const size_t columns = attn_slot_columns(config, source->first);
    size_t first = 0;
    for (size_t column = 0; column < columns; column++) {
        for (size_t i = 0; i < source->slots; i++) {
            const attn_slot slot = (attn_slot)(source->first + i);
            ATTN_TRY(read_column(at, first, column, slot, config, arrays[slot], error));
            first += attn_slot_rows(config, slot);
        }
    }
    return ATTN_OK;
}

static void add(const attn_source *source, const attn_config *config, float *const arrays[ATTN_SLOTS]) {
    for (size_t i = 0; i < source->slots; i++) {
        const attn_slot slot = (attn_slot)(source->first + i);
        const size_t count = attn_slot_rows(config, slot) * attn_slot_columns(config, slot);
        for (size_t k = 0; k < count; k++)
            arrays[slot][k] += source->addend;
    }
}

static attn_status read_source(const attn_tensors *tensors, const attn_source *source,
                               const attn_config *config, float *const arrays[ATTN_SLOTS],
                               attn_error *error) {
    attn_status status = ATTN_OK;
    attn_tensor_place at;
    attn_tensors_find(tensors, source->name, &at); /* it was there when it was checked */
    switch (source->arrangement) {
    case ATTN_STACKED:
        status = read_rows(&at, source, config, 1, arrays, error);
        break;
    case ATTN_TRANSPOSED:
        status = read_transposed(&at, source, config, arrays, error);
        break;
    case ATTN_BY_HEAD:
        status = read_rows(&at, source, config, config->num_kv_heads, arrays, error);
        break;
    }
    if (status == ATTN_OK && source->addend != 0)
        add(source, config, arrays);
    return status;
}

/* Which arrays the model gets; `filled` are those of the sources. */
static void choose_slots(const attn_config *config, const bool filled[ATTN_SLOTS], bool wanted[ATTN_SLOTS]) {
    attn_slots_wanted(config, wanted);
    for (int slot = ATTN_Q_BIAS; slot <= ATTN_O_BIAS; slot++)
        wanted[slot] = wanted[slot] && filled[slot];
}

attn_status attn_sources_load(const attn_tensors *tensors, const attn_source *sources, size_t count,
                              const attn_config *config, attn_model *model, float *arrays[ATTN_SLOTS],
                              attn_error *error) {
    attn_status status = ATTN_OK;
    bool filled[ATTN_SLOTS] = {false}, wanted[ATTN_SLOTS];
    /* Shapes before memory: then a file cannot ask for more than a few times its own size. */
    for (size_t i = 0; i < count && status == ATTN_OK; i++) {
        status = check_source(tensors, &sources[i], config, error);
        for (size_t k = 0; k < sources[i].slots; k++)
            filled[sources[i].first + k] = true;
    }
    if (status != ATTN_OK)
        return status;
    attn_model loaded = *model;
    choose_slots(config, filled, wanted);
    status = attn_weights_allocate(attn_tensors_path(tensors), config, wanted, &loaded, arrays, error);
    if (status != ATTN_OK)
        return status;
    for (int slot = 0; slot < ATTN_SLOTS; slot++)
        if (wanted[slot] && !filled[slot])
            memset(arrays[slot], 0,
                   attn_slot_rows(config, (attn_slot)slot) * attn_slot_columns(config, (attn_slot)slot) *
                       sizeof(float));
    for (size_t i = 0; i < count && status == ATTN_OK && !model->is_plan; i++)
        status = read_source(tensors, &sources[i], config, arrays, error);
    if (status == ATTN_OK)
        *model = loaded;
    else
        attn_weights_discard(arrays, &loaded);
    return status;
}
