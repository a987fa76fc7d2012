/* Point 5: colours that say what they stand for: the palette, the legend, hatching, badges, dropped keys. */

import assert from 'node:assert/strict';
import { control, example, lockByKeys, pixelsAt, pointOf, settle, tab, until } from './explorer.mjs';
import { pageTest, setUp } from './harness.mjs';
import { askAgain, unbatched } from './wire.mjs';

setUp();

/* Some of the published 256 colours of each map (matplotlib 3.8), by their number. */
const PUBLISHED = { cividis: { 0: [0, 34, 78], 64: [66, 78, 108], 128: [125, 124, 120], 191: [186, 174, 107],
    255: [254, 232, 56] },
    viridis: { 0: [68, 1, 84], 64: [59, 82, 139], 128: [33, 145, 140], 191: [92, 200, 99], 255: [253, 231, 37] }};

/* Weights whose places on a scale from 0 to 1 are the colours 0, 64, 128, 191, 255. */
const LEVELS = [0, 64, 128, 191, 255], SHOWN = [LEVELS.map((n) => n / 255), [1, 0, 0, 0, 0]];

async function showWeights(page, rows) {
    await page.getByLabel('Choose files').setInputFiles({ name: 'weights.json', mimeType: '',
        buffer: Buffer.from(JSON.stringify({ attn_weights: [rows] })) });
    await until(() => page.locator('#sizes').textContent(), (text) => text.includes('from a file'));
    await settle(page);
}

/* A corner of each cell: the number in it stands in the middle. */
async function coloursOfRow(page, i, count) {
    const places = [];
    for (let j = 0; j < count; j++) {
        const { x, y } = await pointOf(page, i, j);
        places.push({ x: x - 14, y: y - 14 });
    }
    return pixelsAt(page, places);
}

const close = (a, b) => a.every((part, n) => Math.abs(part - b[n]) <= 2);

for (const palette of ['cividis', 'viridis'])
    pageTest(`${palette} draws known weights in its published colours`, {}, async (page) => {
        await showWeights(page, SHOWN);
        assert.equal(await control(page, 'Colours').inputValue(), 'cividis',
            'what is drawn unless something else is chosen');
        await control(page, 'Colours').selectOption(palette);
        await control(page, 'Range').selectOption('0 to 1');
        await settle(page);
        const colours = await coloursOfRow(page, 0, LEVELS.length);
        LEVELS.forEach((n, j) => assert.ok(close(colours[j], PUBLISHED[palette][n]),
            `${n}: ${colours[j]}, not ${PUBLISHED[palette][n]}`));
    });

pageTest('grey is grey, the lighter the more', {}, async (page) => {
    await showWeights(page, SHOWN);
    await control(page, 'Colours').selectOption('grey');
    await control(page, 'Range').selectOption('0 to 1');
    await settle(page);
    const colours = await coloursOfRow(page, 0, LEVELS.length), light = colours.map(([r]) => r);
    assert.ok(colours.every(([r, g, b]) => r === g && g === b), 'grey');
    assert.ok(light[0] < 40 && light[4] > 215, `from dark to light: ${light}`);
    for (const n of [1, 2, 3])
        assert.ok(light[n] > light[n - 1] && light[n] < light[n + 1], `${light}`);
});

pageTest('scales and ranges change the colours as they say, never the numbers', {}, async (page) => {
    await showWeights(page, [[0.25, 0.04, 0.01], [0.125, 0.0625, 0]]);
    const legend = page.locator('#legend .scale'), ends = async () => legend.getAttribute('aria-label');
    const first = async () => (await coloursOfRow(page, 0, 1))[0];
    const at = async (scale, range) => {
        await control(page, 'Scale').selectOption(scale);
        await control(page, 'Range').selectOption(range);
        await settle(page);
        return first();
    };
    assert.ok(close(await at('linear', 'fixed'), PUBLISHED.cividis[64]), '0.25 of 1');
    assert.match(await ends(), /^Colours from 0 to 1, linear/);
    assert.ok(close(await at('linear', 'head'), PUBLISHED.cividis[255]), 'the largest');
    assert.match(await ends(), /^Colours from 0 to 0.25, linear/);
    assert.ok(close(await at('sqrt', 'fixed'), PUBLISHED.cividis[128]), 'the root of 0.25 is a half');
    assert.match(await ends(), /square root/);
    await at('log', 'head');
    assert.match(await ends(), /^Colours from 0.01 to 0.25, logarithmic/);
    await at('linear', 'row');
    assert.ok(close((await coloursOfRow(page, 1, 2))[1], PUBLISHED.cividis[128]), 'a half of the largest of its row');
    await tab(page, 'Table');
    assert.deepEqual(await page.locator('#table tbody td').allTextContents(),
        ['0.25', '0.04', '0.01', '0.125', '0.0625', '0']);
});

