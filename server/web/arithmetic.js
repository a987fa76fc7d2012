/* arithmetic.js: the steps from a query and its keys to a weight and an output, in double precision. Nothing here
 * asks the service: what it returned comes in, what it should have returned goes out. */

/** What two numbers may differ by, as a share of the largest number of their kind. */
export const TOLERANCE = 1e-5;

/** The D products of a query and a key, and their sum. */
export function dot(q, k) {
    const products = Float64Array.from(q, (x, d) => x * k[d]);
    return { products, sum: products.reduce((a, b) => a + b, 0) };
}

/** The factor of the products' sum: the model's own, the head's own, or 1 / sqrt(D). */
export function scaleOf(description, h, D) {
    const scale = description?.scale;
    return Array.isArray(scale) ? scale[h] : scale ?? 1 / Math.sqrt(D);
}

/**
 * From the sum of products to the score, without what a relative bias adds (its table is not known to the page).
 * @param {number|null} distance key position minus query position; null for an extra key, which has no position
 */
export function scoreParts(description, h, D, sum, distance) {
    const scale = scaleOf(description, h, D), scaled = sum * scale, cap = description?.softcap;
    const capped = cap ? cap * Math.tanh(scaled / cap) : scaled;
    const slope = description?.alibi_slopes?.[h];
    const alibi = slope === undefined || distance === null ? 0 : -slope * Math.abs(distance);
    return { sum, scale, scaled, cap, capped, alibi, score: capped + alibi };
}

/* The entry of a mask [L,S], [H,L,S], [B*H,L,S] or [B,H,L,S], where B and H may be 1. */
function attnMaskEntry(mask, dims, b, h, i, j) {
    const shape = mask.shape, [L, S] = shape.slice(-2), at = i * S + j;
    if (shape.length === 2)
        return mask.data[at];
    if (shape.length === 3)
        return mask.data[(b * dims.H + h) * L * S + at];
    return mask.data[((shape[0] === 1 ? 0 : b) * shape[1] + (shape[1] === 1 ? 0 : h)) * L * S + at];
}

function addEntry(found, mask, entry, reason) {
    if (mask.dtype === 'bool' ? entry : entry === -Infinity)
        found.reason ??= reason;
    else if (mask.dtype !== 'bool')
        found.added += entry;
}

/**
 * What happens to the score of key j before the softmax.
 * @param {{batched: boolean, H: number, S: number}} dims
 * @returns {{reason: null|'causal'|'window'|'padding'|'mask', added: number}} `reason`: why the key may not be seen;
 *          `added`: what the masks of numbers add
 */
export function maskAt(request, description, dims, b, h, i, j) {
    const found = { reason: null, added: 0 };
    if (j >= dims.S)
        return found;
    const p = (request.query_offset ?? 0) + i, t = (request.key_offset ?? 0) + j, W = description?.sliding_window;
    if ((request.is_causal ?? description?.causal) && t > p)
        found.reason = 'causal';
    else if (W && (p - t >= W || (!description.causal && t - p >= W)))
        found.reason = 'window';
    if (request.key_padding_mask)
        addEntry(found, request.key_padding_mask, request.key_padding_mask.data[b * dims.S + j], 'padding');
    if (request.attn_mask)
        addEntry(found, request.attn_mask, attnMaskEntry(request.attn_mask, dims, b, h, i, j), 'mask');
    if (found.reason === null && Math.fround(found.added) === -Infinity) /* the service adds in float32 */
        found.reason = 'mask';
    return found;
}

/** Row i of a result's scores, after masks: -Infinity where a key may not be seen. */
export function maskedScores(result, b, h, i, row = null) {
    const { H, L, keys, scores, request, description } = result, from = ((b * H + h) * L + i) * keys;
    return Float64Array.from(row ?? scores.data.subarray(from, from + keys), (score, j) => {
        const { reason, added } = maskAt(request, description, result, b, h, i, j);
        return reason ? -Infinity : score + added;
    });
}

/**
 * @param {ArrayLike<number>} scores after masks, -Infinity where a key may not be seen
 * @param {number} sink a learned score that takes part and has no value; -Infinity: there is none
 * @returns {{max: number, exps: Float64Array, sinkExp: number, sum: number, lse: number, weights: Float64Array}}
 */
