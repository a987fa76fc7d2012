/* Point 4: the numbers of a cell, to the last digit; hovering previews, clicking locks; several cells; copying. */

import assert from 'node:assert/strict';
import { control, example, lockByKeys, pointOf, readCell, runText, settle, tab, until } from './explorer.mjs';
import { pageTest, setUp } from './harness.mjs';
import { askAgain, unbatched } from './wire.mjs';

setUp();

const headOf = (page) => control(page, 'Head').inputValue().then(Number);

pageTest('every number of every head is the service\'s decimal', {}, async (page) => {
    const answer = await runText(page, 'to be or not to be that is the'),
        { attn_weights: weights } = await askAgain(answer);
    await tab(page, 'Table');
    let compared = 0;
    for (let head = 0; head < 8; head++) {
        await control(page, 'Head').selectOption(String(head));
        await settle(page);
        const rows = await page.locator('#table tbody tr').evaluateAll((all) => all.map((row) =>
            [...row.querySelectorAll('td')].map((cell) => cell.textContent)));
        rows.forEach((row, i) => row.forEach((text, j) => {
            if (text === 'causal')
                return assert.ok(j > i);
            assert.equal(text, unbatched(weights)[head][i][j], `head ${head}, (${i}, ${j})`);
            compared++;
        }));
    }
    assert.equal(compared, 8 * 9 * 10 / 2);
});

pageTest('hover shows all of a cell, and the service\'s digits', {}, async (page) => {
    const answer = await example(page, 'Causal');
    const { attn_weights: weights, scores } = await askAgain(answer), head = await headOf(page);
    const { x, y } = await pointOf(page, 7, 3);
    await page.mouse.move(x, y);
    const cell = await readCell(page);
    assert.equal(cell.title, 'Preview');
    assert.match(cell.Query, /^\S+.* \(7\)$/);
    assert.match(cell.Key, /^\S+.* \(3\)$/);
    assert.equal(cell.Weight, unbatched(weights)[head][7][3]);
    assert.equal(cell.Score, unbatched(scores)[head][7][3]);
    assert.match(cell['Rank in row'], /^\d of 8$/);
    assert.equal(cell.Masked, 'no');
    await page.mouse.move(5, 5);
    assert.equal((await readCell(page)).title, 'No cell chosen');
});

pageTest('why a cell is masked', {}, async (page) => {
    for (const [name, i, j, reason] of [['Causal', 2, 5, 'causal'], ['Padding', 1, 5, 'padding'],
        ['Row without keys', 6, 2, 'mask'], ['Row without keys', 3, 3, 'row without keys']]) {
        await example(page, name);
        await lockByKeys(page, i, j);
        const cell = await readCell(page);
        assert.deepEqual([cell.Masked, cell.Weight, cell['Rank in row']], [reason, '0', '–'], name);
    }
});

pageTest('a click locks, hovering previews over it, Esc frees', {}, async (page) => {
    const [a, b] = [await pointOf(page, 4, 1), await pointOf(page, 8, 2)];
    await page.mouse.click(a.x, a.y);
    await page.mouse.move(b.x, b.y);
    assert.match((await readCell(page)).Query, /\(8\)$/);
    await page.mouse.move(5, 5);
    const cell = await readCell(page);
    assert.equal(cell.title, 'Locked cell');
    assert.match(cell.Query, /\(4\)$/);
    await page.keyboard.press('Escape');
    assert.equal((await readCell(page)).title, 'No cell chosen');
});

pageTest('Enter locks, Shift and Ctrl take several, which sum and average', {}, async (page) => {
    const { attn_weights: weights } = await askAgain(await example(page, 'Causal')), head = await headOf(page);
    const [a, b, c] = [await pointOf(page, 9, 2), await pointOf(page, 9, 4), await pointOf(page, 7, 7)];
    await page.mouse.click(a.x, a.y);
    await page.keyboard.down('Shift');
    await page.mouse.click(b.x, b.y);
    await page.keyboard.up('Shift');
    await page.keyboard.down('Control');
    await page.mouse.click(c.x, c.y);
    await page.keyboard.up('Control');
    await settle(page);
    const at = (i, j) => Number(unbatched(weights)[head][i][j]), sum = at(9, 2) + at(9, 3) + at(9, 4) + at(7, 7);
    const said = await page.locator('#inspect').textContent(),
        [, count, all, mean] = /(\d+) cells locked: sum ([\d.e-]+), mean ([\d.e-]+)/.exec(said);
    assert.equal(count, '4');
    assert.equal(all, String(Number(all)));
    assert.ok(Math.abs(Number(all) - sum) < 1e-6, `${all} is ${sum}`);
    assert.ok(Math.abs(Number(mean) - sum / 4) < 1e-6, `${mean} is ${sum / 4}`);
    await lockByKeys(page, 5, 1);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Shift+Enter');
    await settle(page);
    assert.match(await page.locator('#inspect').textContent(), /2 cells locked/);
});

pageTest('a key copies what is said of the cell', {}, async (page) => {
    await page.evaluate(() => navigator.clipboard.writeText(''));
    await lockByKeys(page, 6, 5);
    const cell = await readCell(page);
    await page.keyboard.press('c');
    const text = await until(() => page.evaluate(() => navigator.clipboard.readText()), Boolean, 'the copy');
    assert.ok(text.includes(`weight ${cell.Weight}`) && text.includes(`score ${cell.Score}`)
        && text.includes('(query 6)')
        && text.includes('(key 5)'), text);
    await until(() => page.locator('#inspect [aria-live]').textContent(), (said) => said.startsWith('Copied: '));
});
