/* What a config.json may hold, key by key, and the sentences about what it may not. */
#include "core/model/config.h"

#include "core/model/files/json_value.h"

#include <criterion/criterion.h>
#include <string.h>

static json_t *parsed(const char *text) {
    json_t *object;
    attn_error error = {""};
    cr_assert_eq(attn_json_parse("text", text, strlen(text), &object, &error), ATTN_OK, "%s: %s", text,
                 error.text);
    return object;
}

static attn_config taken(const char *text) {
    json_t *object = parsed(text);
    attn_config config = {.embed_dim = 0};
    attn_error error = {""};
    cr_expect_eq(attn_config_from_json("file", object, ATTN_FLOAT32, &config, &error), ATTN_OK, "%s: %s",
                 text, error.text);
    json_decref(object);
    return config;
}

/* Four heads of six numbers each. */
#define HEADS "{\"embed_dim\":24,\"num_heads\":4"

Test(config, defaults) {
    static const char *const texts[] = {
        HEADS "}",
        HEADS
        ",\"kdim\":null,\"vdim\":null,\"bias\":null,\"dropout\":null,\"add_bias_kv\":null,"
        "\"add_zero_attn\":null,\"num_kv_heads\":null,\"head_dim\":null,\"scale\":null,\"softcap\":null,"
        "\"causal\":null,\"sliding_window\":null,\"rope\":null,\"qk_norm\":null,\"alibi_slopes\":null,"
        "\"relative_bias\":null,\"precision\":null}",
        HEADS ",\"kdim\":24,\"vdim\":24,\"bias\":true,\"dropout\":0,\"add_bias_kv\":false,"
              "\"add_zero_attn\":false,\"num_kv_heads\":4,\"head_dim\":6,\"causal\":false,"
              "\"precision\":\"float32\"}",
    };
    for (size_t i = 0; i < 3; i++) {
        const attn_config c = taken(texts[i]);
        cr_expect(c.embed_dim == 24 && c.num_heads == 4 && c.kdim == 24 && c.vdim == 24);
        cr_expect(c.num_kv_heads == 4 && c.head_dim == 6 && c.bias && c.dropout == 0);
        cr_expect(!c.add_bias_kv && !c.add_zero_attn && !c.scale_given && c.softcap == 0 && !c.causal);
        cr_expect(c.sliding_window == 0 && !c.alibi && !c.qk_norm && !c.sinks);
        cr_expect(c.rope.style == ATTN_ROPE_NONE && c.relative_bias.buckets == 0);
    }
}

Test(config, every_simple_key) {
    const attn_config c =
        taken("{\"embed_dim\":10,\"num_heads\":6,\"kdim\":3,\"vdim\":5,\"bias\":false,\"dropout\":0.25,"
              "\"add_bias_kv\":true,\"add_zero_attn\":true,\"num_kv_heads\":2,\"head_dim\":7,\"softcap\":50,"
              "\"causal\":true,\"sliding_window\":2147483647}");
    cr_expect(c.embed_dim == 10 && c.num_heads == 6 && c.kdim == 3 && c.vdim == 5 && !c.bias);
    cr_expect(c.dropout == 0.25 && c.add_bias_kv && c.add_zero_attn && c.num_kv_heads == 2);
    cr_expect(c.head_dim == 7, "%zu", c.head_dim); /* and 6 does not divide 10 */
    cr_expect(c.softcap == 50 && c.causal && c.sliding_window == 2147483647);
    cr_expect_eq(taken(HEADS ",\"sliding_window\":1,\"num_kv_heads\":1}").num_kv_heads, 1);
}

Test(config, query_and_key_norm) {
    attn_config c = taken(HEADS ",\"qk_norm\":{}}");
    cr_expect(c.qk_norm && c.qk_norm_eps == 1e-6);
    c = taken(HEADS ",\"qk_norm\":{\"eps\":1e-5}}");
    cr_expect(c.qk_norm && c.qk_norm_eps == 1e-5);
}

