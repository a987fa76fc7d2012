import assert from 'node:assert/strict';
import { test } from 'node:test';
import { edited, heated, plainOf, runEdits } from '../../../server/web/whatif.js';
import { maskAt } from '../../../server/web/arithmetic.js';
import { NOTHING } from '../../../server/web/link.js';
import { below, booleans, tensor, uniform } from './random.mjs';

const dims = { batched: true, B: 2, H: 3, L: 4, S: 5 };

test('what is edited is hidden, and nothing else is', () => {
    for (let n = 0; n < 100; n++) {
        const masks = [null, booleans([4, 5], 0.2), tensor([4, 5]), booleans([6, 4, 5], 0.2), tensor([2, 1, 4, 5])];
        const request = { attn_mask: masks[below(5)], key_padding_mask: [null, booleans([2, 5], 0.2), tensor([2,
            5])][below(3)] };
        const what = { ...NOTHING, maskedKeys: [below(6)], maskedEdges: [[below(4), below(5)], [below(9), below(9)]],
            causal: uniform() < 0.5 ? null : true };
        const before = JSON.stringify(request), after = edited(request, dims, what);
        const at = (one, b, h, i, j) => maskAt(one, {}, dims, b, h, i, j);
        for (let k = 0; k < 2 * 3 * 4 * 5; k++) {
            const [j, i, h, b] = [k % 5, Math.floor(k / 5) % 4, Math.floor(k / 20) % 3, Math.floor(k / 60)];
            const hidden = what.maskedKeys.includes(j) || what.maskedEdges.some(([p,
                q]) => p === i && q === j) || (what.causal && j > i);
            const old = at(request, b, h, i, j), now = at(after, b, h, i, j);
            assert.equal(now.reason !== null, hidden || old.reason !== null);
            if (now.reason === null)
                assert.equal(now.added, old.added);
        }
        assert.equal(JSON.stringify(request), before);
    }
});

test('no edit changes nothing', () => {
    const request = { query: tensor([4, 2]), attn_mask: booleans([4, 5], 0.5) };
    assert.deepEqual(edited(request, dims, NOTHING), request);
});

function result() {
    const [B, H, L, S] = [2, 3, 4, 5], scores = tensor([B, H, L, S], 3), lse = { shape: [B, H, L], dtype: 'float32',
        data: new Float32Array(B * H * L) };
    return { B, H, L, S, keys: S, batched: true, scores, lse, weights: tensor([B, H, L, S]),
        request: { key_padding_mask: booleans([B, S], 0.2) },
        description: {}, title: 'plain', keyLabels: ['a', 'b', 'c', 'd', 'e'], queryLabels: [] };
}

test('a temperature divides the scores, in plain loops', () => {
    const cold = result(), T = 0.5 + uniform() * 3, hot = heated(cold, T);
    for (let at = 0; at < 24; at++) {
        const b = Math.floor(at / 12), row = [...cold.scores.data.subarray(at * 5, at * 5 + 5)];
        const exps = row.map((s, j) => cold.request.key_padding_mask.data[b * 5 + j] ? 0 : Math.exp(s / T)),
            sum = exps.reduce((a, e) => a + e, 0);
        exps.forEach((e, j) => assert.ok(Math.abs(hot.weights.data[at * 5 + j] - (sum > 0 ? e / sum : 0)) < 1e-6));
    }
    assert.equal(hot.output, null);
    assert.equal(plainOf(hot), cold);
});

test('edits are of the plain request, known ones do not run again, and 20 runs are kept', async () => {
    let state = { result: result(), runs: [], what: NOTHING }, ran = 0;
    const store = { get: () => state, set: (patch) => state = { ...state, ...patch } }, plain = state.result;
    const service = { attend: async (request) => ({ ...result(), request, number: ++ran }) };
    await runEdits(store, service, { ...NOTHING, maskedKeys: [1] });
    const first = state.result;
    assert.equal(first.title, 'plain: without b');
    await runEdits(store, service, { ...NOTHING, maskedKeys: [1], temperature: 2 });
    assert.equal(ran, 1); /* the temperature is made here */
    assert.equal(state.result.base, first);
    await runEdits(store, service, { ...NOTHING, maskedKeys: [2] });
    assert.equal(maskAt(state.result.request, {}, dims, 0, 0, 0, 1).reason, maskAt(plain.request, {}, dims, 0, 0, 0,
        1).reason);
    await runEdits(store, service, { ...NOTHING, maskedKeys: [1] });
    assert.equal(state.result, first);
    assert.equal(ran, 2);
    await runEdits(store, service, NOTHING);
    assert.equal(state.result, plain);
    const other = result();
    await runEdits(store, service, { ...NOTHING, maskedKeys: [1] }, undefined, other);
    assert.equal(plainOf(state.result), other);
    for (let n = 0; n < 25; n++)
        await runEdits(store, service, { ...NOTHING, maskedEdges: [[n % 4, n % 5], [n % 3, 0]] });
    assert.ok(state.runs.length <= 20);
});
