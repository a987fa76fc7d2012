/* examples.js: inputs with something to see in them, for the layer of hand-set heads. */

const NURSERY = 'row row row your boat gently down the stream merrily merrily merrily merrily life is but a dream';
const STORY = 'the cat sat on the mat and the cat slept';
const CLAUSES = ['the river runs to the sea', 'the wind moves over the hill', 'a bird sings in the tree', 'the rain falls on the roof'];

/** Each: its fields are those of the editor; `head` is shown. */
export const EXAMPLES = [
    { name: 'Induction', text: STORY, causal: 'true', head: 4,
        about: 'Head 4 continues what it has seen: at the second “the” it looks at the words that came after the first ones.' },
    { name: 'Previous token', text: STORY, causal: 'true', head: 0,
        about: 'Head 0 looks at the word before, which draws a line just below the diagonal.' },
    { name: 'Same token', text: NURSERY, head: 1,
        about: 'Head 1 looks at every occurrence of the same word alike: words that are repeated make squares.' },
    { name: 'Sink', text: STORY, causal: 'true', head: 2,
        about: 'Head 2 puts everything on the first word, as heads of trained models do that have nothing to say.' },
    { name: 'Local window', text: CLAUSES.join(' and '), head: 3,
        about: 'Head 3 looks at its neighbourhood, up to about four words away: a band along the diagonal.' },
    { name: 'Causal', text: NURSERY, causal: 'true', head: 5,
        about: 'Each word may look at itself and those before it; head 5 spreads evenly over them, so rows get paler downwards.' },
    { name: 'Padding', text: 'we are ready now [pad] [pad] [pad]', padding: '4-6', head: 5,
        about: 'The last three keys only fill up the sequence and are masked: their columns are hatched and get no weight.' },
    { name: 'Cross-attention', text: 'cat mat slept cat', key: STORY, head: 1,
        about: 'Four queries look at ten keys of another text: head 1 finds each word there, wherever it stands.' },
    { name: 'Row without keys', text: STORY, mask: '3:* 6:0-4', head: 3,
        about: 'Query 3 may look at nothing: its weights are zero, and its output is the bias alone. Query 6 only lost some keys.' },
    { name: 'Untrained layer', text: STORY, model: 'init', head: 0, tab: 'heads',
        about: 'Random weights look at all keys nearly alike. The badges say so: a flat map is not a fault of the page.' },
    { name: 'Grouped heads', text: NURSERY, model: 'grouped', head: 0, tab: 'heads',
        about: 'In this layer several query heads share the same keys and values: they stand in a frame together.' },
    { name: 'Long', text: Array.from({ length: 256 }, (_, n) => `${CLAUSES[n * n % 4]} and`).join(' ').split(' ').slice(0, 1024).join(' '),
        causal: 'true', head: 1, about: '1024 words, a million cells a head: drag to move, zoom with the wheel or + and −.' },
];

const FITS = {
    patterns: (model) => model.layout === 'patterns', init: (model) => model.layout === 'init',
    grouped: (model) => model.num_kv_heads < model.num_heads && model.kdim === model.embed_dim && model.vdim === model.embed_dim,
};

/** The examples that these models can show, each with the name of its model. */
export function examplesFor(models) {
    return EXAMPLES.map((example) => ({ ...example, model: models.find(FITS[example.model ?? 'patterns'])?.name }))
        .filter(({ model }) => model !== undefined);
}
