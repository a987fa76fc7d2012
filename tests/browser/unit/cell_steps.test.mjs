import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cellSteps } from '../../../server/web/cell_steps.js';
import { booleans, below, tensor } from './random.mjs';

const f32 = (shape) => ({ shape, dtype: 'float32', data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });

/* Does this layer let query i look at key j? */
function sees({ request, S }, b, h, i, j) {
    if (j >= S)
        return true;
    return !(request.is_causal && j > i) && !request.key_padding_mask.data[b * S + j];
}

/* One head of one query, in plain loops: fills in what the service would have returned. */
function attend(all, b, h, i) {
    const { result, whole, sinks, scores, weights } = all, { H, Hkv, L, keys, D, S, description } = result;
    const row = (b * H + h) * L + i, group = b * Hkv + Math.floor(h * Hkv / H);
    let sum = Math.exp(sinks[h]);
    for (let j = 0; j < keys; j++) {
        let s = 0;
        for (let d = 0; d < D; d++)
            s += whole.q.data[row * D + d] * whole.k.data[(group * keys + j) * D + d];
        s = 2 * Math.tanh(s * description.scale[h] / 2) - (j < S ? description.alibi_slopes[h] * Math.abs(j - i) : 0);
        s += j < S ? all.biases[(j - i + 99) * H + h] : 0;
        scores.data[row * keys + j] = s;
        sum += sees(result, b, h, i, j) ? Math.exp(s + (j < S ? result.request.attn_mask.data[i * S + j] : 0)) : 0;
    }
    whole.lse.data[row] = Math.log(sum);
    for (let j = 0; j < keys; j++) {
        const mask = j < S ? result.request.attn_mask.data[i * S + j] : 0;
        const w = sees(result, b, h, i, j) ? Math.exp(scores.data[row * keys + j] + mask) / sum : 0;
        weights.data[row * keys + j] = w;
        for (let d = 0; d < D; d++)
            whole.head_output.data[row * D + d] += w * whole.v.data[(group * keys + j) * D + d];
    }
}

/* A layer with everything: shared keys, an extra key, own scales, a soft cap, ALiBi, a relative bias, sinks, masks. */
function layer() {
    const [B, L, S, H, Hkv, D, E] = [2, 5, 4, 4, 2, 3, 6], keys = S + 1;
    const whole = { q: tensor([B, H, L, D]), k: tensor([B, Hkv, keys, D]), v: tensor([B, Hkv, keys, D]), lse: f32([B, H, L]),
        head_output: f32([B, H, L, D]) };
    const description = { scale: [0.5, 0.6, 0.7, 0.8], softcap: 2, alibi_slopes: [0.5, 0.25, 0.1, 0], relative_bias: {},
        sinks: true, dropout: 0 };
    const request = { is_causal: true, key_padding_mask: booleans([B, S], 0.2), attn_mask: tensor([L, S]) };
    const result = { B, L, S, H, Hkv, D, E, keys, batched: true, description, request, seed: null, output: f32([B, L, E]),
        keyLabels: ['a', 'b', 'c', 'd', 'zero key'] };
    const all = { result, whole, scores: f32([B, H, L, keys]), weights: f32([B, H, L, keys]), sinks: tensor([H]).data,
        biases: tensor([200, H]).data };
    for (let n = 0; n < B * H * L; n++)
        attend(all, Math.floor(n / (H * L)), Math.floor(n / L) % H, n % L);
    return all;
}

/* The source for one cell; the output projection is E sums of the heads' numbers, and a bias. */
function sourceOf({ result, whole, scores, weights }, b, h, i, j) {
    const { H, L, D, E, keys, output } = result, projected = new Float32Array((H + 2) * E), bias = (e) => e / 10;
    const rows = new Map(Array.from({ length: L }, (_, n) => [n, Object.fromEntries(Object.entries({ scores, weights })
        .map(([name, { data }]) => [name, data.subarray(((b * H + h) * L + n) * keys, ((b * H + h) * L + n + 1) * keys)]))]));
    for (let e = 0; e < E; e++) {
        for (let n = 0; n < H + 2; n++)
            projected[n * E + e] = bias(e);
        output.data[(b * L + i) * E + e] = bias(e);
        for (let n = 0; n < H; n++) {
            const share = whole.head_output.data[((b * H + n) * L + i) * D + e % D] * (1 + e + n);
            projected[n * E + e] += share;
            output.data[(b * L + i) * E + e] += share;
        }
    }
    return { result, whole, rows, projected, b, h, i, j };
}

const wrong = (steps) => steps.filter(({ check }) => check && !check.equal).map(({ title }) => title);

test('all steps of all cells agree with plain loops', () => {
    const all = layer();
    for (let n = 0; n < 100; n++) {
        const [b, h, i, j] = [below(2), below(4), below(5), below(5)], steps = cellSteps(sourceOf(all, b, h, i, j));
        assert.equal(/^Masked/.test(steps[2].lines[0]), !sees(all.result, b, h, i, j));
        assert.deepEqual(wrong(steps), []);
        assert.equal(steps.length, 8);
        assert.ok(steps.filter(({ check }) => check).length >= 6);
    }
});

test('a number that is wrong makes its step red', () => {
    for (let n = 0; n < 20; n++) {
        const all = layer(), [b, h, i] = [below(2), below(4), 1 + below(4)], { H, L, D, E, keys } = all.result;
        const row = (b * H + h) * L + i, fresh = () => sourceOf(all, b, h, i, 4);
        const spoil = (data, at, expected) => {
            const old = data[at], source = fresh();
            data[at] = old + 0.01;
            assert.ok(wrong(cellSteps(source)).includes(expected), expected);
            data[at] = old;
        };
        spoil(all.scores.data, row * keys + 4, 'Scale');
        spoil(all.whole.lse.data, row, 'Row sum');
        spoil(all.weights.data, row * keys + 4, 'Weight');
        spoil(all.whole.head_output.data, row * D, 'Value mix');
        spoil(all.result.output.data, (b * L + i) * E, 'Output projection');
    }
});

test('what cannot be known is said', () => {
    const source = sourceOf(layer(), 0, 0, 2, 0);
    const steps = cellSteps({ ...source, rows: new Map([[2, source.rows.get(2)]]), projected: null });
    const unknown = steps.filter((step) => step.unknown).map(({ title }) => title);
    assert.deepEqual(unknown, ['Scale', 'Row sum', 'Output projection']);
    assert.deepEqual(wrong(steps), []);
});
