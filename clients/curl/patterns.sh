#!/bin/sh
# Heads that were set by hand: who looks at whom in a sentence, and why. Vectors are made of the words by the rule that
# GET /models/patterns states. Arguments: a head (4: induction), and the words of a sentence.
set -eu
. "$(dirname "$0")/common"
head=${1:-4}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- the cat sat on the mat and the cat sat down
case $head in
[0-7]) ;;
*) echo "patterns.sh: the head is '$head'; expected a number from 0 to 7" >&2; exit 2 ;;
esac

rule=$(ask '"multiplier":' /models/patterns)
number() { printf '%s\n' "$rule" | sed -n "s/.*\"$1\":\([0-9][0-9]*\).*/\1/p"; }
name=$(printf '%s\n' "$rule" | sed -n "s/.*\"index\":$head,\"name\":\"\([^\"]*\)\".*/\1/p")

# [L, 128]: the code of the word, the code of the word before it, the position and its square, whether it is the first,
# 1, zeros. All products are below 2^53, so that awk's doubles are exact; in the C locale a character is a byte.
request() {
    printf '%s\n' "$@" | LC_ALL=C awk -v start="$(number start)" -v multiplier="$(number multiplier)" \
        -v modulus="$(number modulus)" -v below="$(number below)" -v positions="$(number positions)" '
        BEGIN { for (i = 1; i < 256; i++) byte[sprintf("%c", i)] = i }
        function code(word,    x, n, text) {
            x = start
            for (n = 1; n <= length(word); n++) x = (x + byte[substr(word, n, 1)]) * multiplier % modulus
            for (n = 0; n < 60; n++) {
                x = x * multiplier % modulus
                text = text (x < below ? "1," : "-1,")
            }
            return text
        }
        function zeros(    n, text) { for (n = 0; n < 60; n++) text = text "0,"; return text }
        NR == 1 { printf "{\"is_causal\":true,\"need_weights\":true,\"query\":[" }
        {
            p = (NR - 1) / positions
            printf "%s[%s%s%.9g,%.9g,%d,1,0,0,0,0]", (NR > 1 ? "," : ""), code($0), \
                   (NR > 1 ? code(before) : zeros()), p, p * p, (NR == 1)
            before = $0
        }
        END { print "]}" }'
}

answer=$(request "$@" | post '"attn_weights":' /attend/patterns)

{ printf '%s\n' "$@"; printf '%s\n' "$answer"; } | awk -v head="$head" -v name="$name" -v words=$# '
    NR <= words { word[NR] = $0; next }
    NR == words + 1 {
        sub(/.*"attn_weights":\[\[\[/, ""); sub(/\]\]\].*/, "")
        heads = split($0, map, /\]\],\[\[/)
        split(map[head + 1], row, /\],\[/)
        for (i = 1; i <= words; i++) {
            split(row[i], weight, ",")
            best = 1
            for (j = 2; j <= words; j++) if (weight[j] + 0 > weight[best] + 0) best = j
            printf "%12s looks at %-12s %d, %.3f\n", word[i], word[best], best - 1, weight[best]
        }
        printf "patterns: %d words, head %d of %d (%s), causal\n", words, head, heads, name
    }'
