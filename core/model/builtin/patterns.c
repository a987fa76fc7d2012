#include "core/model/builtin/patterns.h"

#include "core/model/weights.h"

#include <string.h>

#define WHERE "builtin:patterns"

enum { H = 8, D = 64, CODE = 60, LONGEST = 2048 };

/* Offsets in a vector. */
enum { TOKEN = 0, PREDECESSOR = CODE, POSITION = 2 * CODE, SQUARE, FIRST, ONE, REST, E = 128 };

/* Offsets in a query, key or value of a head, behind the code. */
enum { HEAD_POSITION = CODE, HEAD_SQUARE, HEAD_FIRST, HEAD_ONE };

/* The hash, and the signs that follow it: the "minimal standard" generator (Park and Miller, "Random number
 * generators: good ones are hard to find", CACM 31, 1988; multiplier of CACM 36, 1993). Its products stay
 * below 2^53, so that a language without whole numbers of 64 bits computes it exactly in doubles. */
#define HASH_START      1
#define HASH_MULTIPLIER 48271
#define HASH_MODULUS    2147483647
#define SIGN_BELOW      1073741824

enum { PREVIOUS_TOKEN = 0, INDUCTION = 4 }; /* the heads whose codes are in the output */

/* The four numbers of each head, as patterns.h has them. A curve of 8 leaves exp(-8) to the neighbours of the
 * key that is meant; one of 1/8 is a normal distribution with a standard deviation of 2. A `first` of 16 is
 * exp(16) against the 2047 other keys; one of 50 lies between the 60 of a match and the chance agreements of
 * other tokens: six standard deviations of these are 46. */
static const struct {
    const char *name, *description;
    float code;
    bool sees_predecessor; /* is the code compared with that of the key's predecessor? */
    float curve, shift, first;
} heads[H] = {
    [PREVIOUS_TOKEN] = {.name = "previous_token",
                        .description =
                            "Looks at the token before; the first token looks at itself. The same with and "
                            "without is_causal.",
                        .curve = 8,
                        .shift = -1},
    {.name = "same_token",
     .description =
         "Looks at all occurrences of its own token, itself included, at each alike; with is_causal "
         "at itself and the earlier ones.",
     .code = 1},
    {.name = "first_token",
     .description = "Looks at the first token, as heads of trained models do that have nothing to say (an "
                    "attention sink). The same with and without is_causal.",
     .first = 16},
    {.name = "local_window",
     .description = "Looks around itself: the weights are a normal distribution with a standard deviation of "
                    "2 positions, and 97 % of it is at most 4 positions away; with is_causal the half of it "
                    "that is not after the token.",
     .curve = 0.125F},
    [INDUCTION] = {.name = "induction",
                   .description =
                       "Send is_causal: true. Looks at the token that came after the earlier occurrences of "
                       "its own token, which is a guess at the next one; where there are none, at the first "
                       "token. Without is_causal the token right after it matches too.",
                   .code = 1,
                   .sees_predecessor = true,
                   .first = 50},
    {.name = "uniform",
     .description = "Looks at all keys alike; with is_causal at its own and the earlier ones."},
    {.name = "next_token",
     .description = "Leave is_causal out. Looks at the token after; the last token looks at itself, and with "
                    "is_causal so does every one.",
     .curve = 8,
     .shift = 1},
    {.name = "current_token",
     .description = "Looks at itself. The same with and without is_causal.",
     .curve = 8},
};

/* The rows of head h, each [64, E]; all that is not set is 0. */

static void set_query(size_t h, float (*rows)[E]) {
    const float eight = 8; /* the square root of D, by which the layer divides */
    const float curve = eight * heads[h].curve, shift = heads[h].shift;
    for (size_t n = 0; n < CODE; n++)
        rows[n][TOKEN + n] = eight * heads[h].code;
    rows[HEAD_POSITION][POSITION] = 2 * curve * LONGEST;
    rows[HEAD_POSITION][ONE] = 2 * curve * shift;
    rows[HEAD_SQUARE][ONE] = -curve;
    rows[HEAD_FIRST][ONE] = eight * heads[h].first;
    rows[HEAD_ONE][SQUARE] = -curve * LONGEST * LONGEST;
    rows[HEAD_ONE][POSITION] = -2 * curve * shift * LONGEST;
    rows[HEAD_ONE][ONE] = -curve * shift * shift;
}

