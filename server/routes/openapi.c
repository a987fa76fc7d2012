/* openapi.c: what GET /openapi.json says. The parts that say what a request may hold come from the tables
 * that the decoders use; the rest is server/openapi.json. */
#include "server/assets.h"
#include "server/attend/fields.h"
#include "server/attend/outputs.h"
#include "server/problem.h"
#include "server/routes/handlers.h"

#include <string.h>

#define WIDEST_EXAMPLE                                                                                       \
    ((size_t)4096) /* numbers in a row of an example; a wider model gets one without rows */

/* A document under construction: false once memory has run out for any part of it. */
typedef struct {
    bool complete;
} builder;

/* Both take over the value; NULL is one for which there was no memory. */
static void put(builder *b, json_t *object, const char *key, json_t *value) {
    b->complete &= json_object_set_new(object, key, value) == 0;
}

static void append(builder *b, json_t *array, json_t *value) {
    b->complete &= json_array_append_new(array, value) == 0;
}

static json_t *words_of(builder *b, const field *f) {
    json_t *list = json_array();
    for (size_t i = 0; field_word(f, i) != NULL; i++)
        append(b, list, json_string(field_word(f, i)));
    return list;
}

static json_t *reference(const char *schema) {
    return json_pack("{s:s+}", "$ref", "#/components/schemas/", schema);
}

static json_t *whole_numbers(const field *f) {
    return json_pack("{s:s, s:i, s:I}", "type", "integer", "minimum", 0, "maximum", (json_int_t)f->most);
}

/* Null stands for absent in every field. */
static json_t *schema_of(builder *b, const field *f) {
    switch (f->type) {
    case FIELD_STRING:
        return json_pack("{s:[s,s], s:I}", "type", "string", "null", "maxLength", (json_int_t)f->most);
    case FIELD_BOOL:
    case FIELD_SWITCH:
        return json_pack("{s:[s,s]}", "type", "boolean", "null");
    case FIELD_WHOLE:
        return json_pack("{s:[s,s], s:i, s:I}", "type", "integer", "null", "minimum", 0, "maximum",
                         (json_int_t)f->most);
    case FIELD_WHOLES:
        return json_pack("{s:[s,s], s:o, s:i, s:I, s:b}", "type", "array", "null", "items", whole_numbers(f),
                         "minItems", 1, "maxItems", (json_int_t)f->most_items, "uniqueItems", 1);
    case FIELD_PAIR:
        return json_pack("{s:[s,s], s:o, s:i, s:i}", "type", "array", "null", "items", whole_numbers(f),
                         "minItems", 2, "maxItems", 2);
    case FIELD_WORD: {
        json_t *words = words_of(b, f);
        append(b, words, json_null());
        return json_pack("{s:o}", "enum", words);
    }
    case FIELD_WORDS:
        return json_pack("{s:[s,s], s:{s:o}, s:b}", "type", "array", "null", "items", "enum", words_of(b, f),
                         "uniqueItems", 1);
    case FIELD_LABELS:
        return json_pack("{s:[s,s], s:{s:s, s:I}, s:I}", "type", "array", "null", "items", "type", "string",
                         "maxLength", (json_int_t)f->most, "maxItems", (json_int_t)f->most_items);
    case FIELD_VIEW:
        return reference("View");
    case FIELD_TENSOR:
        return reference("Tensor");
    case FIELD_MASK:
        return reference("Mask");
    }
    return NULL;
}

static json_t *properties_of(builder *b, const field_table *table) {
    json_t *properties = json_object();
    for (size_t i = 0; i < table->count; i++) {
        json_t *schema = schema_of(b, &table->fields[i]);
        put(b, schema, "description", json_string(table->fields[i].text));
        put(b, properties, table->fields[i].name, schema);
    }
    return properties;
}

static json_t *object_of(builder *b, const attend_output *members) {
    const size_t object = (size_t)(strchr(members->name, '.') + 1 - members->name);
    json_t *names = json_array(), *properties = json_object();
    for (; members->name != NULL; members++) {
        append(b, names, json_string(members->name + object));
        put(b, properties, members->name + object, reference("Result"));
    }
    return json_pack("{s:s, s:o, s:b, s:o}", "type", "object", "required", names, "additionalProperties", 0,
                     "properties", properties);
}

/* Those of the text, with the outputs where it says so. */
static json_t *answer_properties(builder *b, json_t *text) {
    json_t *properties = json_object(), *schema;
    const char *key;
    json_object_foreach(text, key, schema) {
        if (strcmp(key, "outputs") != 0) {
            put(b, properties, key, json_incref(schema));
            continue;
        }
        for (const attend_output *o = attend_outputs; o->name != NULL; o++)
            put(b, properties, o->name,
                o->is_map            ? reference("Map")
                : o->members != NULL ? object_of(b, o->members)
                                     : reference("Result"));
    }
    return properties;
}

