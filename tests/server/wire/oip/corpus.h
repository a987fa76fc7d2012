/* corpus.h: damaged requests of the Open Inference Protocol, and how each is refused. */
#ifndef TESTS_SERVER_OIP_CORPUS_H
#define TESTS_SERVER_OIP_CORPUS_H

#include "server/wire/oip/oip.h"
#include "tests/server/wire/refusals.h"

/* What the header says: nothing, or how long the JSON really is; or a number. */
enum { NO_HEADER = -1, JSON_ONLY = -2 };

#define INPUTS(...)   "{\"inputs\":[" __VA_ARGS__ "]}"
#define WITH(members) "{\"inputs\":[{\"name\":\"query\",\"shape\":[1,2],\"datatype\":\"FP32\"" members "}]}"
#define QUERY         "{\"name\":\"query\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[1,2]}"
#define FULL(members) "{\"inputs\":[" QUERY "]," members "}"
#define PARAMETERS(p) FULL("\"parameters\":{" p "}")
#define OUTPUTS(o)    FULL("\"outputs\":[" o "]")
#define DATA(shape, type, data)                                                                              \
    INPUTS("{\"name\":\"query\",\"shape\":" shape ",\"datatype\":\"" type "\",\"data\":" data "}")
#define MASK(shape, type, data)                                                                              \
    INPUTS("{\"name\":\"attn_mask\",\"shape\":" shape ",\"datatype\":\"" type "\",\"data\":" data "}")
#define SIZED(name, shape, type, size)                                                                       \
    "{\"name\":\"" name "\",\"shape\":" shape ",\"datatype\":\"" type                                        \
    "\",\"parameters\":{\"binary_data_size\":" size "}}"
#define QUERY_SIZED(shape, type, size) INPUTS(SIZED("query", shape, type, size))
#define EIGHT                          "\0\0\x80\x3f\0\0\0\x40", 8 /* 1.0f, 2.0f */

