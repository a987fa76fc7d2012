/* Hugging Face's objects about rotary embeddings, against what transformers makes of them. */
#include "core/model/rope_config.h"

#include "core/model/files/json_value.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static json_t *parsed(const char *text) {
    json_t *object;
    attn_error error = {""};
    cr_assert_eq(attn_json_parse("text", text, strlen(text), &object, &error), ATTN_OK, "%s: %s", text,
                 error.text);
    return object;
}

/* Four rotated dims, and a theta that no default has. */
static const attn_rope before = {.style = ATTN_ROPE_INTERLEAVED, .dims = 4, .theta = 12345};

static attn_rope taken(const char *text, double max_positions) {
    json_t *object = parsed(text);
    attn_rope rope = before;
    attn_error error = {""};
    cr_expect_eq(attn_rope_scaling_from_json("file: rope", object, max_positions, &rope, NULL, &error),
                 ATTN_OK, "%s: %s", text, error.text);
    cr_expect(rope.style == before.style && rope.dims == before.dims && rope.theta == before.theta);
    json_decref(object);
    return rope;
}

#define ORIGINAL(positions) ",\"original_max_position_embeddings\":" positions
#define LLAMA3_BANDS                                                                                         \
    "{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0"

/* The magnitudes come from transformers 5.24.0, with S the object and P the positions:
 *   from transformers import LlamaConfig
 *   from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS as F
 *   c = LlamaConfig(hidden_size=4, num_attention_heads=1, max_position_embeddings=P, rope_theta=10000.0,
 * rope_scaling=S) print(float(F[c.rope_parameters["rope_type"]](c, "cpu")[1]).hex()) */
static const struct {
    const char *text;
    double positions, magnitude;
    attn_rope_scaling scaling;
    double factor, original;
} served[] = {
    {"{}", 0, 1, ATTN_ROPE_UNSCALED, 1, 0},
    {"{\"rope_type\":\"default\",\"rope_theta\":5e5,\"partial_rotary_factor\":0.5}", 9, 1, ATTN_ROPE_UNSCALED,
     1, 0},
    {"{\"type\":\"linear\",\"factor\":8.0}", 0, 1, ATTN_ROPE_LINEAR, 8, 0},
    {"{\"rope_type\":\"linear\",\"type\":\"mrope\",\"factor\":1}", 7, 1, ATTN_ROPE_LINEAR, 1, 0},
    {"{\"rope_type\":\"dynamic\",\"factor\":2.0}", 2048, 1, ATTN_ROPE_DYNAMIC, 2, 2048},
    {"{\"rope_type\":\"dynamic\",\"factor\":2.0" ORIGINAL("512") "}", 0, 1, ATTN_ROPE_DYNAMIC, 2, 512},
    /* What is known of the model comes before the key, which transformers does not read here. */
    {"{\"rope_type\":\"dynamic\",\"factor\":2.0" ORIGINAL("512") "}", 2048, 1, ATTN_ROPE_DYNAMIC, 2, 2048},
    {"{\"type\":\"yarn\",\"factor\":4.0" ORIGINAL("32768") "}", 131072, 0x1.237d37fe5d298p+0, ATTN_ROPE_YARN,
     4, 32768},
    {"{\"type\":\"yarn\",\"rope_type\":\"yarn\",\"factor\":40,\"original_max_position_embeddings\":4096,"
     "\"mscale\":0.707,\"mscale_all_dim\":1.0,\"beta_fast\":32,\"beta_slow\":1}",
     131072, 0x1.d792dd14a1051p-1, ATTN_ROPE_YARN, 40, 4096},
    {"{\"rope_type\":\"yarn\",\"factor\":40,\"original_max_position_embeddings\":4096,\"mscale\":0.707,"
     "\"mscale_all_dim\":0}",
     131072, 0x1.5e6f70bd6e39cp+0, ATTN_ROPE_YARN, 40, 4096},
    {"{\"rope_type\":\"yarn\",\"factor\":32.0" ORIGINAL("4096") ",\"attention_factor\":1.25}", 0, 1.25,
     ATTN_ROPE_YARN, 32, 4096},
    {"{\"rope_type\":\"yarn\",\"factor\":null" ORIGINAL("8192") "}", 163840, 0x1.4cb0d4be3fa50p+0,
     ATTN_ROPE_YARN, 20, 8192},
    {"{\"rope_type\":\"yarn\",\"factor\":1.0" ORIGINAL("8192") "}", 131072, 1, ATTN_ROPE_YARN, 1, 8192},
    {"{\"rope_type\":\"yarn\",\"factor\":2.0}", 2048, 0x1.11be9bff2e94cp+0, ATTN_ROPE_YARN, 2, 2048},
#define FACTORS ",\"short_factor\":[1.0,1.5],\"long_factor\":[2,3]"
    {"{\"type\":\"su\"" FACTORS ORIGINAL("4096") "}", 131072, 0x1.30b3713738289p+0, ATTN_ROPE_LONGROPE, 32,
     4096},
    {"{\"type\":\"longrope\"" FACTORS ORIGINAL("4096") "}", 131072, 0x1.30b3713738289p+0, ATTN_ROPE_LONGROPE,
     32, 4096},
    {"{\"rope_type\":\"longrope\",\"factor\":8.0" FACTORS ORIGINAL("4096") "}", 131072, 0x1.1e3779b97f4a8p+0,
     ATTN_ROPE_LONGROPE, 8, 4096},
    {"{\"rope_type\":\"longrope\",\"factor\":8.0,\"attention_factor\":0.5" FACTORS ORIGINAL("4096") "}", 0,
     0.5, ATTN_ROPE_LONGROPE, 8, 4096},
    {"{\"rope_type\":\"longrope\"" FACTORS ORIGINAL("4096") "}", 4096, 1, ATTN_ROPE_LONGROPE, 1, 4096},
    {LLAMA3_BANDS ORIGINAL("8192") "}", 131072, 1, ATTN_ROPE_LLAMA3, 8, 8192},
    {LLAMA3_BANDS "}", 131072, 1, ATTN_ROPE_LLAMA3, 8, 131072},
};

