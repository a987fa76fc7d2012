/* cell_steps.js: what the service did for one cell, step by step. Each step starts from the numbers that the service
 * returned for the one before, is computed again in double precision, and is held against what the service has. */

import { bestSink, compare, dot, dropoutFactor, maskAt, maskedScores, mix, scoreParts, softmax } from './arithmetic.js';

const WHY = { causal: 'the key comes after the query', window: 'it is outside the window',
    padding: 'key_padding_mask hides the key', mask: 'attn_mask hides the pair' };

/** A number that was computed here: nine digits. */
export const nine = (x) => String(Number(x.toPrecision(9)));

/**
 * @typedef {{title: string, lines: string[], check?: {difference: number, equal: boolean}, of?: string,
 *            unknown?: string, table?: [string, ArrayLike<number>][]}} Step
 *          `of`: what was compared; `unknown`: why it cannot be computed here; `table`: rows of numbers
 *
 * What the functions below get is {result, b, h, i, j, whole, rows, projected}: the cell, and the service's numbers.
 * `whole` has q, k, v, lse, head_output as Tensors; `rows` maps i and some other queries to {scores, weights} of head
 * h; `projected` [H + 2, E] is what the output projection makes of each head alone, of nothing, and of this cell's
 * part.
 */

const place = ({ result, b, h }, i) => (b * result.H + h) * result.L + i;

const group = ({ result, h }) => Math.floor(h / (result.H / result.Hkv));

const kvPlace = (cell, j) => (cell.b * cell.result.Hkv + group(cell)) * cell.result.keys + j;

const cut = (tensor, at, D) => tensor.data.subarray(at * D, (at + 1) * D);

/* The score of a pair without a relative bias, from q and k. */
function partsOf(cell, i, j) {
    const { description, request, D, S } = cell.result, q = cut(cell.whole.q, place(cell, i), D);
    const distance = (request.key_offset ?? 0) + j - (request.query_offset ?? 0) - i;
    const { sum } = dot(q, cut(cell.whole.k, kvPlace(cell, j), D));
    return scoreParts(description, cell.h, D, sum, j < S ? distance : null);
}

const masked = (cell, i) => maskedScores(cell.result, cell.b, cell.h, i, cell.rows.get(i).scores);

const lseOf = (cell, i) => cell.whole.lse.data[place(cell, i)];

const others = ({ rows, i }) => [...rows.keys()].filter((other) => other !== i);

function productStep(cell) {
    const { D, H, Hkv, description } = cell.result, q = cut(cell.whole.q, place(cell, cell.i), D);
    const k = cut(cell.whole.k, kvPlace(cell, cell.j), D), { products, sum } = dot(q, k);
    const made = `projection${description.qk_norm ? ', norm' : ''}${description.rope ? ', rotation' : ''}`;
    return { title: 'Query times key', lines: [`${D} products q·k sum to ${nine(sum)}.`
        + (Hkv < H ? ` Head ${cell.h} shares keys and values with others: group ${group(cell)} of ${Hkv}.` : ''),
    `q and k are the service's, after ${made}: the layer's weights are not sent, so that cannot be computed here.`],
    table: [['q', q], ['k', k], ['q·k', products]] };
}

/* What a relative bias adds to key j: its table is not sent, but another row has a pair at the same distance. */
function relativeBias(cell, j) {
    const { description, S } = cell.result, at = (i) => j + i - cell.i;
    if (!description.relative_bias || j >= S)
        return 0;
    const i = others(cell).find((other) => at(other) >= 0 && at(other) < S);
    return i === undefined ? null : cell.rows.get(i).scores[at(i)] - partsOf(cell, i, at(i)).score;
}

function scoreStep(cell) {
    const { i, j, result: { description, keys } } = cell, parts = partsOf(cell, i, j), { scores } = cell.rows.get(i);
    const biases = Array.from({ length: keys }, (_, key) => relativeBias(cell, key));
    const known = [...biases.keys()].filter((key) => biases[key] !== null);
    const mine = known.map((key) => partsOf(cell, i, key).score + biases[key]), bias = biases[j];
    const lines = [`${nine(parts.sum)} × ${nine(parts.scale)}${description.scale === null ? ' (1/√D)' : ''}`
        + ` = ${nine(parts.scaled)}`];
    if (parts.cap)
        lines.push(`soft cap: ${nine(parts.cap)} × tanh(${nine(parts.scaled)} / ${nine(parts.cap)})`
            + ` = ${nine(parts.capped)}`);
    if (parts.alibi !== 0)
        lines.push(`ALiBi, by the distance: ${nine(parts.alibi)}`);
    if (bias)
        lines.push(`relative bias, taken from a pair at the same distance: ${nine(bias)}`);
    lines.push(`score ${bias === null ? 'unknown' : nine(parts.score + bias)}, the service's ${nine(scores[j])}`);
    const unknown = bias === null ? 'The table of the relative bias is not sent, and no row nearby has a pair at this '
        + `distance. The score says that it adds ${nine(scores[j] - parts.score)}.` : '';
    return { title: 'Scale', lines, unknown, of: `${known.length} scores of this row`,
        check: compare(mine, known.map((key) => scores[key]), Math.abs(parts.scaled)) };
}