/* Without a header, and with nothing behind the JSON. */
static const struct {
    const char *json;
    problem_code code;
    const char *path, *said;
} damaged[] = {
    /* The JSON. */
    {"", JSON, "", "empty"},
    {" \n", JSON, "", "empty"},
    {"[]", VALUE, "the request", "expected an object"},
    {"{\"inputs\":[" QUERY "]", JSON, "", "comma or }"},
    {INPUTS(QUERY) "x", JSON, "", "end of the body"},
    {INPUTS(QUERY ","), JSON, "", "an object"},
    {INPUTS(QUERY QUERY), JSON, "", "comma or ]"},
    {"{\"inputs\" " QUERY "}", JSON, "", "colon"},
    {"{inputs:[]}", JSON, "", "quotation marks"},
    {"{\"inputs\":{}}", VALUE, "inputs", "list of objects"},
    {"{\"inputs\":[3]}", VALUE, "inputs[0]", "expected an object"},
    {FULL("\"inputs\":[]"), JSON, "inputs", "twice"},
    {FULL("\"input\":[]"), FIELD, "input", "\"input\""},
    {FULL("\"query\":[[1]]"), FIELD, "query", "inputs"},
    {FULL("\"id\":3"), VALUE, "id", "a string"},
    {FULL("\"id\":\"\xff\""), JSON, "id", "UTF-8"},
    {FULL("\"model_name\":{}"), VALUE, "model_name", "a string"},
    /* An input. */
    {WITH(",\"dat\":[1,2]"), FIELD, "inputs[0].dat", "datatype"},
    {WITH(",\"data\":[1,2],\"data\":[1,2]"), JSON, "inputs[0].data", "twice"},
    {WITH(""), MISSING, "inputs[0].data", "neither data"},
    {WITH(",\"data\":null"), MISSING, "inputs[0].data", "neither data"},
    {WITH(",\"data\":[1,2],\"parameters\":{\"binary_data_size\":8}"), VALUE, "inputs[0].data", "both"},
    {WITH(",\"parameters\":{\"shared_memory_region\":\"x\"}"), FIELD,
     "inputs[0].parameters.shared_memory_region", "binary_data_size"},
    {WITH(",\"parameters\":[]"), VALUE, "inputs[0].parameters", "an object"},
    {WITH(",\"data\":3"), VALUE, "inputs[0].data", "a number"},
    {INPUTS("{\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[1,2]}"), MISSING, "inputs[0].name",
     "inputs[0] has no name"},
    {INPUTS(QUERY ",{\"name\":\"key\",\"datatype\":\"FP32\",\"data\":[1,2]}"), MISSING, "inputs[1].shape",
     "key has no shape"},
    {INPUTS("{\"name\":\"query\",\"shape\":[1,2],\"data\":[1,2]}"), MISSING, "inputs[0].datatype",
     "query has no datatype"},
    {INPUTS("{\"name\":\"queries\"}"), FIELD, "inputs[0].name",
     "query, key, value, attn_mask, key_padding_mask"},
    {INPUTS("{\"name\":\"is_causal\"}"), FIELD, "inputs[0].name", "\"is_causal\""},
    {INPUTS("{\"name\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}"), FIELD,
     "inputs[0].name", "0123"},
    {INPUTS("{\"name\":7}"), VALUE, "inputs[0].name", "a number"},
    {INPUTS(QUERY "," QUERY), VALUE, "inputs[1].name", "twice"},
    {DATA("[1,2]", "INT32", "[1,2]"), VALUE, "inputs[0].datatype", "FP64"},
    {DATA("[1,2]", "fp32", "[1,2]"), VALUE, "inputs[0].datatype", "\"fp32\""},
    {INPUTS("{\"datatype\":32}"), VALUE, "inputs[0].datatype", "a number"},
    /* A shape. */
    {DATA("2", "FP32", "[1,2]"), SHAPE, "inputs[0].shape", "a number"},
    {DATA("[]", "FP32", "[1]"), SHAPE, "query", "0 dimensions"},
    {DATA("[1,1,1,1,1]", "FP32", "[1]"), SHAPE, "query", "5 dimensions"},
    {DATA("[-1,-2]", "FP32", "[1,2]"), SHAPE, "inputs[0].shape[0]", "-1"},
    {DATA("[1,2.5]", "FP32", "[1,2]"), SHAPE, "inputs[0].shape[1]", "2.5"},
    {DATA("[1,\"2\"]", "FP32", "[1,2]"), SHAPE, "inputs[0].shape[1]", "a string"},
    {DATA("[16777217,1]", "FP32", "[1]"), SHAPE, "inputs[0].shape[0]", "16777216"},
    {DATA("[16777216,16777216,16777216]", "FP32", "[1]"), SHAPE, "query", "no memory"},
    {QUERY_SIZED("[16777216,16777216,16777216,0]", "FP32", "0"), SHAPE, "query", "no memory"},
    {DATA("[1 2]", "FP32", "[1,2]"), JSON, "inputs[0].shape", "comma or ]"},
    /* Data as JSON. */
    {DATA("[1,2]", "FP32", "[1]"), TENSOR, "query", "[1,2]"},
    {DATA("[1,2]", "FP32", "[1,2,3]"), TENSOR, "query", "[3]"},
    {DATA("[2,3]", "FP32", "[[1,2],[3,4],[5,6]]"), TENSOR, "query", "[3,2]"},
    {DATA("[1,2,1]", "FP32", "[[1,2]]"), TENSOR, "query", "[1,2,1]"},
    {DATA("[1,2]", "FP32", "[]"), TENSOR, "query", "[0]"},
    {DATA("[1,0]", "FP32", "[1]"), TENSOR, "query", "[1,0]"},
    {DATA("[2,2]", "FP32", "[[1,2],[3]]"), TENSOR, "query[1]", "expected 2"},
    {DATA("[1,2]", "FP32", "[1,true]"), TENSOR, "query[1]", "number"},
    {DATA("[1,2]", "FP32", "[1,null]"), TENSOR, "query[1]", "null"},
    {MASK("[1,2]", "BOOL", "[true,null]"), TENSOR, "attn_mask[1]", "number"},
    {MASK("[1,2]", "BOOL", "[null,null]"), TENSOR, "attn_mask", "BOOL"},
    {DATA("[1,2]", "FP32", "[1,\"a\"]"), TENSOR, "query[1]", "a string"},
    {DATA("[1,2]", "FP32", "[1,1e39]"), VALUE, "query[1]", "float32"},
    {DATA("[1,2]", "FP64", "[1,-1e39]"), VALUE, "query[1]", "float32"},
    {DATA("[1,2]", "FP32", "[NaN,1]"), VALUE, "query[0]", "NaN"},
    {DATA("[1,2]", "FP32", "[-Infinity,1]"), VALUE, "query[0]", "finite"},
    {MASK("[1,2]", "FP32", "[Infinity,1]"), VALUE, "attn_mask[0]", "finite"},
    {DATA("[1,2]", "FP16", "[1,2]"), VALUE, "query", "binary data"},
    {DATA("[1,2]", "BF16", "[1,2]"), VALUE, "query", "binary data"},
    {DATA("[1,2]", "BOOL", "[1,0]"), TENSOR, "query", "BOOL"},
    {DATA("[1,2]", "BOOL", "[true,false]"), TENSOR, "query[0]", "true"},
    {MASK("[1,2]", "BOOL", "[1,0]"), TENSOR, "attn_mask", "true and false"},
    {MASK("[1,2]", "FP32", "[true,false]"), TENSOR, "attn_mask", "booleans"},
    {"{\"inputs\":[{\"data\":[1,[2]", JSON, "", "end"},
    {INPUTS("{\"data\":[\"a]}"), JSON, "", "inside a string"},
    {INPUTS("{\"data\":[1,x],\"name\":\"query\",\"shape\":[1,2],\"datatype\":\"FP32\"}"), JSON, "query[1]",
     "number"},
    {QUERY_SIZED("[1,2]", "FP32", "8"), TENSOR, "query", OIP_LENGTH_HEADER},
    /* Parameters. */
    {FULL("\"parameters\":[]"), VALUE, "parameters", "an object"},
    {PARAMETERS("\"causal\":true"), FIELD, "parameters.causal", "is_causal"},
    {PARAMETERS("\"return\":\"lse\""), FIELD, "parameters.return", "view"},
    {PARAMETERS("\"model\":\"m\""), FIELD, "parameters.model", "\"model\""},
    {PARAMETERS("\"query\":1"), FIELD, "parameters.query", "\"query\""},
    {PARAMETERS("\"encoding\":\"base64\""), FIELD, "parameters.encoding", "binary_data_output"},
    {PARAMETERS("\"seed\":1,\"seed\":1"), JSON, "parameters.seed", "twice"},
    {PARAMETERS("\"is_causal\":1"), VALUE, "parameters.is_causal", "true or false"},
    {PARAMETERS("\"query_offset\":-1"), VALUE, "parameters.query_offset", "-1"},
    {PARAMETERS("\"query_offset\":2147483648"), VALUE, "parameters.query_offset", "2147483647"},
    {PARAMETERS("\"seed\":\"1\""), VALUE, "parameters.seed", "a string"},
    {PARAMETERS("\"sequence_id\":1"), VALUE, "parameters.sequence_id", "sequences"},
    {PARAMETERS("\"sequence_id\":\"a\""), VALUE, "parameters.sequence_id", "sequences"},
    {PARAMETERS("\"sequence_id\":18446744073709551615"), VALUE, "parameters.sequence_id", "sequences"},
    {PARAMETERS("\"sequence_id\":true"), VALUE, "parameters.sequence_id", "true"},
    {PARAMETERS("\"sequence_start\":1"), VALUE, "parameters.sequence_start", "true or false"},
    {PARAMETERS("\"timeout\":-1"), VALUE, "parameters.timeout", "-1"},
    {PARAMETERS("\"timeout\":0.5"), VALUE, "parameters.timeout", "0.5"},
    {PARAMETERS("\"priority\":\"high\""), VALUE, "parameters.priority", "a string"},
    {PARAMETERS("\"binary_data_output\":1"), VALUE, "parameters.binary_data_output", "true or false"},
    {PARAMETERS("\"view\":{}"), VALUE, "parameters.view", "a string"},
    {PARAMETERS("\"view\":\"\""), JSON, "view", "an object"},
    {PARAMETERS("\"view\":\"[1]\""), VALUE, "view", "an array"},
    {PARAMETERS("\"view\":\"{} {}\""), JSON, "parameters.view", "end of the string"},
    {PARAMETERS("\"view\":\"{\\\"head\\\":[0]}\""), FIELD, "view.head", "heads"},
    {PARAMETERS("\"view\":\"{\\\"heads\\\":[0,-1]}\""), VALUE, "view.heads[1]", "-1"},
    /* Outputs. */
    {FULL("\"outputs\":\"output\""), VALUE, "outputs", "list of objects"},
    {OUTPUTS("\"output\""), VALUE, "outputs[0]", "an object"},
    {OUTPUTS("{}"), MISSING, "outputs[0]", "no name"},
    {OUTPUTS("{\"name\":null}"), MISSING, "outputs[0]", "no name"},
    {OUTPUTS("{\"name\":1}"), VALUE, "outputs[0].name", "a number"},
    {OUTPUTS("{\"name\":\"weights\"}"), FIELD, "outputs[0].name", "attn_weights"},
    {OUTPUTS("{\"name\":\"stats.mean\"}"), FIELD, "outputs[0].name", "stats.max"},
    {OUTPUTS("{\"name\":\"lse\"},{\"name\":\"lse\"}"), VALUE, "outputs[1].name", "twice"},
    {OUTPUTS("{\"name\":\"stats\"},{\"name\":\"stats.max\"}"), VALUE, "outputs[1].name",
     "stats.max is asked for twice"},
    {OUTPUTS("{\"name\":\"stats.max\"},{\"name\":\"stats\"}"), VALUE, "outputs[1].name",
     "stats is asked for twice"},
    {OUTPUTS("{\"name\":\"attn_weights.values\"}"), VALUE, "outputs", "top_k"},
    {OUTPUTS("{\"name\":\"scores.indices\"}"), VALUE, "outputs", "top_k"},
    {OUTPUTS("{\"name\":\"q\",\"data\":[]}"), FIELD, "outputs[0].data", "name, parameters"},
    {OUTPUTS("{\"name\":\"q\",\"parameters\":{\"classification\":3}}"), FIELD,
     "outputs[0].parameters.classification", "binary_data"},
    {OUTPUTS("{\"name\":\"q\",\"parameters\":{\"binary_data\":\"no\"}}"), VALUE,
     "outputs[0].parameters.binary_data", "true or false"},
};

