#!/bin/sh
# Cross-attention: 5 queries look at 20 keys, in each of two sequences, with 512 numbers a token.
set -eu
. "$(dirname "$0")/common"

# The request is {"query": [2, 5, 512], "key": [2, 20, 512], "value": [2, 20, 512]}, numbers made up from sines.
request() {
    awk "$sine"'
    function tensor(B, L, E, phase,    b, l, e) {
        for (b = 0; b < B; b++)
            for (l = 0; l < L; l++)
                for (e = 0; e < E; e++)
                    printf "%s%.4f%s", (e ? "," : l ? "[" : b ? "[[" : "[[["), sine(phase + 7 * b + (l + 1) * (e + 1)),
                           (e < E - 1 ? "" : l < L - 1 ? "]," : b < B - 1 ? "]]," : "]]]")
    }
    BEGIN {
        printf "{\"query\":"; tensor(2, 5, 512, 0)
        printf ",\"key\":"; tensor(2, 20, 512, 1)
        printf ",\"value\":"; tensor(2, 20, 512, 2)
        print "}"
    }'
}

answer=$(request | post '"output":' /attend)

# The answer is one line, {"model": ..., "output": [[[...]]]}; the line after it is curl's.
printf '%s\n' "$answer" | awk '
    NR == 1 {
        sub(/.*"output":/, "")
        numbers = gsub(/,/, "&") + 1; rows = gsub(/[0-9]\]/, "&"); batch = gsub(/\]\]/, "&")
    }
    NR == 2 {
        printf "cross-attention: queries [2, 5, 512] and keys [2, 20, 512] gave [%d, %d, %d] (HTTP %s after %s s)\n",
               batch, rows / batch, numbers / rows, $1, $2
    }'
