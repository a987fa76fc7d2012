#!/bin/sh
# A kept result: the attention of a sentence under an address of its own, as a page for a browser, as JSON and as a
# picture. Arguments: the words of the sentence.
set -eu
url=${ATTEND_URL:-http://127.0.0.1:8080}
[ $# -gt 0 ] || set -- the quick brown fox jumps over the lazy dog

# A vector a word, [L, 512], the same for the same word, and the words themselves as labels, with their quotation marks
# and backslashes escaped.
request() {
    printf '%s\n' "$@" | LC_ALL=C awk '
        function quoted(word,    n, c, text) {
            for (n = 1; n <= length(word); n++) {
                c = substr(word, n, 1)
                text = text (c == "\"" || c == "\\" ? "\\" c : c < " " ? " " : c)
            }
            return "\"" text "\""
        }
        { word[NR] = $0; if (!($0 in number)) number[$0] = ++distinct }
        END {
            printf "{\"keep\":true,\"query_labels\":["
            for (l = 1; l <= NR; l++) printf "%s%s", (l > 1 ? "," : ""), quoted(word[l])
            printf "],\"query\":["
            for (l = 1; l <= NR; l++) {
                for (e = 0; e < 512; e++)
                    printf "%s%.4f", (e ? "," : l > 1 ? ",[" : "["), 3 * sin(number[word[l]] * (e + 1))
                printf "]"
            }
            print "]}"
        }'
}

# Says why there is no result: what the service said, or that it said nothing. Arguments: the answer, curl's exit code.
refused() {
    said=$(printf '%s\n' "$1" | sed -n 1p)
    printf '%s\n' "${said:-no answer from $url (exit code $2 of curl)}" >&2
    exit 1
}

answer=$(request "$@" | curl -s --fail-with-body -H 'Content-Type: application/json' --data-binary @- "$url/attend") ||
    refused "$answer" $?
path=$(printf '%s\n' "$answer" | sed 's/.*"result_url":"\([^"]*\)".*/\1/')

document=$(curl -s --fail-with-body "$url$path.json") || refused "$document" $?
seconds=$(printf '%s\n' "$document" | sed 's/.*"expires_in":\([0-9]*\).*/\1/')
bytes=$(curl -s --fail -o /dev/null -w '%{size_download}' "$url$path/heatmap.png?head=mean") || refused "" $?

printf '%10s  %s\n' page "$url$path" JSON "$url$path.json" picture "$url$path/heatmap.png?head=mean" \
    'no more' "curl -X DELETE $url$path"
printf 'keep: the attention of %d words is kept for %s seconds, and its picture has %d bytes\n' $# "$seconds" "$bytes"
