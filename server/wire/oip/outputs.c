#include "server/wire/oip/oip.h"

#define RETURNS(name) (1U << RETURN_##name)

const oip_output oip_outputs[] = {
    {"output", "BLE", false, false, false, 0},
    {"attn_weights", "BHLT", false, true, false, 0},
    {"attn_weights.values", NULL, false, true, true, 0},
    {"attn_weights.indices", NULL, true, true, true, 0},
    {"q", "BHLD", false, false, false, RETURNS(Q)},
    {"k", "BKTD", false, false, false, RETURNS(K)},
    {"v", "BKTD", false, false, false, RETURNS(V)},
    {"scores", "BHLT", false, false, false, RETURNS(SCORES)},
    {"scores.values", NULL, false, false, true, RETURNS(SCORES)},
    {"scores.indices", NULL, true, false, true, RETURNS(SCORES)},
    {"lse", "BHL", false, false, false, RETURNS(LSE)},
    {"entropy", "BHL", false, false, false, RETURNS(ENTROPY)},
    {"head_output", "BHLD", false, false, false, RETURNS(HEAD_OUTPUT)},
    {"stats", NULL, false, false, false, RETURNS(STATS)},
    {"stats.max", "BHL", false, false, false, RETURNS(STATS)},
    {"stats.argmax", "BHL", true, false, false, RETURNS(STATS)},
    {"stats.first", "BHL", false, false, false, RETURNS(STATS)},
    {"stats.self", "BHL", false, false, false, RETURNS(STATS)},
    {"stats.previous", "BHL", false, false, false, RETURNS(STATS)},
    {"stats.received", "BHT", false, false, false, RETURNS(STATS)},
};
const size_t oip_output_count = sizeof oip_outputs / sizeof oip_outputs[0];

_Static_assert(sizeof oip_outputs / sizeof oip_outputs[0] <= OIP_ASKED_MAX, "OIP_ASKED_MAX");