function maskStep(cell) {
    const { i, j, b, h, result } = cell, { scores, weights } = cell.rows.get(i), all = masked(cell, i);
    const { reason, added } = maskAt(result.request, result.description, result, b, h, i, j);
    const hidden = [...all.keys()].filter((key) => all[key] === -Infinity);
    const line = reason ? `Masked: ${WHY[reason]}. Its weight is 0.` : added !== 0
        ? `${nine(scores[j])} + ${nine(added)} = ${nine(all[j])}` : 'Nothing masks this pair.';
    return { title: 'Mask', lines: [line, `${hidden.length} of the ${result.keys} keys of this row are masked.`],
        check: compare(hidden.map(() => 0), hidden.map((key) => weights[key]), 1), of: 'weights of masked keys are 0' };
}

/* The softmax of the row; a sink's score is not sent, but other rows of the head tell it. */
function softmaxOf(cell) {
    const { description, request } = cell.result, sinks = description.sinks && !request.omit_extra;
    const guessed = sinks && others(cell).length === 0, from = guessed ? [cell.i] : others(cell);
    const sink = sinks ? bestSink(from.map((i) => ({ scores: masked(cell, i), lse: lseOf(cell, i) }))) : -Infinity;
    const scores = masked(cell, cell.i);
    return { ...softmax(scores, sink), scores, sink, guessed };
}

function expStep({ j, result }, { max, exps, scores, sink, sinkExp }) {
    const top = scores.indexOf(max), where = top < 0 ? ', the sink' : ` at key ${result.keyLabels[top]} (${top})`;
    const lines = max === -Infinity ? ['All keys of this row are masked.']
        : [`The largest of the row is ${nine(max)}${where}.`,
            `exp(${nine(scores[j])} − ${nine(max)}) = ${nine(exps[j])}`];
    if (sink > -Infinity)
        lines.push(`The sink, a learned score without a value, ${nine(sink)} by another row, adds ${nine(sinkExp)}.`);
    return { title: 'Exponential', lines };
}

function sumStep(cell, { sum, lse, guessed }) {
    const theirs = lseOf(cell, cell.i);
    return { title: 'Row sum', lines: [`The row sums to ${nine(sum)}.`,
        `lse = largest + log(sum) = ${nine(lse)}, the service's ${nine(theirs)}`],
    check: compare([lse], [theirs], 1), of: 'the log-sum-exp', unknown: guessed
        ? 'The sink\'s score is not sent, and there is no other row that tells it: it is taken from this sum.' : '' };
}

function weightStep(cell, { exps, sum, weights }) {
    const { i, j, b, h, result: { description: { dropout }, request, seed, keys } } = cell;
    const theirs = cell.rows.get(i).weights, drops = request.training && dropout > 0;
    const factor = (key) => drops ? dropoutFactor(dropout, seed ?? 0, b, h, i, key) : 1;
    const mine = weights.map((weight, key) => weight * factor(key));
    const lines = [`${nine(exps[j])} / ${nine(sum)} = ${nine(weights[j])}`];
    if (drops)
        lines.push(`dropout ${nine(dropout)}, seed ${seed}: × ${nine(factor(j))}`);
    return { title: 'Weight', lines: [...lines, `weight ${nine(mine[j])}, the service's ${nine(theirs[j])}`],
        check: compare(mine, theirs), of: `${keys} weights of this row` };
}

function valueStep(cell) {
    const { i, j, whole, result: { D } } = cell, { weights } = cell.rows.get(i), v = cut(whole.v, kvPlace(cell, j), D);
    const mine = mix(weights, whole.v.data, kvPlace(cell, 0) * D, D), theirs = cut(whole.head_output, place(cell, i),
        D);
    return { title: 'Value mix', lines: [`Values times weights (here ${nine(weights[j])}), summed over keys.`],
        table: [['v', v], ['weight × v', Float64Array.from(v, (x) => weights[j] * x)], ['sum over keys', mine],
            ['the service\'s', theirs]], check: compare(mine, theirs), of: `${D} numbers of head_output` };
}

function outputStep({ result: { output, H, E, L }, b, h, i, projected }) {
    const title = 'Output projection', theirs = cut(output, b * L + i, E);
    const lines = [`The layer's weights are not sent. Instead the service projects each of the ${H} heads alone, `
        + 'and nothing, which gives the bias: these shares and the bias sum to the output.'];
    if (!projected)
        return { title, lines, unknown: 'That takes a service, which this file has not.' };
    const bias = projected.subarray(H * E, (H + 1) * E), sum = Float64Array.from(bias);
    const share = (n) => Float64Array.from(bias, (x, e) => projected[n * E + e] - x);
    const shares = Array.from({ length: H }, (_, n) => share(n));
    shares.forEach((one) => one.forEach((x, e) => sum[e] += x));
    const sizes = shares.map((one) => Math.hypot(...one)), all = sizes.reduce((a, x) => a + x, 0) || 1;
    return { title, lines: [...lines, `By length, head ${h} has ${(sizes[h] / all * 100).toFixed(1)} % of the shares.`],
        table: [['this cell\'s share', share(H + 1)], [`share of head ${h}`, shares[h]], ['bias', bias],
            ['all and bias', sum], ['the service\'s', theirs]], check: compare(sum, theirs),
                of: `${E} numbers of the output` };
}

/** @returns {Step[]} */
export function cellSteps(cell) {
    const softened = softmaxOf(cell);
    return [productStep(cell), scoreStep(cell), maskStep(cell), expStep(cell, softened), sumStep(cell, softened),
        weightStep(cell, softened), valueStep(cell), outputStep(cell)];
}