static json_t *codes(builder *b) {
    json_t *list = json_array();
    for (int code = PROBLEM_NONE + 1; code < PROBLEM_COUNT; code++)
        append(b, list, json_string(problem_name((problem_code)code)));
    return list;
}

/* [rows, width] of small whole numbers that differ from row to row. */
static json_t *rows_of(builder *b, size_t rows, size_t width) {
    json_t *matrix = json_array();
    for (size_t i = 0; i < rows && width <= WIDEST_EXAMPLE; i++) {
        json_t *row = json_array();
        for (size_t c = 0; c < width; c++)
            append(b, row, json_integer((json_int_t)((c + 1) * (i + 1) % 5) - 2));
        append(b, matrix, row);
    }
    return matrix;
}

/* An example is a request for the default model, as it stands; `more` is a JSON text without its braces. */
static void add_example(builder *b, json_t *examples, const attn_model *model, const char *name,
                        const char *summary, const char *more) {
    const attn_config *c = &model->layer.config;
    json_t *value = json_loads(more, 0, NULL);
    put(b, value, "query", rows_of(b, 2, c->embed_dim));
    if (c->kdim != c->embed_dim || c->vdim != c->kdim) {
        put(b, value, "key", rows_of(b, 2, c->kdim));
        put(b, value, "value", rows_of(b, 2, c->vdim));
    }
    put(b, examples, name, json_pack("{s:s, s:o}", "summary", summary, "value", value));
}

static json_t *examples_for(builder *b, const attn_model *model) {
    json_t *examples = json_object();
    add_example(b, examples, model, "self", "Self-attention over two tokens.", "{}");
    add_example(b, examples, model, "causal",
                "Each token sees itself and those before, and the weights are returned.",
                "{\"is_causal\": true, \"need_weights\": true, \"id\": \"an example\"}");
    add_example(
        b, examples, model, "summary", "Numbers about the weights instead of all of them.",
        "{\"return\": [\"stats\", \"entropy\", \"lse\"], \"need_weights\": true, \"view\": {\"heads\": [0], "
        "\"top_k\": 1}}");
    return examples;
}

/* The JSON form of a request body. */
static json_t *media_of(json_t *bodies, const char *name) {
    return json_object_get(json_object_get(json_object_get(bodies, name), "content"), "application/json");
}

/* The same in the words of the Open Inference Protocol. */
static json_t *inference_examples_for(builder *b, const attn_model *model) {
    const attn_config *c = &model->layer.config;
    const struct {
        const char *name;
        size_t width;
    } inputs[] = {{"query", c->embed_dim}, {"key", c->kdim}, {"value", c->vdim}};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        json_t *data = rows_of(b, 2, inputs[i].width);
        const int rows = (int)json_array_size(data);
        append(b, list,
               json_pack("{s:s, s:s, s:[i,I], s:o}", "name", inputs[i].name, "datatype", "FP32", "shape",
                         rows, (json_int_t)inputs[i].width, "data", data));
    }
    return json_pack("{s:{s:s, s:{s:o, s:{s:b}}}}", "self", "summary",
                     "Two tokens, each of which sees itself and those before.", "value", "inputs", list,
                     "parameters", "is_causal", 1);
}

static json_t *describe_all(builder *b, const attn_model *model) {
    const asset text = asset_openapi();
    json_t *root = json_loadb(text.bytes, text.length, 0, NULL);
    json_t *components = json_object_get(root, "components"),
           *schemas = json_object_get(components, "schemas");
    json_t *bodies = json_object_get(components, "requestBodies");
    put(b, json_object_get(root, "info"), "version", json_string(ATTEND_VERSION));
    put(b, media_of(bodies, "Attend"), "examples", examples_for(b, model));
    put(b, media_of(bodies, "OipInfer"), "examples", inference_examples_for(b, model));
    put(b, json_object_get(schemas, "AttendRequest"), "properties", properties_of(b, &request_fields));
    json_t *answer = json_object_get(schemas, "AttendAnswer");
    put(b, answer, "properties", answer_properties(b, json_object_get(answer, "properties")));
    put(b, json_object_get(schemas, "View"), "properties", properties_of(b, &view_fields));
    put(b, json_object_get(json_object_get(json_object_get(schemas, "Problem"), "properties"), "code"),
        "enum", codes(b));
    return root;
}

json_t *describe_api(const snapshot *s) {
    builder b = {.complete = true};
    json_t *root = describe_all(&b, s->models.models[0]);
    if (b.complete)
        return root;
    json_decref(root);
    return NULL;
}