static void set_key(size_t h, float (*rows)[E]) {
    for (size_t n = 0; n < CODE; n++)
        rows[n][(heads[h].sees_predecessor ? PREDECESSOR : TOKEN) + n] = 1;
    rows[HEAD_POSITION][POSITION] = LONGEST;
    rows[HEAD_SQUARE][SQUARE] = LONGEST * LONGEST;
    rows[HEAD_FIRST][FIRST] = 1;
    rows[HEAD_ONE][ONE] = 1;
}

static void set_value(float (*rows)[E]) {
    for (size_t n = 0; n < CODE; n++)
        rows[n][TOKEN + n] = 1;
    for (size_t n = 0; n < D - CODE; n++)
        rows[HEAD_POSITION + n][POSITION + n] = 1;
}

static void set_output(float (*rows)[H * D]) {
    for (size_t n = 0; n < CODE; n++) {
        rows[TOKEN + n][INDUCTION * D + n] = 1;
        rows[PREDECESSOR + n][PREVIOUS_TOKEN * D + n] = 1;
    }
    for (size_t h = 0; h < H; h++)
        rows[POSITION + h][h * D + HEAD_POSITION] = 1;
}

attn_status attn_patterns_make(attn_model *model, attn_error *error) {
    const attn_config config = {.precision = model->layer.config.precision,
                                .embed_dim = E,
                                .num_heads = H,
                                .num_kv_heads = H,
                                .head_dim = D,
                                .kdim = E,
                                .vdim = E};
    bool wanted[ATTN_SLOTS];
    float *arrays[ATTN_SLOTS];
    attn_slots_wanted(&config, wanted);
    ATTN_TRY(attn_weights_allocate(WHERE, &config, wanted, model, arrays, error));
    model->layout = "patterns";
    for (int slot = ATTN_Q_WEIGHT; slot <= ATTN_O_WEIGHT; slot++)
        memset(arrays[slot], 0, (size_t)E * H * D * sizeof(float));
    for (size_t h = 0; h < H; h++) {
        set_query(h, (float(*)[E])arrays[ATTN_Q_WEIGHT] + h * D);
        set_key(h, (float(*)[E])arrays[ATTN_K_WEIGHT] + h * D);
        set_value((float(*)[E])arrays[ATTN_V_WEIGHT] + h * D);
    }
    set_output((float(*)[H * D]) arrays[ATTN_O_WEIGHT]);
    return attn_weights_pack(WHERE, arrays, model, error);
}

/* ---- The description. The texts say in words what the numbers beside them say to a program. ---- */

static json_t *describe_vocabulary(void) {
    return json_pack(
        "{s:s, s:s, s:s}", "tokens",
        "Any text that is not empty; there is no list. Two tokens are the same if their bytes are: "
        "Cat and cat are not.",
        "encoding", "UTF-8", "separators", " \t\n\r");
}

static json_t *describe_hash(void) {
    return json_pack(
        "{s:i, s:i, s:i, s:s}", "start", HASH_START, "multiplier", HASH_MULTIPLIER, "modulus", HASH_MODULUS,
        "text",
        "Begin with x = start. For each byte b of the token: x = (x + b) * multiplier mod modulus. "
        "The last x is the hash. All products are below 2^53.");
}

static json_t *describe_code(void) {
    return json_pack(
        "{s:i, s:i, s:i, s:i, s:s}", "length", CODE, "multiplier", HASH_MULTIPLIER, "modulus", HASH_MODULUS,
        "below", SIGN_BELOW, "text",
        "Begin with x = the hash. For each number of the code: x = x * multiplier mod modulus, and "
        "the number is 1 if x < below, else -1.");
}

