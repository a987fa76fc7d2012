/* Point 7: what if a token or a pair were masked, the map causal or not, the temperature another; runs, A − B,
 * undo. */

import assert from 'node:assert/strict';
import { control, lockByKeys, pointOf, readCell, runText, running, settle, tab, until } from './explorer.mjs';
import { pageTest, setUp } from './harness.mjs';
import { askAgain, requestOf, unbatched } from './wire.mjs';

setUp();

const panel = (page) => page.locator('#whatif');
const runs = (page) => page.locator('#history li');

/* The numbers of the table that is open, row by row. */
const tableOf = async (page) => {
    await tab(page, 'Table');
    return page.locator('#table tbody tr').evaluateAll((all) =>
        all.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent)));
};

const begin = async (page) => {
    await page.locator('#editor').getByLabel('Causal').selectOption('no');
    await runText(page, 'the cat sat on the mat');
    await control(page, 'Head').selectOption('5');
};

pageTest('a click masks a token; Undo brings it back', {}, async (page) => {
    await begin(page);
    const before = await tableOf(page);
    await tab(page, 'Matrix');
    await panel(page).getByLabel('A click').selectOption('masks the key');
    const { x, y } = await pointOf(page, 2, 4);
    const answer = await running(page, () => page.mouse.click(x, y));
    assert.deepEqual([...requestOf(answer).tensors.key_padding_mask.data], [0, 0, 0, 0, 1, 0]);
    await page.mouse.move(5, 5);
    const after = await tableOf(page), { attn_weights: weights } = await askAgain(answer);
    after.forEach((row, i) => row.forEach((text, j) => assert.equal(text, j === 4 ? 'padding'
        : unbatched(weights)[5][i][j])));
    assert.match(await page.locator('#title').textContent(), /without the #2/);
    await panel(page).getByRole('button', { name: 'Undo' }).click();
    assert.deepEqual(await tableOf(page), before);
});

pageTest('a click masks the token of a cell that is locked already, which stays locked', {}, async (page) => {
    await begin(page);
    const { x, y } = await pointOf(page, 2, 4);
    await page.mouse.click(x, y);
    await panel(page).getByLabel('A click').selectOption('masks the key');
    const answer = await running(page, () => page.mouse.click(x, y));
    assert.deepEqual([...requestOf(answer).tensors.key_padding_mask.data], [0, 0, 0, 0, 1, 0]);
    await page.mouse.move(5, 5);
    assert.equal((await readCell(page)).Weight, '0');
});

pageTest('a cell that comes back with the address is no click', {}, async (page) => {
    await begin(page);
    const { x, y } = await pointOf(page, 2, 4);
    await page.mouse.click(x, y);
    await page.waitForURL(/cells=2\.4/);
    await page.keyboard.press('Escape');
    await page.waitForURL((url) => !url.hash.includes('cells='));
    await panel(page).getByLabel('A click').selectOption('masks the key');
    const count = await runs(page).count();
    await page.goBack();
    await page.waitForURL(/cells=2\.4/);
    await settle(page);
    assert.match(await page.locator('#inspect').innerText(), /#2 \(4\)/);
    assert.doesNotMatch(await page.locator('#title').innerText(), /without/);
    assert.equal(await runs(page).count(), count);
});

pageTest('a click masks one pair', {}, async (page) => {
    await begin(page);
    await panel(page).getByLabel('A click').selectOption('masks the pair');
    const { x, y } = await pointOf(page, 3, 1);
    const answer = await running(page, () => page.mouse.click(x, y));
    const { data } = requestOf(answer).tensors.attn_mask;
    assert.deepEqual(data.reduce((list, bit, n) => bit ? [...list, n] : list, []), [3 * 6 + 1]);
    await page.mouse.move(5, 5);
    const after = await tableOf(page);
    assert.equal(after[3][1], 'mask');
    assert.notEqual(after[2][1], 'mask');
    await panel(page).getByRole('button', { name: /^Unmask pair 3 → 1/ }).click();
    await until(() => tableOf(page), (table) => table[3][1] !== 'mask', 'the pair');
});

pageTest('causal or not', {}, async (page) => {
    await begin(page);
    const answer = await running(page, () => panel(page).getByLabel('Causal').selectOption('yes'));
    assert.equal(requestOf(answer).metadata.is_causal, 'true');
    const after = await tableOf(page), { attn_weights: weights } = await askAgain(answer);
    assert.deepEqual(after[2], [...unbatched(weights)[5][2].slice(0, 3), 'causal', 'causal', 'causal']);
});

pageTest('another temperature is the softmax of the scores over it', {}, async (page) => {
    await begin(page);
    const answer = await runText(page, 'the cat sat on the mat again'), { scores } = await askAgain(answer);
    await control(page, 'Head').selectOption('3');
    await panel(page).getByLabel('Temperature').fill('4');
    await panel(page).getByLabel('Temperature').press('Enter');
    await until(() => page.locator('#title').textContent(), (text) => text.includes('temperature 4'));
    const after = await tableOf(page);
    after.forEach((row, i) => {
        const exps = unbatched(scores)[3][i].map((score) => Math.exp(Number(score) / 4)),
            sum = exps.reduce((a, b) => a + b, 0);
        row.forEach((text, j) => assert.ok(Math.abs(Number(text) - exps[j] / sum) < 1e-6,
            `(${i}, ${j}): ${text}, not ${exps[j] / sum}`));
    });
    assert.match(await panel(page).textContent(), /Made in this page/);
});

pageTest('A − B is the difference, in colours of its own', {}, async (page) => {
    await begin(page);
    const before = await tableOf(page);
    await tab(page, 'Matrix');
    await lockByKeys(page, 2, 4);
    await running(page, () => panel(page).getByRole('button', { name: /^Mask key/ }).click());
    const after = (await tableOf(page)).map((row) => row.map((text) => text === 'padding' ? 0 : Number(text)));
    await page.locator('#history').getByRole('button', { name: /^− this/ }).nth(1).click();
    await settle(page);
    await tab(page, 'Matrix');
    await lockByKeys(page, 5, 0);
    const cell = await readCell(page);
    assert.ok(Math.abs(Number(cell['A − B']) - (after[5][0] - Number(before[5][0]))) < 1e-6, JSON.stringify(cell));
    assert.match(await page.locator('#legend .scale').getAttribute('aria-label'), /Colours from [−-][\d.e−-]+ to/);
    assert.match(await page.locator('#history').textContent(), /Shown is A − B/);
    await page.getByRole('button', { name: 'Stop comparing' }).click();
    assert.ok((await readCell(page)).Weight, 'weights again');
});

pageTest('the last 20 runs are kept and show again', {}, async (page) => {
    for (let n = 0; n < 22; n++)
        await runText(page, `run number ${'x'.repeat(n + 1)}`);
    assert.equal(await runs(page).count(), 20);
    assert.match(await runs(page).first().textContent(), /x{22}/);
    await runs(page).nth(7).locator('button').first().click();
    await settle(page);
    assert.equal(await page.locator('#title').textContent(), `run number ${'x'.repeat(15)}`);
    assert.equal(await runs(page).count(), 20, 'looking back is no run');
});
