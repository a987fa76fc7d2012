#ifdef WITH_YYJSON /* where it is installed */

#include "tests/bench/peers.h"

#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static size_t collect(yyjson_val *value, float *values) {
    size_t i, most, count = 0;
    yyjson_val *entry;
    if (yyjson_is_obj(value))
        return collect(yyjson_obj_get(value, "query"), values);
    yyjson_arr_foreach(value, i, most, entry) {
        if (yyjson_is_arr(entry))
            count += collect(entry, values + count);
        else
            values[count++] = (float)yyjson_get_num(entry);
    }
    return count;
}

size_t bench_yyjson_read(const char *text, size_t length, float *values) {
    yyjson_doc *document = yyjson_read(text, length, 0);
    const size_t count = document == NULL ? 0 : collect(yyjson_doc_get_root(document), values);
    yyjson_doc_free(document);
    return count;
}

size_t bench_yyjson_write(const float *values, size_t count, char *text) {
    size_t length = 0;
    yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(document, yyjson_mut_arr_with_float(document, values, count));
#ifdef YYJSON_WRITE_FP_TO_FLOAT
    char *written = yyjson_mut_write(document, YYJSON_WRITE_FP_TO_FLOAT, &length);
#else
    char *written = yyjson_mut_write(document, 0, &length); /* as float64, which takes more digits */
#endif
    if (written != NULL)
        memcpy(text, written, length);
    free(written);
    yyjson_mut_doc_free(document);
    return length;
}

#endif