Test(rope_config, what_transformers_makes_of_it) {
    for (size_t i = 0; i < sizeof served / sizeof served[0]; i++) {
        const attn_rope rope = taken(served[i].text, served[i].positions);
        cr_expect_eq(rope.scaling, served[i].scaling, "%s", served[i].text);
        cr_expect_eq(rope.factor, served[i].factor, "%s: factor %g", served[i].text, rope.factor);
        cr_expect_eq(rope.original_length, served[i].original, "%s: original length %g", served[i].text,
                     rope.original_length);
        cr_expect(fabs(rope.magnitude - served[i].magnitude) <= 1e-15 * served[i].magnitude,
                  "%s: magnitude %a", served[i].text, rope.magnitude);
    }
}

Test(rope_config, nothing_is_no_scaling) {
    attn_rope rope = before;
    json_t *null = json_null();
    cr_expect_eq(attn_rope_scaling_from_json("file", NULL, 0, &rope, NULL, NULL), ATTN_OK);
    cr_expect(rope.scaling == ATTN_ROPE_UNSCALED && rope.magnitude == 1 && rope.factor == 1);
    cr_expect_eq(attn_rope_scaling_from_json("file", null, 0, &rope, NULL, NULL), ATTN_OK);
    cr_expect(rope.scaling == ATTN_ROPE_UNSCALED && rope.dims == 4 && rope.theta == 12345);
}

#define YARN   "{\"rope_type\":\"yarn\",\"factor\":2,\"original_max_position_embeddings\":64"
#define LLAMA3 "{\"rope_type\":\"llama3\",\"factor\":2,\"original_max_position_embeddings\":64"

