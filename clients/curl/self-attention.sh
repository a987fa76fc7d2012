#!/bin/sh
# Self-attention: two sequences of 10 tokens, 512 numbers each, attend to themselves.
set -eu
. "$(dirname "$0")/common"

# The request is {"query": [...]}, [2, 10, 512] numbers made up from sines; key and value default to the query.
request() {
    awk "$sine"'
    function tensor(B, L, E, phase,    b, l, e) {
        for (b = 0; b < B; b++)
            for (l = 0; l < L; l++)
                for (e = 0; e < E; e++)
                    printf "%s%.4f%s", (e ? "," : l ? "[" : b ? "[[" : "[[["), sine(phase + 7 * b + (l + 1) * (e + 1)),
                           (e < E - 1 ? "" : l < L - 1 ? "]," : b < B - 1 ? "]]," : "]]]")
    }
    BEGIN { printf "{\"query\":"; tensor(2, 10, 512, 0); print "}" }'
}

answer=$(request | post '"output":' /attend)

# The answer is one line, {"model": ..., "output": [[[...]]]}; the line after it is curl's.
printf '%s\n' "$answer" | awk '
    NR == 1 {
        sub(/.*"output":/, "")
        numbers = gsub(/,/, "&") + 1; rows = gsub(/[0-9]\]/, "&"); batch = gsub(/\]\]/, "&")
        match($0, /[-0-9][^],]*/); first = substr($0, RSTART, RLENGTH)
    }
    NR == 2 {
        printf "self-attention: the output is [%d, %d, %d], its first number %s (HTTP %s after %s s)\n",
               batch, rows / batch, numbers / rows, first, $1, $2
    }'