Test(config, relative_bias) {
    attn_config c = taken(HEADS ",\"relative_bias\":{\"buckets\":32,\"max_distance\":128}}");
    cr_expect(c.relative_bias.buckets == 32 && c.relative_bias.max_distance == 128);
    cr_expect(c.relative_bias.bidirectional);
    c = taken(HEADS ",\"causal\":true,\"relative_bias\":{\"buckets\":7,\"max_distance\":4}}");
    cr_expect(!c.relative_bias.bidirectional && c.relative_bias.buckets == 7);
    c = taken(HEADS ",\"causal\":true,\"relative_bias\":{\"buckets\":4,\"max_distance\":2,"
                    "\"bidirectional\":true}}");
    cr_expect(c.relative_bias.bidirectional);
    c = taken(HEADS ",\"relative_bias\":{\"buckets\":2,\"max_distance\":2,\"bidirectional\":false}}");
    cr_expect(!c.relative_bias.bidirectional);
}

Test(config, rope) {
    attn_rope r = taken(HEADS ",\"rope\":{}}").rope;
    cr_expect(r.style == ATTN_ROPE_HALF && r.theta == 10000 && r.dims == 6);
    cr_expect(r.scaling == ATTN_ROPE_UNSCALED && r.magnitude == 1);
    r = taken(HEADS ",\"rope\":{\"style\":\"interleaved\",\"theta\":500000.0,\"dims\":4,\"scaling\":null}}")
            .rope;
    cr_expect(r.style == ATTN_ROPE_INTERLEAVED && r.theta == 500000 && r.dims == 4);
    /* As transformers 5 writes it; the scaling sees the theta and dims that come out. */
    r = taken(HEADS
              ",\"rope\":{\"style\":\"half\",\"scaling\":{\"rope_type\":\"longrope\",\"rope_theta\":1e6,"
              "\"partial_rotary_factor\":0.7,\"factor\":4,\"original_max_position_embeddings\":16,"
              "\"short_factor\":[1,2],\"long_factor\":[3,4]}}}")
            .rope;
    cr_expect(r.style == ATTN_ROPE_HALF && r.theta == 1e6 && r.dims == 4);
    cr_expect(r.scaling == ATTN_ROPE_LONGROPE && r.factor == 4 && r.original_length == 16);
    r = taken(HEADS ",\"rope\":{\"theta\":100,\"dims\":2,\"scaling\":{\"rope_theta\":100.0,"
                    "\"partial_rotary_factor\":0.34}}}")
            .rope;
    cr_expect(r.theta == 100 && r.dims == 2);
}

/* ---- the arrays that stand in the configuration ---- */

/* Fills arrays of 4 heads and 4 rotated dims; those that must stay untouched are NULL. */
static void filled(const char *text, float *scale, float *slopes, float *rope_short, float *rope_long) {
    json_t *object = parsed(text);
    attn_config config;
    attn_error error = {""};
    float *arrays[ATTN_SLOTS] = {[ATTN_SCALE] = scale,
                                 [ATTN_ALIBI_SLOPES] = slopes,
                                 [ATTN_ROPE_SHORT] = rope_short,
                                 [ATTN_ROPE_LONG] = rope_long};
    cr_assert_eq(attn_config_from_json("file", object, ATTN_FLOAT32, &config, &error), ATTN_OK, "%s",
                 error.text);
    cr_expect_eq(config.scale_given, scale != NULL);
    cr_expect_eq(config.alibi, slopes != NULL);
    cr_expect_eq(attn_config_fill("file", object, &config, arrays, &error), ATTN_OK, "%s", error.text);
    json_decref(object);
}

