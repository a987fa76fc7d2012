/* Smaller maps against plain loops. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { halve, Pyramid } from '../../../server/web/pool.js';
import { randomFrom } from './seeded.mjs';

const random = randomFrom();
const best = {
    max: (numbers) => Math.max(...numbers),
    min: (numbers) => Math.min(...numbers),
    magnitude: (numbers) => numbers.reduce((a, b) => Math.abs(b) > Math.abs(a) ? b : a),
};

function gridOf(rows, cols, Type, number) {
    return { rows, cols, data: Type.from({ length: rows * cols }, number) };
}

/* All numbers that level k keeps in place (r, c). */
function under(grid, k, r, c) {
    const numbers = [];
    for (let i = r * 2 ** k; i < Math.min(grid.rows, (r + 1) * 2 ** k); i++)
        for (let j = c * 2 ** k; j < Math.min(grid.cols, (c + 1) * 2 ** k); j++)
            numbers.push(grid.data[i * grid.cols + j]);
    return numbers;
}

for (const [rule, Type, number] of [['max', Float32Array, () => random()], ['min', Uint8Array, () => random.integer(0,
    4)],
    ['magnitude', Float32Array, () => random() - 0.5]])
    test(`every level of a pyramid by ${rule} is what loops over its cells find`, () => {
        for (let round = 0; round < 12; round++) {
            const grid = gridOf(random.integer(1, 40), random.integer(1, 40), Type, number),
                pyramid = new Pyramid(grid, rule);
            for (let k = 0; k < 7; k++) {
                const level = pyramid.level(k);
                assert.deepEqual([level.rows, level.cols], [Math.ceil(grid.rows / 2 ** k),
                    Math.ceil(grid.cols / 2 ** k)]);
                for (let r = 0; r < level.rows; r++)
                    for (let c = 0; c < level.cols; c++)
                        assert.equal(Math.abs(level.data[r * level.cols + c]), Math.abs(best[rule](under(grid, k, r,
                            c))), `${k} ${r} ${c}`);
            }
        }
    });

test('a single peak is seen in every level', () => {
    const grid = gridOf(64, 64, Float32Array, () => 0);
    grid.data[37 * 64 + 11] = 1;
    const pyramid = new Pyramid(grid, 'max');
    for (let k = 0; k <= 6; k++)
        assert.equal(pyramid.level(k).data.reduce((a, b) => a + b), 1);
});

test('a difference keeps its sign', () => {
    const { data } = halve({ rows: 2, cols: 2, data: Float32Array.of(0.25, -0.5, 0.125, 0) }, 'magnitude');
    assert.deepEqual([...data], [-0.5]);
});