static const struct {
    const char *json, *binary;
    size_t binary_length;
    long header;
    problem_code code;
    const char *path, *said;
} damaged_binary[] = {
    {WITH(",\"parameters\":{\"binary_data_size\":8},\"data\":[1,2]"), EIGHT, JSON_ONLY, VALUE,
     "inputs[0].data", "both"},
    {WITH(",\"parameters\":{\"binary_data_size\":-8}"), "", 0, JSON_ONLY, VALUE,
     "inputs[0].parameters.binary_data_size", "-8"},
    {WITH(",\"parameters\":{\"binary_data_size\":\"8\"}"), "", 0, JSON_ONLY, VALUE,
     "inputs[0].parameters.binary_data_size", "a string"},
    {WITH(",\"parameters\":{\"binary_data_size\":18446744073709551616}"), "", 0, JSON_ONLY, VALUE,
     "inputs[0].parameters.binary_data_size", "18446744073709551616"},
    {QUERY_SIZED("[1,16777216,16777216,16777216]", "FP32", "0"), "", 0, JSON_ONLY, SHAPE, "query",
     "no memory"},
    {QUERY_SIZED("[1,2]", "FP32", "8"), EIGHT, NO_HEADER, TENSOR, "query", OIP_LENGTH_HEADER},
    {QUERY_SIZED("[1,2]", "FP32", "8"), "1234567", 7, JSON_ONLY, TENSOR, "query", "only 7 bytes"},
    {QUERY_SIZED("[1,2]", "FP32", "8"), "\0\0\0\0\0\0\0\0\0", 9, JSON_ONLY, TENSOR, "inputs", "1 bytes more"},
    {INPUTS(QUERY), "x", 1, JSON_ONLY, TENSOR, "inputs", "1 bytes more"},
    {QUERY_SIZED("[1,2]", "FP32", "7"), EIGHT, JSON_ONLY, TENSOR, "query", "takes 8 bytes"},
    {QUERY_SIZED("[1,2]", "FP64", "8"), EIGHT, JSON_ONLY, TENSOR, "query", "takes 16 bytes"},
    {INPUTS(SIZED("query", "[1,2]", "FP32", "8") "," SIZED("key", "[1,2]", "FP32", "8")), EIGHT, JSON_ONLY,
     TENSOR, "key", "only 0 bytes"},
    {QUERY_SIZED("[1,2]", "FP32", "9007199254740992"), EIGHT, JSON_ONLY, TENSOR, "query", "takes 8 bytes"},
    {QUERY_SIZED("[1,2]", "FP32", "8"), "\0\0\0\0\0\0\xc0\x7f", 8, JSON_ONLY, VALUE, "query[0][1]", "NaN"},
    {QUERY_SIZED("[1,2]", "FP32", "8"), "\0\0\x80\xff\0\0\0\0", 8, JSON_ONLY, VALUE, "query[0][0]", "finite"},
    {INPUTS(SIZED("attn_mask", "[1,2]", "FP32", "8")), "\0\0\0\0\0\0\x80\x7f", 8, JSON_ONLY, VALUE,
     "attn_mask[0][1]", "infinity"},
    {QUERY_SIZED("[1]", "FP64", "8"), "\0\0\0\0\0\0\0\x50", 8, JSON_ONLY, VALUE, "query[0]", "float32"},
    {QUERY_SIZED("[2]", "FP16", "4"), "\0\0\0\x7c", 4, JSON_ONLY, VALUE, "query[1]", "infinity"},
    {QUERY_SIZED("[2]", "BF16", "4"), "\x81\xff\0\0", 4, JSON_ONLY, VALUE, "query[0]", "NaN"},
    {INPUTS(SIZED("key_padding_mask", "[3]", "BOOL", "3")), "\0\1\2", 3, JSON_ONLY, TENSOR,
     "key_padding_mask[2]", "0x02"},
    {QUERY_SIZED("[2]", "BOOL", "2"), "\0\1", 2, JSON_ONLY, TENSOR, "query", "BOOL"},
    {INPUTS(QUERY), "", 0, 0, VALUE, "", "is 0"},
    {INPUTS(QUERY), "", 0, 999, VALUE, "", "is 999"},
    {INPUTS(QUERY), "", 0, 20, JSON, "inputs[0].name", "string"},
    {INPUTS(QUERY) "  ", "", 0, sizeof INPUTS(QUERY) - 2, JSON, "", "comma or }"},
    {INPUTS(QUERY), EIGHT, sizeof INPUTS(QUERY) + 3, JSON, "", "the end of the JSON"},
};

#endif
