/* peers.h: other libraries that read and write arrays of numbers, one file for each. */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a JSON document, {"query": nested array of numbers} or just the array, and puts its numbers into
 * `values`, which has room for them. Returns how many there are, 0 on failure. */
typedef size_t bench_read(const char *text, size_t length, float *values);

/* Writes `count` numbers as a JSON array to `text`, which has room for 40 bytes each. Returns the length. */
typedef size_t bench_write(const float *values, size_t count, char *text);

bench_read bench_jansson_read, bench_yyjson_read, bench_simdjson_read;
bench_write bench_jansson_write, bench_yyjson_write;

#ifdef __cplusplus
}
#endif

#endif
