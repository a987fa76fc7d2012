#include "tests/bench/peers.h"

#include <simdjson.h>

namespace {

size_t collect(simdjson::ondemand::array array, float *values) {
    size_t count = 0;
    for (auto entry : array) {
        simdjson::ondemand::array inner;
        if (entry.get_array().get(inner) == simdjson::SUCCESS)
            count += collect(inner, values + count);
        else
            values[count++] = static_cast<float>(entry.get_double().value());
    }
    return count;
}

} // namespace

size_t bench_simdjson_read(const char *text, size_t length, float *values) {
    static simdjson::ondemand::parser parser;
    const simdjson::padded_string padded(text, length);
    auto document = parser.iterate(padded);
    simdjson::ondemand::array array;
    simdjson::ondemand::object object;
    try {
        if (text[0] == '{')
            return document.get_object().get(object) == simdjson::SUCCESS
                       ? collect(object["query"].get_array(), values)
                       : 0;
        return document.get_array().get(array) == simdjson::SUCCESS ? collect(array, values) : 0;
    } catch (const simdjson::simdjson_error &) {
        return 0;
    }
}
