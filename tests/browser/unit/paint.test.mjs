/* Tiles against what a plain look-up, pixel by pixel, would paint. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { colourScale, level } from '../../../server/web/colour.js';
import { clipped, hatched, packed, paintTile, poolingAt, TILE } from '../../../server/web/paint.js';
import { Pyramid } from '../../../server/web/pool.js';
import { randomFrom } from './seeded.mjs';

const random = randomFrom();

function sourceOf(rows, cols) {
    const grid = { rows, cols, data: Float32Array.from({ length: rows * cols }, () => random()) };
    const why = { rows, cols, data: Uint8Array.from({ length: rows * cols }, () => random() < 0.3 ? random.integer(1,
        7) : 0) };
    const numbers = new Pyramid(grid, 'max'), reasons = new Pyramid(why, 'min');
    const read = (pyramid) => (k, r, from, to, out) => {
        const { data, cols: width } = pyramid.level(k);
        out.set(data.subarray(r * width + from, r * width + to));
    };
    return { rows, cols, grid, why, read: read(numbers), readReasons: read(reasons) };
}

const colours = Uint32Array.from({ length: 256 }, (_, n) => packed(n, n, n));
const look = { colours, hatch: packed(1, 0, 0), ground: packed(2, 0, 0), grid: packed(3, 0, 0), mark: packed(4, 0, 0),
    ratio: 1 };

/* The colour of pixel (x, y) of the whole map, when cells are `size` pixels and have no lines between them. */
function expected(source, scale, size, x, y) {
    const k = poolingAt(size), step = 2 ** k, r = Math.floor((y + 0.5) / (size * step)),
        c = Math.floor((x + 0.5) / (size * step));
    if (r * step >= source.rows || c * step >= source.cols)
        return 0;
    let most = 0, reason = Infinity;
    for (let i = r * step; i < Math.min(source.rows, (r + 1) * step); i++)
        for (let j = c * step; j < Math.min(source.cols, (c + 1) * step); j++) {
            most = Math.max(most, source.grid.data[i * source.cols + j]);
            reason = Math.min(reason, source.why.data[i * source.cols + j]);
        }
    return reason === 0 ? colours[level(scale, most)] : hatched(reason, x, y, 6) ? look.hatch : look.ground;
}

for (const size of [0.2, 0.5, 0.77, 1, 1.5, 3.3, 7])
    test(`a tile with cells of ${size} pixels`, () => {
        const source = sourceOf(random.integer(100, 900), random.integer(100, 900)), scale = colourScale('sqrt', 0, 1);
        for (const [x, y] of [[0, 0], [256, 0], [0, 256], [512, 512]]) {
            const pixels = new Uint32Array(TILE * TILE);
            paintTile(pixels, { ...look, source, size, scale, x, y });
            for (let n = 0; n < 3000; n++) {
                const [across, down] = [random.integer(0, TILE), random.integer(0, TILE)];
                assert.equal(pixels[down * TILE + across], expected(source, scale, size, x + across, y + down),
                    `${x + across}, ${y + down}`);
            }
        }
    });

test('no pooled cell is smaller than a pixel, and none larger than two', () => {
    for (let n = 0; n < 1000; n++) {
        const size = random(), drawn = size * 2 ** poolingAt(size);
        assert.ok(drawn >= 1 - 1e-6 && drawn < 2 + 1e-6, `${size}`);
    }
    assert.equal(poolingAt(1), 0);
    assert.equal(poolingAt(0.5), 1);
});

test('numbers beyond the scale are clipped, and only they', () => {
    const linear = colourScale('linear', 0, 0.5), log = colourScale('log', 1e-3, 0.5);
    assert.deepEqual([0, 0.5, 0.6, -0.1].map((n) => clipped(linear, n)), [0, 0, 1, -1]);
    assert.deepEqual([0, 1e-3, 1e-4, 0.6].map((n) => clipped(log, n)), [0, 0, -1, 1]);
    const pixels = new Uint32Array(TILE * TILE), source = sourceOf(2, 2);
    source.grid.data.set([0.1, 0.9, 0.1, 0.1]);
    source.why.data.fill(0);
    paintTile(pixels, { ...look, source, size: 40, scale: linear, x: 0, y: 0 });
    const marks = [...pixels.keys()].filter((n) => pixels[n] === look.mark);
    assert.ok(marks.length > 0 && marks.every((n) => n % TILE >= 40 && n % TILE < 80 && n / TILE < 40));
});

test('what is not a number gets no colour', () => {
    const pixels = new Uint32Array(TILE * TILE), source = sourceOf(3, 3);
    source.grid.data.fill(NaN);
    source.why.data.fill(0);
    paintTile(pixels, { ...look, source, size: 9, scale: colourScale('linear', 0, 1), x: 0, y: 0 });
    for (let n = 0; n < 27; n++)
        assert.ok([look.hatch, look.ground].includes(pixels[n * TILE + n]));
});

test('each reason has a pattern of its own', () => {
    const patterns = [1, 2, 3, 4, 5, 6, 7].map((reason) => {
        let bits = '';
        for (let y = 0; y < 12; y++)
            for (let x = 0; x < 12; x++)
                bits += hatched(reason, x, y, 6) ? '#' : '.';
        return bits;
    });
    assert.equal(new Set(patterns).size, 7);
});
