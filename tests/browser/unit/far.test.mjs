/* A request of some of its queries alone asks for the same rows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onlyRows } from '../../../server/web/far.js';
import { randomFrom } from './seeded.mjs';

const random = randomFrom();

function tensorOf(shape) {
    const size = shape.reduce((a, b) => a * b);
    return { shape, dtype: 'float32', data: Float32Array.from({ length: size }, () => random()) };
}

test('queries and masks are cut in every batch entry and head, keys and values stay', () => {
    const query = tensorOf([2, 7, 3]), mask = tensorOf([2, 4, 7, 5]), key = tensorOf([2, 5, 3]);
    const part = onlyRows({ query, key, attn_mask: mask, query_offset: 10, is_causal: true }, [2, 5]);
    assert.deepEqual([part.query.shape, part.attn_mask.shape, part.query_offset, part.is_causal],
        [[2, 3, 3], [2, 4, 3, 5], 12, true]);
    for (let b = 0; b < 2; b++)
        for (let i = 0; i < 3; i++)
            for (let e = 0; e < 3; e++)
                assert.equal(part.query.data[(b * 3 + i) * 3 + e], query.data[(b * 7 + i + 2) * 3 + e]);
    for (let bh = 0; bh < 8; bh++)
        for (let i = 0; i < 3; i++)
            for (let j = 0; j < 5; j++)
                assert.equal(part.attn_mask.data[(bh * 3 + i) * 5 + j], mask.data[(bh * 7 + i + 2) * 5 + j]);
    assert.equal(part.key, key);
    assert.equal(part.value, key);
});

test('without keys of their own, all queries remain the keys', () => {
    const query = tensorOf([7, 3]), part = onlyRows({ query }, [6, 7]);
    assert.equal(part.key, query);
    assert.equal(part.value, query);
    assert.deepEqual([...part.query.data], [...query.data.subarray(18)]);
    assert.deepEqual([part.attn_mask, part.query_offset], [null, 6]);
});

test('dropout counts queries: then nothing is cut', () => {
    assert.equal(onlyRows({ query: tensorOf([7, 3]), training: true }, [0, 1]), null);
});