static json_t *describe_codes(int from, int to, const char *of, const char *text) {
    return json_pack("{s:i, s:i, s:s, s:s, s:s}", "from", from, "to", to, "kind", "code", "of", of, "text",
                     text);
}

static json_t *describe_position(int at, int power) {
    return json_pack("{s:i, s:i, s:s, s:i, s:i}", "from", at, "to", at + 1, "kind", "position", "divisor",
                     LONGEST, "power", power);
}

static json_t *describe_constant(int from, int to, int value) {
    return json_pack("{s:i, s:i, s:s, s:i}", "from", from, "to", to, "kind", "constant", "value", value);
}

/* The parts of a vector, in order: all E numbers. */
static json_t *describe_vector(void) {
    return json_pack("[o, o, o, o, {s:i, s:i, s:s, s:s}, o, o]",
                     describe_codes(TOKEN, PREDECESSOR, "token", "The code of the token."),
                     describe_codes(PREDECESSOR, POSITION, "predecessor",
                                    "The code of the token before; zeros for the first token."),
                     describe_position(POSITION, 1), describe_position(SQUARE, 2), "from", FIRST, "to", ONE,
                     "kind", "first", "text", "1 for the first token, 0 for the others.",
                     describe_constant(ONE, REST, 1), describe_constant(REST, E, 0));
}

/* Examples for a program that follows the rule; computed independently of this one. */
static json_t *describe_example(void) {
    static const char signs[CODE + 1] = "++++--+---+++---------++++-++--+++----+---++-+-+-+--+++-+++-";
    json_t *code = json_array();
    for (size_t n = 0; n < CODE; n++)
        if (json_array_append_new(code, json_integer(signs[n] == '+' ? 1 : -1)) != 0) {
            json_decref(code);
            return NULL;
        }
    return json_pack("{s:s, s:i, s:o}", "token", "cat", "hash", 828962058, "code", code);
}

static json_t *describe_rule(void) {
    return json_pack(
        "{s:i, s:i, s:s, s:o, s:o, s:o, s:o, s:s, s:s}", "embed_dim", E, "positions", LONGEST, "text",
        "The vector of a token is the parts of `vector`, one after the other, each the numbers `from` "
        "(included) "
        "`to` (excluded): a code, (position / divisor) to the power, whether the token is the first, or a "
        "constant. Positions count from 0. All is exact in float32. From `positions` on, the heads that look "
        "at a position are no longer sharp.",
        "hash", describe_hash(), "code", describe_code(), "vector", describe_vector(), "example",
        describe_example(), "score",
        "Of a token at position p and a key at position t, with the numbers of the head: code * (code of the "
        "token . code of the key's token or predecessor) - curve * (t - p - shift)^2 + first * (1 if the key "
        "is the first token, else 0).",
        "output",
        "0 to 59: the codes that head 4 looks at, averaged by the weights; 60 to 119: those of head 0; 120 + "
        "h: "
        "the position that head h looks at, divided by 2048. `head_output` has, averaged in the same way, "
        "the "
        "code, position / 2048, its square, whether the key is the first token, and 1.");
}

static json_t *describe_head(size_t h) {
    return json_pack("{s:i, s:s, s:s, s:{s:f, s:s, s:f, s:f, s:f}}", "index", (int)h, "name", heads[h].name,
                     "description", heads[h].description, "score", "code", (double)heads[h].code, "key",
                     heads[h].sees_predecessor ? "predecessor" : "token", "curve", (double)heads[h].curve,
                     "shift", (double)heads[h].shift, "first", (double)heads[h].first);
}

static json_t *describe_heads(void) {
    json_t *list = json_array();
    for (size_t h = 0; h < H; h++)
        if (json_array_append_new(list, describe_head(h)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

json_t *attn_patterns_describe(void) {
    return json_pack("{s:o, s:o, s:o}", "vocabulary", describe_vocabulary(), "rule", describe_rule(), "heads",
                     describe_heads());
}
