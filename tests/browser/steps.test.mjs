/* Point 6: every step from query and key to output for one cell, made again in the page, and equal to the service's. */

import assert from 'node:assert/strict';
import { example, lockByKeys, readCell, tab, until } from './explorer.mjs';
import { pageTest, setUp } from './harness.mjs';

setUp();

const TITLES = ['product', 'scor', 'mask', 'exponential', 'row sum', 'weight', 'value mix', 'output projection'];

const stepsOf = async (page) => {
    await until(() => page.locator('#steps').textContent(), (text) => /Output projection/.test(text), 'all steps');
    return page.locator('#steps').textContent();
};

const unequal = (page) => page.locator('#steps .unequal').allTextContents();
const equal = (page) => page.locator('#steps .equal').allTextContents();

for (const [name, i, j] of [['Induction', 4, 1], ['Padding', 2, 1], ['Cross-attention', 1, 4],
    ['Row without keys', 6, 5], ['Untrained layer', 3, 7], ['Grouped heads', 9, 2]])
    pageTest(`the steps of “${name}” are equal to the service's`, {}, async (page) => {
        await example(page, name);
        await tab(page, 'Matrix');
        await lockByKeys(page, i, j);
        const { Weight: weight } = await readCell(page);
        await tab(page, 'Steps');
        const text = await stepsOf(page), at = TITLES.map((title) => text.toLowerCase().indexOf(title));
        assert.ok(at.every((place) => place >= 0), `all steps are there: ${at}`);
        assert.deepEqual(await unequal(page), []);
        assert.ok((await equal(page)).length >= 6, 'each is compared');
        assert.ok(Math.abs(Number(/weight ([\d.e-]+), the service's/.exec(text)[1]) - Number(weight)) < 1e-5);
    });

pageTest('a row that may look at nothing has steps too', {}, async (page) => {
    await example(page, 'Row without keys');
    await lockByKeys(page, 3, 3);
    await tab(page, 'Steps');
    assert.match(await stepsOf(page), /All keys of this row are masked/);
    assert.deepEqual(await unequal(page), []);
});

/* The answer with one number of a tensor made larger. */
function tamper(body, name, place) {
    const size = Number(body.readBigUInt64LE(0)), header = JSON.parse(body.subarray(8, 8 + size).toString());
    const out = Buffer.from(body), at = 8 + size + header[name].data_offsets[0] + 4 * place;
    out.writeFloatLE(out.readFloatLE(at) + 0.01, at);
    return out;
}

/* Where a number of [B, H, L, S] lies. */
const placeIn = (shape, index) => index.reduce((at, n, axis) => at * shape[axis + (shape.length - index.length)] + n,
    0);

for (const [name, index, what] of [['scores', [4, 4, 1], /score/], ['attn_weights', [4, 4, 1], /weight/],
    ['lse', [4, 4], /log-sum-exp/],
    ['head_output', [4, 4, 2], /head_output/], ['output', [4, 3], /output/], ['q', [4, 4, 0], /score/]])
    pageTest(`a changed number in ${name} is shown in red`, {}, async (page) => {
        await page.route('**/attend', async (route) => {
            const answer = await route.fetch(), body = await answer.body();
            const size = Number(body.readBigUInt64LE(0)), header = JSON.parse(body.subarray(8, 8 + size).toString());
            const mine = header[name] && header.scores;
            await route.fulfill({ response: answer, body: mine ? tamper(body, name, placeIn(header[name].shape, index))
                : body });
        });
        await example(page, 'Induction');
        await lockByKeys(page, 4, 1);
        await tab(page, 'Steps');
        await stepsOf(page);
        const red = await unequal(page);
        assert.ok(red.length > 0, 'something is red');
        assert.match(red.join(' '), what);
        const colour = await page.locator('#steps .unequal').first().evaluate((element) =>
            getComputedStyle(element).color);
        const [r, g, b] = colour.match(/\d+/g).map(Number);
        assert.ok(r > 1.5 * g && r > 1.5 * b, `${colour} is red`);
    });
