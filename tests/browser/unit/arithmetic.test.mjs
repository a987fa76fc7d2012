import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atTemperature, bestSink, compare, dot, dropoutFactor, maskAt, mix, scoreParts, softmax }
    from '../../../server/web/arithmetic.js';
import { below, booleans, tensor, uniform } from './random.mjs';

const near = (a, b, what) => assert.ok(a === b || Math.abs(a - b) <= 1e-12 * (1 + Math.abs(b)),
    `${what}: ${a}, not ${b}`);

/* The whole of a row, from the formula, in plain loops that share nothing with the page. */
function plainRow({ q, k, D, S, scale, softcap, slope, sink, offset, hidden, added }) {
    const score = [], weight = [];
    let sum = sink === null ? 0 : Math.exp(sink);
    for (let j = 0; j < S; j++) {
        let s = 0;
        for (let d = 0; d < D; d++)
            s += q[d] * k[j * D + d];
        s *= scale;
        if (softcap)
            s = softcap * Math.tanh(s / softcap);
        score[j] = s - slope * Math.abs(offset + j);
        if (!hidden[j])
            sum += Math.exp(score[j] + added[j]);
    }
    for (let j = 0; j < S; j++)
        weight[j] = hidden[j] ? 0 : Math.exp(score[j] + added[j]) / sum;
    return { score, weight, lse: Math.log(sum) };
}

function randomRow() {
    const D = 1 + below(9), S = 1 + below(12), own = uniform() < 0.5;
    return { D, S, q: tensor([D], 2).data, k: tensor([S, D], 2).data, scale: own ? 0.3 : 1 / Math.sqrt(D), own,
        softcap: uniform() < 0.5 ? 3 : null, slope: uniform() < 0.5 ? 0.25 : 0,
            sink: uniform() < 0.5 ? uniform() : null,
        offset: -below(S), hidden: booleans([S], 0.2).data, added: tensor([S], 1).data };
}

test('a row is what plain loops make of it', () => {
    for (let n = 0; n < 200; n++) {
        const row = randomRow(), plain = plainRow(row), scores = [];
        const description = { scale: row.own ? [9, row.scale] : null, softcap: row.softcap,
            alibi_slopes: row.slope ? [7, row.slope] : null };
        for (let j = 0; j < row.S; j++) {
            const { sum } = dot(row.q, row.k.subarray(j * row.D, (j + 1) * row.D));
            const parts = scoreParts(description, 1, row.D, sum, row.offset + j);
            near(parts.score, plain.score[j], 'score');
            scores[j] = row.hidden[j] ? -Infinity : parts.score + row.added[j];
        }
        const found = softmax(scores, row.sink ?? -Infinity);
        near(found.lse, plain.lse, 'lse');
        found.weights.forEach((w, j) => near(w, plain.weight[j], `weight ${j}`));
        if (row.sink !== null)
            near(bestSink([{ scores, lse: plain.lse }]), row.sink, 'sink');
        atTemperature(scores, row.sink ?? -Infinity, 1).forEach((w, j) => near(w, plain.weight[j], 'temperature 1'));
    }
});

test('a row without keys weighs nothing, and what it holds does not leak', () => {
    const found = softmax([-Infinity, -Infinity]);
    assert.equal(found.lse, -Infinity);
    assert.deepEqual([...found.weights], [0, 0]);
    assert.deepEqual([...mix([0, 1], [NaN, Infinity, 2, 3], 0, 2)], [2, 3]);
});

test('an extra key has no position', () => {
    assert.equal(scoreParts({ alibi_slopes: [2] }, 0, 1, 3, null).score, 3);
    assert.equal(scoreParts({ alibi_slopes: [2] }, 0, 1, 3, -4).score, -5);
});

test('a high temperature makes weights even, a low one picks the largest', () => {
    atTemperature([1, 2, 3], -Infinity, 1e6).forEach((w) => assert.ok(Math.abs(w - 1 / 3) < 1e-5));
    assert.ok(atTemperature([1, 2, 3], -Infinity, 0.01)[2] > 1 - 1e-12);
});

