#!/bin/sh
# Self-attention: two sequences of 10 tokens, 512 numbers each, attend to themselves.
set -eu
url=${ATTEND_URL:-http://127.0.0.1:8080}

# The request is {"query": [...]}, [2, 10, 512] numbers made up from sines; key and value default to the query.
request() {
    awk '
    function tensor(B, L, E, phase,    b, l, e) {
        for (b = 0; b < B; b++)
            for (l = 0; l < L; l++)
                for (e = 0; e < E; e++)
                    printf "%s%.4f%s", e ? "," : l ? "[" : b ? "[[" : "[[[", sin(phase + 7 * b + (l + 1) * (e + 1)),
                           e < E - 1 ? "" : l < L - 1 ? "]," : b < B - 1 ? "]]," : "]]]"
    }
    BEGIN { printf "{\"query\":"; tensor(2, 10, 512, 0); print "}" }'
}

# Says why there is no result: what the service said, or that it said nothing. Arguments: the answer, curl's exit code.
refused() {
    said=$(printf '%s\n' "$1" | sed -n 1p)
    printf '%s\n' "${said:-no answer from $url (exit code $2 of curl)}" >&2
    exit 1
}

answer=$(request | curl -s --fail-with-body -H 'Content-Type: application/json' --data-binary @- \
    -w '\n%{http_code} %{time_total}' "$url/attend") || refused "$answer" $?

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
