#!/bin/sh
# Causal attention: a token sees itself and earlier tokens only. Once with "is_causal", once with the mask written out.
set -eu
. "$(dirname "$0")/common"

# One sequence of 4 tokens, [4, 512]; the rest of the request is the argument.
request() {
    awk -v rest="$1" "$sine"'BEGIN {
        printf "{\"query\":["
        for (l = 0; l < 4; l++) {
            for (e = 0; e < 512; e++) printf "%s%.4f", (e ? "," : l ? ",[" : "["), 2 * sine((l + 1) * (e + 1))
            printf "]"
        }
        print "]," rest "}"
    }'
}

# Numbers in a mask are added to the scores, so minus infinity excludes; true would do the same.
mask='[[0,-Infinity,-Infinity,-Infinity],[0,0,-Infinity,-Infinity],[0,0,0,-Infinity],[0,0,0,0]]'
weights='"need_weights":true,"average_attn_weights":true'
flag=$(request "$weights,\"is_causal\":true" | post '"attn_weights":' /attend)
written=$(request "$weights,\"attn_mask\":$mask" | post '"attn_weights":' /attend)

same=differ
if [ "${flag%
*}" = "${written%
*}" ]; then same='are the same, byte for byte'; fi
printf '%s\n' "$flag" | awk -v same="$same" 'NR == 1 {
    sub(/.*"attn_weights":\[\[/, ""); sub(/\]\].*/, "")
    rows = split($0, row, /\],\[/)
    for (i = 1; i <= rows; i++) {
        keys = split(row[i], weight, ",")
        line = ""
        for (j = 1; j <= keys; j++) {
            line = line sprintf(" %8.4f", weight[j])
            if (j > i) future += weight[j]
        }
        print line
    }
    printf "causal: all weight on later tokens together is %g, and the answers to is_causal and to the mask %s\n", future, same
}'
