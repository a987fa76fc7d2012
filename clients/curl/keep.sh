#!/bin/sh
# A kept result: the attention of a sentence under an address of its own, as a page for a browser, as JSON and as a
# picture. Arguments: the words of the sentence.
set -eu
. "$(dirname "$0")/common"
[ $# -gt 0 ] || set -- the quick brown fox jumps over the lazy dog

# A vector a word, [L, 512], the same for the same word, and the words themselves as labels, with their quotation marks
# and backslashes escaped.
request() {
    printf '%s\n' "$@" | LC_ALL=C awk "$sine"'
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
                    printf "%s%.4f", (e ? "," : l > 1 ? ",[" : "["), 3 * sine(number[word[l]] * (e + 1))
                printf "]"
            }
            print "]}"
        }'
}

path=$(request "$@" | post '"result_url":' /attend | sed -n 's/.*"result_url":"\([^"]*\)".*/\1/p')
[ -n "$path" ] || exit 1
seconds=$(ask '"expires_in":' "$path.json" | sed -n 's/.*"expires_in":\([0-9]*\).*/\1/p')
[ -n "$seconds" ] || exit 1
picture=$(curl -s -o /dev/null -w '%{http_code} %{content_type} %{size_download}' "$url$path/heatmap.png?head=mean") ||
    refused "no answer from $url (exit code $? of curl)"
case $picture in
'200 image/png '*) ;;
*) refused "$url$path/heatmap.png answered with HTTP $picture bytes, not with a picture" ;;
esac

printf '%10s  %s\n' page "$url$path" JSON "$url$path.json" picture "$url$path/heatmap.png?head=mean" \
    'no more' "curl -X DELETE $url$path"
printf 'keep: the attention of %d words is kept for %s seconds, and its picture has %d bytes\n' $# "$seconds" "${picture##* }"