Test(rope_config, the_ramp_of_yarn) {
    attn_rope rope = taken(YARN "}", 0);
    cr_expect(rope.beta_fast == 32 && rope.beta_slow == 1 && rope.truncate);
    rope = taken(YARN ",\"beta_fast\":16.5,\"beta_slow\":2,\"truncate\":false}", 0);
    cr_expect(rope.beta_fast == 16.5 && rope.beta_slow == 2 && !rope.truncate);
    /* 0 is no number to `or`, and None no true to `if`. */
    rope = taken(YARN ",\"beta_fast\":0,\"beta_slow\":0,\"truncate\":null}", 0);
    cr_expect(rope.beta_fast == 32 && rope.beta_slow == 1 && !rope.truncate);
    rope =
        taken(YARN ",\"beta_fast\":null,\"beta_slow\":null,\"truncate\":true,\"attention_factor\":null}", 0);
    cr_expect(rope.beta_fast == 32 && rope.beta_slow == 1 && rope.truncate);
}

Test(rope_config, the_bands_of_llama3) {
    const attn_rope rope = taken(LLAMA3 ",\"low_freq_factor\":1.5,\"high_freq_factor\":4}", 0);
    cr_expect(rope.low_frequency_factor == 1.5 && rope.high_frequency_factor == 4);
}

#define LONGROPE "{\"rope_type\":\"longrope\",\"factor\":2,\"original_max_position_embeddings\":64"

Test(rope_config, the_divisors_of_longrope) {
    json_t *object = parsed(LONGROPE ",\"short_factor\":[1.5,0.1],\"long_factor\":[3,4e10]}");
    float numbers[2][2];
    cr_expect_eq(attn_rope_factors_from_json("file", object, &before, numbers[0], numbers[1], NULL), ATTN_OK);
    cr_expect(numbers[0][0] == 1.5f && numbers[0][1] == 0.1f);
    cr_expect(numbers[1][0] == 3.0f && numbers[1][1] == 4e10f);
    json_decref(object);
}

#define POSITIVE   "expected a number above 0 that float32 can hold"
#define ONE_OF_ALL "expected one of default, linear, dynamic, yarn, longrope, su, llama3, found"