pageTest('the legend always has numbers', {}, async (page) => {
    for (const scale of ['linear', 'sqrt', 'log'])
        for (const range of ['fixed', 'all', 'head', 'row']) {
            await control(page, 'Scale').selectOption(scale);
            await control(page, 'Range').selectOption(range);
            await settle(page);
            const numbers = await page.locator('#legend .scale span').allTextContents();
            assert.ok(numbers.length >= 2 && numbers.every((text) => Number.isFinite(Number(text.replace('−', '-')))),
                `${scale}, ${range}: ${numbers}`);
        }
});

/* The different colours in a square around a place. */
const texture = async (page, { x, y }) => new Set((await pixelsAt(page, Array.from({ length: 400 }, (_, n) =>
    ({ x: x - 10 + n % 20, y: y - 10 + Math.floor(n / 20) })))).map(String));

pageTest('masked cells are hatched, each reason in its way, and the legend names it', {}, async (page) => {
    const patterns = new Map();
    for (const [name, i, j, reason] of [['Causal', 2, 9, 'causal'], ['Padding', 1, 5, 'padding'],
        ['Row without keys', 6, 2, 'mask'],
        ['Row without keys', 3, 3, 'row without keys']]) {
        await example(page, name);
        const point = await pointOf(page, i, j);
        assert.ok((await texture(page, point)).size >= 2, `${reason} is hatched`);
        const marks = (await pixelsAt(page, Array.from({ length: 400 }, (_, n) =>
            ({ x: point.x - 10 + n % 20, y: point.y - 10 + Math.floor(n / 20) })))).join();
        patterns.set(marks, reason);
        assert.ok((await page.locator('#legend .swatch').allTextContents()).some((text) => text.trim() === reason),
            reason);
    }
    assert.equal(patterns.size, 4, 'they differ');
});

pageTest('a head that is nearly uniform has a badge with its entropy', {}, async (page) => {
    await example(page, 'Untrained layer');
    const uniform = page.locator('#heads button.uniform');
    await until(() => uniform.count(), (count) => count > 0);
    assert.match(await uniform.first().textContent(), /near uniform, entropy \d+\s%/);
    await uniform.first().click();
    await settle(page);
    assert.match(await page.locator('#legend').textContent(), /near uniform: entropy \d+ % of log\(allowed keys\)/);
    await example(page, 'Previous token');
    await tab(page, 'All heads');
    await until(() => page.locator('#heads button[data-head="0"] span').textContent(), (text) =>
        text.includes('entropy'));
    assert.doesNotMatch(await page.locator('#heads button[data-head="0"]').textContent(), /near uniform/);
});

pageTest('a dropped key leaves rows that sum to one again', {}, async (page) => {
    const { attn_weights: weights } = await askAgain(await example(page, 'Causal')),
        head = Number(await control(page, 'Head').inputValue());
    await lockByKeys(page, 7, 0);
    await page.getByRole('button', { name: 'Drop key 0' }).click();
    await tab(page, 'Table');
    const row = unbatched(weights)[head][7].map(Number), rest = row.slice(1).reduce((a, b) => a + b, 0);
    const shown = await page.locator('#table tbody tr:nth-child(8) td').allTextContents();
    assert.equal(shown[0], 'dropped');
    for (let j = 1; j <= 7; j++)
        assert.ok(Math.abs(Number(shown[j]) - row[j] / rest) < 1e-6, `key ${j}: ${shown[j]}`);
    await page.locator('#legend').getByRole('button', { name: /dropped, rows renormalised: bring back/ }).click();
    await settle(page);
    assert.equal(await page.locator('#table tbody tr:nth-child(8) td').first().textContent(),
        unbatched(weights)[head][7][0]);
});
