#!/bin/sh
# A real input: what a layer of all-MiniLM-L6-v2 sees for three sentences, padded to one length. minilm.json was made by
# clients/python/examples/minilm.py, which also says how to serve the model; minilm.labels.json names the tokens.
# An argument picks the head whose weights are shown; 8 looks at the next token. It needs
#     attend-server --model minilm="$(python3 clients/python/examples/minilm.py --model-dir)"
set -eu
. "$(dirname "$0")/common"
here=$(dirname "$0")
head=${1:-8}
case $head in
*[!0-9]* | ??????*) echo "minilm.sh: the head is '$head'; expected a small whole number" >&2; exit 2 ;;
esac

answer=$(post '"attn_weights":' /attend <"$here/minilm.json")

# The labels are the lines of the file that are nothing but a string; the weights come as [3, heads, tokens, tokens].
{ cat "$here/minilm.labels.json"; printf '%s\n' "$answer"; } | awk -v head="$head" '
    /^ *"[^"]*",?$/ { split($0, part, "\""); label[labels++] = part[2] }
    /"attn_weights":/ {
        sub(/.*"attn_weights":\[\[\[\[/, ""); sub(/\]\]\]\].*/, "")
        batch = split($0, sentence, /\]\]\],\[\[\[/)
        tokens = labels / batch
        for (b = 1; b <= batch; b++) {
            heads = split(sentence[b], map, /\]\],\[\[/)
            if (head + 1 > heads) {
                printf "minilm.sh: there is no head %d; the layer has heads 0 to %d\n", head, heads - 1 > "/dev/stderr"
                exit 2
            }
            split(map[head + 1], row, /\],\[/)
            for (i = 0; i < tokens; i++) {
                if (label[(b - 1) * tokens + i] == "[PAD]") continue
                split(row[i + 1], weight, ",")
                best = 0
                for (j = 1; j < tokens; j++) if (weight[j + 1] > weight[best + 1]) best = j
                printf "%12s looks at %-12s %.3f\n", label[(b - 1) * tokens + i],
                       label[(b - 1) * tokens + best], weight[best + 1]
                shown++
            }
            print ""
        }
        printf "minilm: %d sentences, %d tokens without padding, head %d of %d\n", batch, shown, head, heads
    }'