static const struct {
    const char *text, *says;
} refused[] = {
    {"{\"rope_type\":\"mrope\"}", "file: rope: \"rope_type\": " ONE_OF_ALL " \"mrope\""},
    {"{\"type\":\"ntk\"}", "\"type\": expected one of default"},
    {"{\"type\":7}", "\"type\": " ONE_OF_ALL " 7"},
    {"{\"type\":null}", "\"type\": expected one of"},
    {"{\"factor\":8}", "of type \"default\": unknown key \"factor\": known are rope_type, type, rope_theta, "
                       "partial_rotary_factor"},
    {"{\"type\":\"linear\"}", "of type \"linear\": \"factor\" is missing"},
    {"{\"type\":\"linear\",\"factor\":null}", "\"factor\": " POSITIVE ", found null"},
    {"{\"type\":\"linear\",\"factor\":0.5}", "\"factor\": expected a number of at least 1, found 0.5"},
    {"{\"type\":\"linear\",\"factor\":-2}", "\"factor\": expected a number above 0"},
    {"{\"type\":\"linear\",\"factor\":1e39}", "\"factor\": " POSITIVE ", found"},
    {"{\"type\":\"linear\",\"factor\":\"2\"}", "\"factor\": " POSITIVE ", found \"2\""},
    {"{\"type\":\"linear\",\"factor\":2,\"beta_fast\":32}", "unknown key \"beta_fast\""},
    {"{\"type\":\"dynamic\"}", "of type \"dynamic\": \"factor\" is missing"},
    {"{\"type\":\"dynamic\",\"factor\":2}", "\"original_max_position_embeddings\" is missing"},
    {"{\"type\":\"dynamic\",\"factor\":2,\"alpha\":1000}", "unknown key \"alpha\": known are rope_type"},
    {"{\"type\":\"dynamic\",\"factor\":2" ORIGINAL("0") "}",
     "\"original_max_position_embeddings\": expected a whole number from 1 to 2147483647, found 0"},
    {"{\"type\":\"dynamic\",\"factor\":2" ORIGINAL("8.5") "}",
     "\"original_max_position_embeddings\": expected a whole number"},
    {"{\"type\":\"yarn\",\"factor\":2}", "\"original_max_position_embeddings\" is missing"},
    {"{\"type\":\"yarn\"" ORIGINAL("8") "}", "\"factor\" is missing"},
    {YARN ",\"llama_4_scaling_beta\":0.1}", "unknown key \"llama_4_scaling_beta\""},
    {YARN ",\"attention_factor\":0}", "\"attention_factor\": expected a number above 0"},
    {YARN ",\"mscale\":-100,\"mscale_all_dim\":1}",
     "expected an attention factor above 0, found that these numbers make it -5.54"},
    {YARN ",\"mscale\":\"1\"}", "\"mscale\": expected a number that float32 can hold, found \"1\""},
    {YARN ",\"beta_fast\":1,\"beta_slow\":2}",
     "expected beta_fast to be at least beta_slow, and that above 0, found 1 and 2"},
    {YARN ",\"beta_slow\":-1}", "expected beta_fast to be at least beta_slow"},
    {YARN ",\"truncate\":0}", "\"truncate\": expected true or false, found 0"},
    {LONGROPE "}", "\"short_factor\" is missing"},
    {LONGROPE ",\"short_factor\":[1,2]}", "\"long_factor\" is missing"},
    {LONGROPE ",\"short_factor\":[1,2],\"long_factor\":[1,2,3]}",
     "\"long_factor\": expected 2 numbers, found 3"},
    {LONGROPE ",\"short_factor\":2,\"long_factor\":[1,2]}",
     "\"short_factor\": expected an array of 2 numbers, found 2"},
    {LONGROPE ",\"short_factor\":[1,0],\"long_factor\":[1,2]}", "\"short_factor\"[1]: " POSITIVE ", found 0"},
    {LONGROPE ",\"short_factor\":[1,2],\"long_factor\":[true,2]}",
     "\"long_factor\"[0]: " POSITIVE ", found true"},
    {"{\"type\":\"su\"" ORIGINAL("8") FACTORS "}", "\"factor\" is missing"},
    {"{\"type\":\"su\"" ORIGINAL("1") ",\"factor\":2" FACTORS "}",
     "expected an attention factor above 0, found that these numbers make it inf"},
    {LLAMA3 ",\"high_freq_factor\":4}", "\"low_freq_factor\" is missing"},
    {LLAMA3 ",\"low_freq_factor\":1}", "\"high_freq_factor\" is missing"},
    {LLAMA3 ",\"low_freq_factor\":0,\"high_freq_factor\":4}",
     "\"low_freq_factor\": expected a number above 0"},
    {LLAMA3 ",\"low_freq_factor\":4,\"high_freq_factor\":4}",
     "\"high_freq_factor\": expected more than low_freq_factor, which is 4, found 4"},
    {LLAMA3 ",\"low_freq_factor\":1,\"high_freq_factor\":4,\"attention_factor\":1}",
     "unknown key \"attention_factor\""},
};

static void expect_refused(const char *text, const attn_rope *given, const char *says) {
    json_t *object = parsed(text);
    attn_rope rope = *given;
    attn_error error = {""};
    cr_expect_eq(attn_rope_scaling_from_json("file: rope", object, 0, &rope, NULL, &error), ATTN_BAD_MODEL,
                 "%s is served", text);
    cr_expect_not_null(strstr(error.text, says), "%s: '%s' lacks '%s'", text, error.text, says);
    cr_expect_eq(strncmp(error.text, "file: rope", 10), 0);
    cr_expect(rope.factor == 0 && rope.magnitude == 0, "%s: changed", text);
    json_decref(object);
}

