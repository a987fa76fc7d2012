#!/bin/sh
# Causal attention: a token sees itself and earlier tokens only. Once with "is_causal", once with the mask written out.
set -eu
url=${ATTEND_URL:-http://127.0.0.1:8080}

# One sequence of 4 tokens, [4, 512]; the rest of the request is the argument.
request() {
    awk -v rest="$1" 'BEGIN {
        printf "{\"query\":["
        for (l = 0; l < 4; l++) {
            for (e = 0; e < 512; e++) printf "%s%.4f", e ? "," : l ? ",[" : "[", 2 * sin((l + 1) * (e + 1))
            printf "]"
        }
        print "]," rest "}"
    }'
}

ask() {
    request "$1" | curl -s --fail-with-body -H 'Content-Type: application/json' --data-binary @- "$url/attend"
}

# Says why there is no result: what the service said, or that it said nothing. Arguments: the answer, curl's exit code.
refused() {
    said=$(printf '%s\n' "$1" | sed -n 1p)
    printf '%s\n' "${said:-no answer from $url (exit code $2 of curl)}" >&2
    exit 1
}

# Numbers in a mask are added to the scores, so minus infinity excludes; true would do the same.
mask='[[0,-Infinity,-Infinity,-Infinity],[0,0,-Infinity,-Infinity],[0,0,0,-Infinity],[0,0,0,0]]'
weights='"need_weights":true,"average_attn_weights":true'
flag=$(ask "$weights,\"is_causal\":true") || refused "$flag" $?
written=$(ask "$weights,\"attn_mask\":$mask") || refused "$written" $?

same=differ
if [ "$flag" = "$written" ]; then same='are the same, byte for byte'; fi
printf '%s\n' "$flag" | awk -v same="$same" '{
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