test('masks of every shape hide the keys that their indices say', () => {
    const B = 2, H = 3, L = 4, S = 5;
    for (const shape of [[L, S], [B * H, L, S], [B, H, L, S], [1, H, L, S], [B, 1, L, S], [1, 1, L, S]]) {
        const mask = booleans(shape, 0.3), padding = booleans([B, S], 0.2);
        const request = { attn_mask: mask, key_padding_mask: padding };
        for (let n = 0; n < 60; n++) {
            const b = below(B), h = below(H), i = below(L), j = below(S);
            const at = { 2: 0, 3: b * H + h, 4: (shape[0] === 1 ? 0 : b) * shape[1] + (shape[1] === 1 ? 0
                : h) }[shape.length];
            const reason = padding.data[b * S + j] ? 'padding' : mask.data[(at * L + i) * S + j] ? 'mask' : null;
            assert.equal(maskAt(request, {}, { batched: true, H, S }, b, h, i, j).reason, reason);
        }
    }
    const alone = { attn_mask: { ...booleans([H, L, S], 0), data: Uint8Array.from({ length: H * L * S }, (_,
        n) => n === 27 ? 1 : 0) } };
    assert.equal(maskAt(alone, {}, { batched: false, H, S }, 0, 1, 1, 2).reason, 'mask');
});

test('numbers in masks add up, and minus infinity hides', () => {
    const number = (data) => ({ shape: [1, 3], dtype: 'float32', data: Float32Array.from(data) });
    const request = { attn_mask: number([1, -Infinity, -3e38]), key_padding_mask: number([2, 0, -3e38]) };
    const at = (j) => maskAt(request, {}, { batched: true, H: 1, S: 3 }, 0, 0, 0, j);
    assert.deepEqual(at(0), { reason: null, added: 3 });
    assert.equal(at(1).reason, 'mask');
    assert.equal(at(2).reason, 'mask'); /* as their sum is minus infinity in float32 */
    assert.deepEqual(at(3), { reason: null, added: 0 });
});

test('causality and windows go by positions', () => {
    const at = (request, description, i, j) => maskAt(request, description, { batched: true, H: 1, S: 9 }, 0, 0, i,
        j).reason;
    assert.equal(at({ is_causal: true }, {}, 2, 3), 'causal');
    assert.equal(at({ is_causal: true, query_offset: 1 }, {}, 2, 3), null);
    assert.equal(at({ is_causal: true, key_offset: 1 }, {}, 2, 2), 'causal');
    assert.equal(at({}, { causal: true }, 2, 3), 'causal');
    assert.equal(at({ is_causal: false }, { causal: true }, 2, 3), null);
    assert.equal(at({}, { sliding_window: 2 }, 4, 2), 'window');
    assert.equal(at({}, { sliding_window: 2 }, 4, 3), null);
    assert.equal(at({}, { sliding_window: 2 }, 4, 6), 'window');
    assert.equal(at({ is_causal: false }, { sliding_window: 2, causal: true }, 4, 6), null);
});

test('Philox is that of its authors', () => {
    /* Known answers of Random123 for philox4x32-10: the first word of each. */
    assert.equal(dropoutFactor(0x6627e8d5 / 2 ** 32, 0, 0, 0, 0, 0), 1 / (1 - 0x6627e8d5 / 2 ** 32));
    assert.equal(dropoutFactor(0x6627e8d6 / 2 ** 32, 0, 0, 0, 0, 0), 0);
    const key = (0x299f31d0n << 32n) | 0xa4093822n;
    const pi = (p) => dropoutFactor(p / 2 ** 32, key, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344);
    assert.notEqual(pi(0xd16cfe09), 0);
    assert.equal(pi(0xd16cfe0a), 0);
});

test('a difference is a share of the largest number', () => {
    assert.equal(compare([1, 100], [1.0005, 100]).equal, true);
    assert.equal(compare([1, 100], [1.002, 100]).equal, false);
    assert.equal(compare([-Infinity], [-Infinity]).equal, true);
    assert.equal(compare([1], [-Infinity]).equal, false);
    assert.equal(compare([NaN], [1]).equal, false);
    assert.equal(compare([1], []).equal, false);
});