Test(rope_config, what_is_refused) {
    attn_rope two_dims = before, theta_1 = before;
    two_dims.dims = 2;
    theta_1.theta = 1;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        expect_refused(refused[i].text, &before, refused[i].says);
    expect_refused("{\"type\":\"dynamic\",\"factor\":2" ORIGINAL("8") "}", &two_dims,
                   "expected more than 2 rotated dims for the type dynamic, found 2");
    expect_refused(YARN "}", &theta_1, "expected a theta above 1, found 1");
}

/* The length before YaRN cannot be beyond the one after it. */
Test(rope_config, a_ratio_of_lengths_below_1) {
    json_t *object = parsed("{\"type\":\"yarn\",\"original_max_position_embeddings\":64}");
    attn_rope rope = before;
    attn_error error = {""};
    cr_expect_eq(attn_rope_scaling_from_json("file", object, 32, &rope, NULL, &error), ATTN_BAD_MODEL);
    cr_expect_str_eq(error.text,
                     "file: expected an original_max_position_embeddings of at most 32, found 64");
    json_decref(object);
}

static attn_status base(const char *text, size_t head_dim, double *theta, size_t *dims, attn_error *error) {
    json_t *object = parsed(text);
    const attn_status status = attn_rope_base_from_json("file", object, head_dim, theta, dims, error);
    json_decref(object);
    return status;
}

Test(rope_config, theta_and_the_part_that_is_rotated) {
    double theta = 1;
    size_t dims = 2;
    attn_error error = {""};
    cr_expect_eq(base("{\"rope_theta\":null,\"partial_rotary_factor\":null}", 80, &theta, &dims, &error),
                 ATTN_OK);
    cr_expect(theta == 1 && dims == 2);
    cr_expect_eq(base("{\"rope_theta\":1e6,\"partial_rotary_factor\":0.4}", 80, &theta, &dims, &error),
                 ATTN_OK);
    cr_expect(theta == 1e6 && dims == 32);
    cr_expect_eq(base("{\"partial_rotary_factor\":0.25}", 10, &theta, &dims, &error), ATTN_OK);
    cr_expect(theta == 1e6 && dims == 2); /* int(2.5) */
    cr_expect_eq(base("{\"partial_rotary_factor\":1}", 10, &theta, &dims, &error), ATTN_OK);
    cr_expect_eq(dims, 10);
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{\"rope_theta\":0}", "\"rope_theta\": expected a number above 0"},
        {"{\"rope_theta\":\"x\"}",
         "\"rope_theta\": expected a number above 0 that float32 can hold, found \"x\""},
        {"{\"partial_rotary_factor\":0}", "\"partial_rotary_factor\": expected a number above 0"},
        {"{\"partial_rotary_factor\":1.5}", "\"partial_rotary_factor\": expected at most 1"},
        {"{\"partial_rotary_factor\":0.1}", "enough for 2 of the 10 numbers of a head, found 0.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(base(cases[i].text, 10, &theta, &dims, &error), ATTN_BAD_MODEL, "%s", cases[i].text);
        cr_expect_not_null(strstr(error.text, cases[i].says), "'%s' lacks '%s'", error.text, cases[i].says);
    }
    cr_expect(theta == 1e6 && dims == 10);
}

Test(rope_config, dims_of_a_head) {
    attn_rope rope = {.dims = 0};
    attn_error error = {""};
    cr_expect_eq(attn_rope_complete("file", 6, &rope, &error), ATTN_OK);
    cr_expect_eq(rope.dims, 6);
    rope.dims = 4;
    cr_expect_eq(attn_rope_complete("file", 7, &rope, &error), ATTN_OK);
    cr_expect_eq(rope.dims, 4);
    static const size_t bad[][2] = {{7, 0}, {7, 3}, {6, 8}}; /* head_dim, dims */
    for (size_t i = 0; i < 3; i++) {
        rope.dims = bad[i][1];
        cr_expect_eq(attn_rope_complete("file", bad[i][0], &rope, &error), ATTN_BAD_MODEL, "case %zu", i);
        cr_expect_not_null(strstr(error.text, "expected an even number of rotated dims, at most head_dim"));
    }
}