export function softmax(scores, sink = -Infinity) {
    let max = sink;
    for (let j = 0; j < scores.length; j++)
        max = Math.max(max, scores[j]);
    const none = max === -Infinity, exps = new Float64Array(scores.length);
    const sinkExp = none ? 0 : Math.exp(sink - max);
    let sum = sinkExp;
    for (let j = 0; j < scores.length && !none; j++)
        sum += exps[j] = Math.exp(scores[j] - max);
    return { max, exps, sinkExp, sum, lse: none ? -Infinity : max + Math.log(sum),
        weights: none ? exps : exps.map((e) => e / sum) };
}

/** The sink's score that a row's log-sum-exp stands for, and its share of the row: the smaller, the less exact. */
export function sinkFrom(scores, lse) {
    let seen = 0;
    for (let j = 0; j < scores.length; j++)
        seen += Math.exp(scores[j] - lse);
    return { share: Math.max(1 - seen, 0), sink: seen < 1 ? lse + Math.log1p(-seen) : -Infinity };
}

/** sum over j of weights[j] * values[j][d]; `values` [S+, D] begins at `from`. Weights of 0 do not count. */
export function mix(weights, values, from, D) {
    const out = new Float64Array(D);
    for (let j = 0; j < weights.length; j++)
        for (let d = 0; weights[j] !== 0 && d < D; d++)
            out[d] += weights[j] * values[from + j * D + d];
    return out;
}

const product = (a, b) => BigInt(a >>> 0) * BigInt(b >>> 0);

/* Philox4x32-10 (Salmon et al. 2011): the first of the four words. */
function philox(counter, key) {
    let [c0, c1, c2, c3] = counter, [k0, k1] = key;
    for (let round = 0; round < 10; round++) {
        const p0 = product(0xD2511F53, c0), p1 = product(0xCD9E8D57, c2);
        [c0, c1, c2, c3] = [Number(p1 >> 32n) ^ c1 ^ k0, Number(p1 & 0xffffffffn),
            Number(p0 >> 32n) ^ c3 ^ k1, Number(p0 & 0xffffffffn)];
        k0 = (k0 + 0x9E3779B9) | 0;
        k1 = (k1 + 0xBB67AE85) | 0;
    }
    return c0 >>> 0;
}

/** What dropout multiplies a weight with: 0 or 1 / (1 - dropout). */
export function dropoutFactor(dropout, seed, b, h, i, j) {
    const key = [Number(BigInt(seed) & 0xffffffffn), Number(BigInt(seed) >> 32n)];
    return philox([b, h, i, j], key) / 2 ** 32 < dropout ? 0 : 1 / (1 - dropout);
}

/**
 * The largest difference of two lists as a share of `largest`, or of the largest number in them.
 * @returns {{difference: number, equal: boolean}}
 */
export function compare(mine, theirs, largest = 0) {
    let difference = 0;
    for (let n = 0; n < mine.length; n++) {
        largest = Math.max(largest, Number.isFinite(theirs[n]) ? Math.abs(theirs[n]) : 0);
        if (mine[n] !== theirs[n]) /* infinities of one sign are equal */
            difference = Math.max(difference, Math.abs(mine[n] - theirs[n]));
    }
    const share = difference === 0 ? 0 : difference / largest;
    return { difference: share, equal: mine.length === theirs.length && share <= TOLERANCE };
}

/** The sink's score by the row in which its share is largest; `rows` are {scores, lse}, scores after masks. */
export function bestSink(rows) {
    let best = { share: 0, sink: -Infinity };
    for (const row of rows) {
        const found = sinkFrom(row.scores, row.lse);
        if (found.share > best.share)
            best = found;
    }
    return best.sink;
}

/**
 * A row's weights at another temperature T: softmax of (score + mask) / T.
 * @param {ArrayLike<number>} scores after masks
 */
export function atTemperature(scores, sink, temperature) {
    return softmax(Float64Array.from(scores, (s) => s / temperature), sink / temperature).weights;
}