Test(config, scale_and_slopes) {
    float scale[4] = {9, 9, 9, 9}, slopes[4] = {9, 9, 9, 9};
    filled(HEADS "}", NULL, NULL, NULL, NULL);
    filled(HEADS ",\"scale\":-0.1}", scale, NULL, NULL, NULL);
    for (size_t i = 0; i < 4; i++)
        cr_expect_eq(scale[i], -0.1f);
    filled(HEADS ",\"scale\":[1,0,0.3,-2],\"alibi_slopes\":[0.5,0.1,0,-1]}", scale, slopes, NULL, NULL);
    const float scales_expected[4] = {1, 0, 0.3f, -2}, slopes_expected[4] = {0.5f, 0.1f, 0, -1};
    cr_expect_arr_eq(scale, scales_expected, sizeof scale);
    cr_expect_arr_eq(slopes, slopes_expected, sizeof slopes);
}

Test(config, divisors_of_longrope) {
    float numbers[2][2];
    filled(HEADS ",\"rope\":{\"dims\":4,\"scaling\":{\"type\":\"longrope\",\"factor\":4,"
                 "\"original_max_position_embeddings\":16,\"short_factor\":[1,0.1],\"long_factor\":[3,4]}}}",
           NULL, NULL, numbers[0], numbers[1]);
    cr_expect(numbers[0][0] == 1 && numbers[0][1] == 0.1f && numbers[1][0] == 3 && numbers[1][1] == 4);
}

/* ---- what is refused ---- */

#define WHOLE         "expected a whole number from 1 to "
#define POSITIVE      "expected a number above 0 that float32 can hold, found "
#define BUCKETS(rest) HEADS ",\"relative_bias\":{" rest "}}"
#define ROPE(rest)    HEADS ",\"rope\":{" rest "}}"

