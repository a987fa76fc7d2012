#include "tests/bench/peers.h"

#include <jansson.h>

static size_t collect(const json_t *value, float *values) {
    const json_t *entry;
    size_t i, count = 0;
    if (json_is_object(value))
        return collect(json_object_get(value, "query"), values);
    json_array_foreach(value, i, entry) {
        if (json_is_array(entry))
            count += collect(entry, values + count);
        else
            values[count++] = (float)json_number_value(entry);
    }
    return count;
}

size_t bench_jansson_read(const char *text, size_t length, float *values) {
    json_t *document = json_loadb(text, length, 0, NULL);
    const size_t count = collect(document, values);
    json_decref(document);
    return count;
}

size_t bench_jansson_write(const float *values, size_t count, char *text) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_real((double)values[i]));
    const size_t length = json_dumpb(array, text, 40 * count, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(array);
    return length;
}
