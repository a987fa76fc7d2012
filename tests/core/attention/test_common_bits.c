/* avx512, avx2 and neon have their bits in common: passes from fixed seeds give the same numbers with each. A
 * CPU has some of these sets at most; `make test-cpus` compares what is printed here with what the CPUs that
 * qemu plays print. */
#include "tests/core/layers.h"

enum { PASSES = 120 };

static const char *const COMMON[] = {"avx512", "avx2", "neon"};
enum { SET_COUNT = sizeof COMMON / sizeof *COMMON };

/* FNV-1a over the bytes. */
static uint64_t add_to(uint64_t digest, const float *x, size_t count) {
    const unsigned char *bytes = (const unsigned char *)x;
    for (size_t n = 0; n < count * sizeof *x; n++)
        digest = (digest ^ bytes[n]) * 0x100000001b3u;
    return digest;
}

/* Of all results of one pass. */
static uint64_t digest_of(const attn_kernels *kernels, uint64_t seed) {
    static const float factors[] = {1, 1, 1, 1e-18f, 1e-37f};
    kernels_under_test = kernels;
    setup s = make_setup_within(seed % 4 == 0 ? 90 : 20, seed % 3 == 0 ? 400 : 40, &(uint64_t){seed});
    const attn_config *c = &s.layer.config;
    const attn_input *in = &s.input;
    const size_t outputs = in->B * in->L * c->embed_dim, rows = in->B * c->num_heads * in->L;
    const size_t weights = rows * keys_of(&s);
    for (size_t n = 0; n < outputs; n++)
        ((float *)in->query)[n] *= factors[seed % 5];
    attn_output out = {
        .output = nothing_yet(outputs), .lse = nothing_yet(rows), .entropy = nothing_yet(rows)};
    out.weights.values = nothing_yet(weights);
    out.scores.values = nothing_yet(weights);
    cr_assert_eq(forward(&s, &out), ATTN_OK);
    uint64_t digest = 0xcbf29ce484222325u;
    digest = add_to(add_to(digest, out.output, outputs), out.lse, rows);
    digest = add_to(add_to(digest, out.weights.values, weights), out.scores.values, weights);
    digest = add_to(digest, out.entropy, rows);
    free_round();
    return digest;
}

Test(common_bits, each_set_gives_the_same) {
    uint64_t all = 0;
    for (uint64_t seed = 0; seed < PASSES; seed++) {
        uint64_t first = 0;
        for (size_t n = 0; n < SET_COUNT; n++) {
            const attn_kernels *kernels = attn_kernels_named(COMMON[n]);
            const uint64_t digest = kernels == NULL ? 0 : digest_of(kernels, seed);
            cr_assert(first == 0 || kernels == NULL || digest == first, "pass %d with %s", (int)seed,
                      COMMON[n]);
            first = kernels == NULL ? first : digest;
        }
        all = all * 31 + first;
    }
    fprintf(stderr, "common bits: %016llx\n", (unsigned long long)all);
}