static const struct {
    const char *text, *says;
} refused[] = {
    {"{\"num_heads\":4}", "file: \"embed_dim\" is missing"},
    {"{\"embed_dim\":24}", "file: \"num_heads\" is missing"},
    {"{\"embed_dim\":null,\"num_heads\":4}", "\"embed_dim\": " WHOLE "16777216, found null"},
    {"{\"embed_dim\":24,\"num_heads\":null}", "\"num_heads\": " WHOLE "16777216, found null"},
    {"{\"embed_dim\":24,\"num_heads\":5}", "num_heads 5: expected a divisor of embed_dim, which is 24"},
    {"{\"embed_dim\":24,\"num_heads\":25}", "num_heads 25: expected a divisor of embed_dim"},
    {HEADS ",\"heads\":4}",
     "file: unknown key \"heads\": known are embed_dim, num_heads, kdim, vdim, bias, dropout, add_bias_kv, "
     "add_zero_attn, num_kv_heads, head_dim, scale, softcap, causal, sliding_window, rope, qk_norm, "
     "alibi_slopes, relative_bias, precision"},
    {HEADS ",\"sinks\":true}", "unknown key \"sinks\""},
    {HEADS ",\"kdim\":0}", "\"kdim\": " WHOLE "16777216, found 0"},
    {HEADS ",\"vdim\":16777217}", "\"vdim\": " WHOLE "16777216, found 16777217"},
    {HEADS ",\"bias\":\"true\"}", "\"bias\": expected true or false, found \"true\""},
    {HEADS ",\"dropout\":1.5}", "\"dropout\": expected a number from 0 to 1, found 1.5"},
    {HEADS ",\"add_bias_kv\":1}", "\"add_bias_kv\": expected true or false, found 1"},
    {HEADS ",\"add_zero_attn\":[]}", "\"add_zero_attn\": expected true or false, found an array"},
    {HEADS ",\"num_kv_heads\":3}", "num_kv_heads 3: expected a divisor of num_heads, which is 4"},
    {HEADS ",\"num_kv_heads\":8}", "num_kv_heads 8: expected a divisor of num_heads"},
    {HEADS ",\"num_kv_heads\":0}", "\"num_kv_heads\": " WHOLE},
    {HEADS ",\"head_dim\":0}", "\"head_dim\": " WHOLE},
    {HEADS ",\"head_dim\":6.0}", "\"head_dim\": " WHOLE "16777216, found 6"},
    {HEADS ",\"head_dim\":4194305}", "num_heads 4 times head_dim 4194305: expected at most 16777216"},
    {"{\"embed_dim\":1,\"num_heads\":16777216,\"head_dim\":16777216}",
     "times head_dim 16777216: expected at most"},
    {HEADS ",\"scale\":\"1\"}", "\"scale\": expected a number that float32 can hold, found \"1\""},
    {HEADS ",\"scale\":1e39}", "\"scale\": expected a number that float32 can hold, found"},
    {HEADS ",\"scale\":[1,2,3]}", "\"scale\": expected 4 numbers, found 3"},
    {HEADS ",\"scale\":[1,2,3,4,5]}", "\"scale\": expected 4 numbers, found 5"},
    {HEADS ",\"scale\":[1,2,3,null]}", "\"scale\"[3]: expected a number that float32 can hold, found null"},
    {HEADS ",\"scale\":[1,2,-1e39,4]}", "\"scale\"[2]: expected a number that float32 can hold, found"},
    {HEADS ",\"softcap\":0}", "\"softcap\": " POSITIVE "0"},
    {HEADS ",\"softcap\":-1}", "\"softcap\": " POSITIVE "-1"},
    {HEADS ",\"softcap\":1e-60}", "\"softcap\": " POSITIVE},
    {HEADS ",\"softcap\":1e39}", "\"softcap\": " POSITIVE},
    {HEADS ",\"causal\":0}", "\"causal\": expected true or false, found 0"},
    {HEADS ",\"sliding_window\":0}", "\"sliding_window\": " WHOLE "2147483647, found 0"},
    {HEADS ",\"sliding_window\":2147483648}", "\"sliding_window\": " WHOLE "2147483647"},
    {HEADS ",\"sliding_window\":false}", "\"sliding_window\": " WHOLE "2147483647, found false"},
    {HEADS ",\"alibi_slopes\":0.5}", "\"alibi_slopes\": expected an array of 4 numbers, found 0.5"},
    {HEADS ",\"alibi_slopes\":[1]}", "\"alibi_slopes\": expected 4 numbers, found 1"},
    {HEADS ",\"alibi_slopes\":[1,2,3,1e39]}", "\"alibi_slopes\"[3]: expected a number that float32 can hold"},
    {HEADS ",\"precision\":\"fp32\"}",
     "\"precision\": expected one of float32, bfloat16, int8, found \"fp32\""},
    {HEADS ",\"precision\":32}", "\"precision\": expected one of float32, bfloat16, int8, found 32"},

    {HEADS ",\"qk_norm\":true}", "file: \"qk_norm\": expected an object, found true"},
    {HEADS ",\"qk_norm\":{\"epsilon\":1}}", "file: qk_norm: unknown key \"epsilon\": known are eps"},
    {HEADS ",\"qk_norm\":{\"eps\":0}}", "file: qk_norm: \"eps\": " POSITIVE "0"},
    {HEADS ",\"qk_norm\":{\"eps\":\"1e-6\"}}", "qk_norm: \"eps\": " POSITIVE "\"1e-6\""},

    {HEADS ",\"relative_bias\":32}", "\"relative_bias\": expected an object, found 32"},
    {BUCKETS(""), "file: relative_bias: \"buckets\" is missing"},
    {BUCKETS("\"buckets\":32"), "relative_bias: \"max_distance\" is missing"},
    {BUCKETS("\"buckets\":32,\"max_distance\":128,\"heads\":4"),
     "relative_bias: unknown key \"heads\": known are buckets, max_distance, bidirectional"},
    {BUCKETS("\"buckets\":1,\"max_distance\":128"),
     "\"buckets\": expected a whole number from 2 to 16777216"},
    {BUCKETS("\"buckets\":7,\"max_distance\":128"),
     "\"buckets\": expected an even number of at least 4 for both directions, found 7"},
    {BUCKETS("\"buckets\":2,\"max_distance\":128"), "\"buckets\": expected an even number of at least 4"},
    {BUCKETS("\"buckets\":32,\"max_distance\":8"),
     "\"max_distance\": expected more than 8, the distances that have a bucket of their own, found 8"},
    {BUCKETS("\"buckets\":32,\"max_distance\":16,\"bidirectional\":false"),
     "\"max_distance\": expected more than 16"},
    {BUCKETS("\"buckets\":32,\"max_distance\":2147483648"), "\"max_distance\": " WHOLE "2147483647"},
    {BUCKETS("\"buckets\":32,\"max_distance\":64,\"bidirectional\":1"),
     "\"bidirectional\": expected true or false, found 1"},

    {HEADS ",\"rope\":10000}", "file: \"rope\": expected an object, found 10000"},
    {ROPE("\"base\":10000"), "file: rope: unknown key \"base\": known are theta, style, dims, scaling"},
    {ROPE("\"theta\":0"), "file: rope: \"theta\": " POSITIVE "0"},
    {ROPE("\"theta\":1e39"), "rope: \"theta\": " POSITIVE},
    {ROPE("\"style\":\"neox\""), "file: rope: \"style\": expected one of half, interleaved, found \"neox\""},
    {ROPE("\"dims\":0"), "rope: \"dims\": expected a whole number from 2 to 16777216, found 0"},
    {ROPE("\"dims\":3"),
     "file: rope: expected an even number of rotated dims, at most head_dim, which is 6, found 3"},
    {ROPE("\"dims\":8"),
     "rope: expected an even number of rotated dims, at most head_dim, which is 6, found 8"},
    {"{\"embed_dim\":10,\"num_heads\":2,\"rope\":{}}", "at most head_dim, which is 5, found 5"},
    {ROPE("\"scaling\":\"linear\""), "file: rope: \"scaling\": expected an object, found \"linear\""},
    {ROPE("\"scaling\":{\"type\":\"linear\"}"),
     "file: rope: scaling of type \"linear\": \"factor\" is missing"},
    {ROPE("\"scaling\":{\"type\":\"mrope\"}"), "file: rope: scaling: \"type\": expected one of default"},
    {ROPE("\"scaling\":{\"type\":\"yarn\",\"factor\":2}"), "\"original_max_position_embeddings\" is missing"},
    {ROPE("\"theta\":1e4,\"scaling\":{\"rope_theta\":1e6}"),
     "file: rope: expected one theta, found \"theta\" 10000 and \"rope_theta\" 1e+06"},
    {ROPE("\"dims\":6,\"scaling\":{\"partial_rotary_factor\":0.5}"),
     "file: rope: expected one number of dims, found \"dims\" 6 and a \"partial_rotary_factor\" that makes "
     "3"},
};

Test(config, what_is_refused) {
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        json_t *object = parsed(refused[i].text);
        attn_config config = {.embed_dim = 0};
        attn_error error = {""};
        cr_expect_eq(attn_config_from_json("file", object, ATTN_FLOAT32, &config, &error), ATTN_BAD_MODEL,
                     "%s is served", refused[i].text);
        cr_expect_not_null(strstr(error.text, refused[i].says), "%s: '%s' lacks '%s'", refused[i].text,
                           error.text, refused[i].says);
        cr_expect_eq(config.embed_dim, 0, "%s: changed", refused[i].text);
        json_decref(object);
    }
}

Test(config, a_key_that_a_terminal_would_act_on) {
    json_t *object = parsed(HEADS ",\"sca\\u001ble\":1}");
    attn_config config;
    attn_error error = {""};
    cr_expect_eq(attn_config_from_json("file", object, ATTN_FLOAT32, &config, &error), ATTN_BAD_MODEL);
    cr_expect_not_null(strstr(error.text, "unknown key \"sca\\x1ble\""), "%s", error.text);
    json_decref(object);
}
