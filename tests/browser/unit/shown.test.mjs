/* What the views show, against plain loops over the weights. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dropKeys, extentOf } from '../../../server/web/near.js';
import { REASONS } from '../../../server/web/paint.js';
import { fromWeights } from '../../../server/web/result.js';
import { comparable, paletteOf, scaleOf, shown, shownOf } from '../../../server/web/shown.js';
import { randomFrom } from './seeded.mjs';

const random = randomFrom();
const close = (a, b, within = 1e-6) => assert.ok(Math.abs(a - b) <= within, `${a} is not ${b}`);

function resultOf(B, H, L, S, causal = false) {
    const data = new Float32Array(B * H * L * S);
    for (let row = 0; row < B * H * L; row++) {
        const open = causal ? Math.min(S, row % L + 1) : S, numbers = Array.from({ length: open },
            () => random() + 0.01);
        numbers.forEach((n, j) => data[row * S + j] = n / numbers.reduce((a, b) => a + b));
    }
    const result = fromWeights({ weights: { shape: [B, H, L, S], dtype: 'float32', data }, title: '' });
    result.reasonAt = (b, h, i, j) => causal && j > i ? 'causal' : null;
    return result;
}

const stateOf = (result, more = {}) => ({ result, compare: null, batch: 0, head: 0, dropped: [], scale: 'linear',
    scope: 'head', palette: 'cividis', ...more });

test('a head, the mean and the largest of all', () => {
    const result = resultOf(2, 3, 4, 5), w = result.weights.data, at = (h, i, j) => w[(((1 * 3 + h) * 4) + i) * 5 + j];
    for (let i = 0; i < 4; i++)
        for (let j = 0; j < 5; j++) {
            const all = [0, 1, 2].map((h) => at(h, i, j)), of = (head) => shown(stateOf(result, { batch: 1, head }));
            assert.equal(of(2).at(i, j), all[2]);
            assert.equal(of('max').row(i)[j], Math.max(...all));
            close(of('mean').column(j)[i], all.reduce((a, b) => a + b) / 3);
        }
});

test('dropped keys are gone, and rows sum to what they summed to', () => {
    const row = dropKeys(Float32Array.of(0.6, 0.1, 0.3), [0]);
    assert.deepEqual([...row].map((w) => w.toFixed(6)), ['0.000000', '0.250000', '0.750000']);
    assert.deepEqual([...dropKeys(Float32Array.of(1, 0), [0])], [0, 0]);
    const map = shown(stateOf(resultOf(1, 1, 6, 6), { dropped: [2] }));
    for (let i = 0; i < 6; i++) {
        close(map.row(i).reduce((a, b) => a + b), 1);
        assert.equal(REASONS[map.reason(i, 2)], 'dropped');
    }
});

test('masked cells have their reason, in all sizes', () => {
    const map = shown(stateOf(resultOf(1, 2, 9, 9, true))), line = new Uint8Array(9);
    map.readReasons(0, 3, 0, 9, line);
    assert.deepEqual([...line].map((n) => REASONS[n]), [...Array(4).fill(''), ...Array(5).fill('causal')]);
    map.readReasons(1, 1, 0, 5, line);
    assert.deepEqual([...line.slice(0, 5)].map((n) => REASONS[n]), ['', '', 'causal', 'causal', 'causal']);
});

test('a difference is A minus B, and has its own palette', () => {
    const a = resultOf(1, 2, 3, 4), b = resultOf(1, 2, 3, 4), state = stateOf(a, { compare: b, head: 1 });
    assert.ok(comparable(a, b) && !comparable(a, a) && !comparable(a, resultOf(1, 2, 3, 5)) && !comparable(a, null));
    close(shown(state).at(2, 3), a.weightAt(0, 1, 2, 3) - b.weightAt(0, 1, 2, 3));
    assert.equal(paletteOf(state), 'diverging');
    assert.ok(scaleOf(state).signed);
    assert.equal(paletteOf(stateOf(a)), 'cividis');
});

test('the range is 0 to 1, or that of all heads, of the head, of each row', () => {
    const result = resultOf(1, 2, 5, 5), of = (more) => scaleOf(stateOf(result, more)).most,
        largest = (numbers) => Math.max(...numbers);
    assert.equal(of({ scope: 'fixed' }), 1);
    assert.equal(of({ scope: 'all' }), largest(result.weights.data));
    assert.equal(of({ scope: 'head' }), largest(result.weights.data.subarray(0, 25)));
    assert.equal(of({ scope: 'row' }), 1);
    const map = shownOf(stateOf(result, { scope: 'row' }), 0), line = new Float32Array(5);
    for (let i = 0; i < 5; i++) {
        map.read(0, i, 0, 5, line);
        close(largest(line), 1);
        close(line[1], map.row(i)[1] / largest(map.row(i)));
    }
});

test('the extent knows the smallest above zero', () => {
    assert.deepEqual(extentOf(Float32Array.of(0, 0.25, 0.5)), { smallest: 0.25, largest: 0.5 });
    assert.deepEqual(extentOf(Float32Array.of(0, 0)), { smallest: 0, largest: 0 });
    assert.deepEqual(extentOf(Float32Array.of(-0.5, 0.25)), { smallest: 0.25, largest: 0.5 });
});

test('the map stays the same object until something about it changes', () => {
    const result = resultOf(1, 2, 3, 3), state = stateOf(result);
    assert.equal(shown(state), shown({ ...state, palette: 'grey', hover: { i: 1, j: 1 } }));
    assert.notEqual(shown(state), shown({ ...state, dropped: [1] }));
    assert.equal(shown({ ...state, result: null }), null);
});
