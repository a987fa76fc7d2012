#!/bin/sh
# Attention weights: who looks at whom, for every head.
set -eu
. "$(dirname "$0")/common"

# One sequence of 6 tokens, [6, 512], without a batch dimension; then the weights have none either: [heads, 6, 6].
request() {
    awk "$sine"'BEGIN {
        printf "{\"need_weights\":true,\"query\":["
        for (l = 0; l < 6; l++) {
            for (e = 0; e < 512; e++) printf "%s%.4f", (e ? "," : l ? ",[" : "["), 3 * sine((l + 1) * (e + 1))
            printf "]"
        }
        print "]}"
    }'
}

answer=$(request | post '"attn_weights":' /attend)

printf '%s\n' "$answer" | awk 'NR == 1 {
    sub(/.*"attn_weights":\[\[\[/, ""); sub(/\]\]\].*/, "")
    heads = split($0, head, /\]\],\[\[/)
    for (h = 1; h <= heads; h++) {
        queries = split(head[h], query, /\],\[/)
        best = 0
        for (i = 1; i <= queries; i++) {
            keys = split(query[i], weight, ",")
            sum = 0
            for (j = 1; j <= keys; j++) {
                sum += weight[j]
                if (weight[j] + 0 > best) { best = weight[j] + 0; from = i - 1; to = j - 1 }
            }
            off = sum > 1 ? sum - 1 : 1 - sum
            if (off > worst) worst = off
        }
        printf "head %d: query %d looks most at key %d, with weight %.4f\n", h - 1, from, to, best
    }
    printf "weights: [%d, %d, %d] came back, and every row sums to 1 within %.1e\n", heads, queries, keys, worst
}'
