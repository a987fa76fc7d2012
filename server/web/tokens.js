/* tokens.js: tokens and vectors from a text, by the rule that GET /models/patterns states as numbers. */

/** The tokens of a text: what is between the separators. */
export function splitText(vocabulary, text) {
    let tokens = [text];
    for (const separator of vocabulary.separators)
        tokens = tokens.flatMap((part) => part.split(separator));
    return tokens.filter((token) => token !== '');
}

/** `length` numbers, 1 or -1, that stand for a token. All products are below 2^53. */
export function codeOf(rule, token, length = rule.code.length) {
    const { start, multiplier, modulus } = rule.hash, { code } = rule;
    let x = start;
    for (const byte of new TextEncoder().encode(token))
        x = (x + byte) * multiplier % modulus;
    return Float32Array.from({ length }, () => {
        x = x * code.multiplier % code.modulus;
        return x < code.below ? 1 : -1;
    });
}

/* What the numbers of a part of a vector are, by its kind. */
const MAKERS = {
    code: (rule, part, place) => place[part.of] === null ? 0 : codeOf(rule, place[part.of], part.to - part.from),
    position: (_, { divisor, power }, { position }) => (position / divisor) ** power,
    first: (_, part, { position }) => position === 0 ? 1 : 0,
    constant: (_, { value }) => value,
};

/**
 * The vectors of tokens by a rule, [L, E]; the first is at `position`.
 * @param {object} rule of GET /models/patterns. Throws an Error with a sentence if it has a part unknown here.
 */
export function vectorsOf(rule, tokens, position = 0) {
    const E = rule.embed_dim, data = new Float32Array(tokens.length * E);
    tokens.forEach((token, i) => {
        const place = { token, predecessor: tokens[i - 1] ?? null, position: position + i };
        for (const part of rule.vector) {
            if (!Object.hasOwn(MAKERS, part.kind))
                throw new Error(`The model's rule has a part of the kind ${part.kind}, which this page does not know.`);
            const made = MAKERS[part.kind](rule, part, place), at = i * E + part.from;
            if (typeof made === 'number')
                data.fill(made, at, i * E + part.to);
            else
                data.set(made, at);
        }
    });
    return { shape: [tokens.length, E], dtype: 'float32', data };
}

/** For a model without a rule: each token is the `E` numbers that codeOf() makes of it, wherever it stands. */
export function plainVectors(rule, tokens, E) {
    const data = new Float32Array(tokens.length * E);
    tokens.forEach((token, i) => data.set(codeOf(rule, token, E), i * E));
    return { shape: [tokens.length, E], dtype: 'float32', data };
}
