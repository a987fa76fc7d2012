/* Ranks, entropies and what tells heads apart, against values worked out by hand or by plain loops. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entropy, evenness, headFacts, largest, likeness, NEAR_UNIFORM, rank, sample,
    total } from '../../../server/web/measure.js';
import { randomFrom } from './seeded.mjs';

const random = randomFrom();
const close = (a, b, within = 1e-6) => assert.ok(Math.abs(a - b) <= within, `${a} is not ${b}`);

test('the rank counts the larger ones', () => {
    const row = Float32Array.of(0.1, 0.4, 0.1, 0.3, 0.1);
    assert.deepEqual([0, 1, 2, 3, 4].map((j) => rank(row, j)), [3, 1, 3, 2, 3]);
    const long = Float32Array.from({ length: 200 }, () => random()), order = [...long].sort((a, b) => b - a);
    for (let j = 0; j < 200; j++)
        assert.equal(rank(long, j), order.indexOf(long[j]) + 1);
});

test('the largest ones come first, zeros not at all', () => {
    assert.deepEqual(largest(Float32Array.of(0, 0.5, 0.25, 0.5, 0), 9), [1, 3, 2]);
    assert.deepEqual(largest(Float32Array.of(0.1, -0.5, 0.2), 2), [1, 2]);
});

test('entropy is 0 for one key and log n for n equal ones', () => {
    assert.equal(entropy(Float32Array.of(0, 1, 0)), 0);
    close(entropy(new Float32Array(8).fill(1 / 8)), Math.log(8));
    close(entropy(Float32Array.of(0.5, 0.25, 0.25)), 1.5 * Math.LN2);
    close(evenness(Math.log(8), 8), 1);
    assert.equal(evenness(0, 1), null);
    assert.equal(evenness(0, 0), null);
});

test('a near uniform head is one, with masks or without; a sharp one is not', () => {
    const rows = (weightsOf, count, allowedOf) => Array.from({ length: count }, (_, i) => ({ i, weights: weightsOf(i),
        allowed: allowedOf(i) }));
    const causal = rows((i) => Float32Array.from({ length: 6 }, (_, j) => j <= i ? 1 / (i + 1) : 0), 6, (i) => i + 1);
    close(headFacts(causal, 0, 6).even, 1);
    assert.ok(headFacts(causal, 0, 6).even >= NEAR_UNIFORM);
    const sharp = rows((i) => Float32Array.from({ length: 6 }, (_, j) => j === i ? 1 : 0), 6, () => 6);
    assert.equal(headFacts(sharp, 0, 6).even, 0);
});

test('a head of previous tokens, and rows without keys', () => {
    const weights = (i) => Float32Array.from({ length: 5 }, (_, j) => j === i - 1 ? 1 : 0);
    const rows = [1, 2, 3, 4].map((i) => ({ i, weights: weights(i), allowed: 5 }));
    const facts = headFacts([...rows, { i: 0, weights: new Float32Array(5), allowed: 0 }], 0, 5);
    assert.deepEqual([facts.previous, facts.self, facts.first, facts.distance], [1, 0, 0.25, 1]);
    const shifted = headFacts([{ i: 0, weights: Float32Array.of(0, 0, 0, 1, 0), allowed: 5 }], 4, 4);
    assert.deepEqual([shifted.previous, shifted.distance], [1, 1]);
    assert.deepEqual(headFacts([], 0, 0), { even: null, first: null, self: null, previous: null, distance: null });
});

test('likeness is 1 for the same, 0 for disjoint ones, null for nothing', () => {
    close(likeness(Float32Array.of(0.2, 0.8), Float32Array.of(0.1, 0.4)), 1);
    assert.equal(likeness(Float32Array.of(1, 0), Float32Array.of(0, 1)), 0);
    assert.equal(likeness(Float32Array.of(0, 0), Float32Array.of(0, 1)), null);
});

test('sums leave out what is not there', () => {
    const { count, sum, mean } = total([0.5, null, 0.25, NaN]);
    assert.deepEqual([count, sum, mean], [2, 0.75, 0.375]);
    assert.deepEqual(total([]), { count: 0, sum: 0, mean: 0 });
});

test('a sample is all rows or evenly spread ones', () => {
    assert.deepEqual(sample(3, 10), [0, 1, 2]);
    assert.deepEqual(sample(10, 4), [0, 2, 5, 7]);
});
