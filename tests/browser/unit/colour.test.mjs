/* The page's colours against the rules and the table of the service's own pictures. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { colourScale, inkOn, level, palette, place, ticks } from '../../../server/web/colour.js';

const root = new URL('../../../', import.meta.url);
const close = (a, b) => assert.ok(Math.abs(a - b) <= 1e-12 * Math.max(1, Math.abs(b)), `${a} is not ${b}`);

test('cividis is the table of the service', () => {
    const source = readFileSync(new URL('server/picture/cividis.c', root), 'utf8');
    const table = source.slice(source.indexOf('cividis[CIVIDIS_COLOURS]'));
    const numbers = [...table.matchAll(/\{(\d+), *(\d+), *(\d+)\}/g)];
    assert.deepEqual([...palette('cividis')], numbers.flatMap((m) => m.slice(1).map(Number)));
});

test('the other palettes have 256 colours and their known ends', () => {
    const ends = { viridis: [68, 1, 84, 253, 231, 37], grey: [16, 16, 16, 250, 250, 250], diverging: [8, 48, 107, 127,
        59, 8] };
    for (const [name, colours] of Object.entries(ends)) {
        assert.equal(palette(name).length, 768);
        assert.deepEqual([...palette(name).slice(0, 3), ...palette(name).slice(-3)], colours);
    }
    assert.deepEqual([...palette('viridis').slice(3 * 128, 3 * 128 + 3)].map((c, n) => Math.abs(c - [33, 145,
        140][n]) <= 2), [true, true, true]);
    assert.ok(palette('diverging').slice(3 * 127, 3 * 129).every((c) => c > 240), 'white in the middle');
});

test('linear and square root begin at zero and end at the largest', () => {
    close(place(colourScale('linear', 0.1, 0.8), 0.2), 0.25);
    close(place(colourScale('sqrt', 0.1, 0.8), 0.2), 0.5);
    assert.equal(place(colourScale('linear', 0, 0.5), 0.7), 1);
    assert.equal(place(colourScale('sqrt', 0, 0.5), -0.1), 0);
    assert.deepEqual(colourScale('linear', 0, 0), { kind: 'linear', least: 0, most: 1, signed: false });
});

test('a logarithmic scale has at most six decades and at least one', () => {
    assert.equal(colourScale('log', 1e-3, 1).least, 1e-3);
    close(colourScale('log', 1e-30, 0.5).least, 0.5e-6);
    close(colourScale('log', 0.4, 0.5).least, 0.05);
    const scale = colourScale('log', 1e-4, 1);
    close(place(scale, 1e-2), 0.5);
    assert.equal(place(scale, 1e-9), 0);
    assert.equal(place(scale, 0), 0);
});

test('a signed scale has zero in the middle', () => {
    for (const kind of ['linear', 'sqrt', 'log']) {
        const scale = colourScale(kind, 0, 0.4, true);
        assert.equal(place(scale, 0), 0.5);
        assert.equal(place(scale, -0.4), 0);
        assert.equal(place(scale, 0.4), 1);
    }
    close(place(colourScale('sqrt', 0, 0.4, true), -0.1), 0.25);
});

test('levels are rounded as the service rounds them', () => {
    const scale = colourScale('linear', 0, 1);
    assert.equal(level(scale, 0.5), 128);
    assert.equal(level(scale, 1.4 / 255), 1);
    assert.equal(level(scale, 1.5 / 255), 2);
});

test('ticks are round, have the ends, and keep their distance', () => {
    const sorted = (scale, gap) => ticks(scale, gap).sort((a, b) => a - b).map((n) => Number(n.toPrecision(6)));
    assert.deepEqual(sorted(colourScale('linear', 0, 1), 0.05), [0, 0.2, 0.4, 0.6, 0.8, 1]);
    assert.deepEqual(sorted(colourScale('linear', 0, 0.53), 0.1), [0, 0.1, 0.2, 0.3, 0.4, 0.53]);
    assert.deepEqual(sorted(colourScale('log', 1e-4, 1), 0.05), [1e-4, 1e-3, 1e-2, 0.1, 1]);
    assert.deepEqual(sorted(colourScale('log', 0.1, 1), 0.05), [0.1, 0.2, 0.5, 1]);
    assert.deepEqual(sorted(colourScale('linear', 0, 0.4, true), 0.1), [-0.4, -0.2, 0, 0.2, 0.4]);
    for (const kind of ['linear', 'sqrt', 'log'])
        for (const most of [1e-7, 0.013, 0.5, 1, 7])
            for (const gap of [0.01, 0.1, 0.3]) {
                const scale = colourScale(kind, most / 1234, most), places = ticks(scale, gap).map((n) => place(scale,
                    n)).sort((a, b) => a - b);
                const least = kind === 'linear' || places.length <= 2 ? gap : Math.max(gap, 0.06);
                assert.ok(places.length >= 2 && places.every((p, n) => n === 0 || p - places[n - 1] >= least - 1e-9),
                    `${kind} ${most} ${gap}: ${places}`);
            }
});

test('the ink on a colour has a contrast of at least 4.5 to 1', () => {
    const luminance = (r, g, b) => [r, g, b].map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c
        + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
    for (const name of ['cividis', 'viridis', 'grey', 'diverging'])
        for (let n = 0; n < 256; n++) {
            const paper = luminance(...palette(name).slice(3 * n, 3 * n + 3)), ink = inkOn(palette(name),
                n) === '#000' ? 0 : 1;
            assert.ok((Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) >= 4.5, `${name} ${n}`);
        }
});
