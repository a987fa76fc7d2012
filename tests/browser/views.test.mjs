/* Point 3: one selection drives all views; heads, their mean and largest, batch entries, groups, and L that is not
 * S. */

import assert from 'node:assert/strict';
import { coloursOf, control, example, lockByKeys, pointOf, readCell, runText, settle, tab, theMap,
    until } from './explorer.mjs';
import { pageTest, setUp } from './harness.mjs';
import { askAgain, numbers, unbatched } from './wire.mjs';

setUp();

const choose = async (page, name, value) => {
    await control(page, name).selectOption(value);
    await settle(page);
};

pageTest('a cell locked in the map is the cell of all views', {}, async (page) => {
    const { x, y } = await pointOf(page, 6, 4);
    await page.mouse.click(x, y);
    await page.mouse.move(5, 5);
    const cell = await readCell(page);
    assert.deepEqual([cell.title, cell.Query, cell.Key], ['Locked cell', 'and (6)', 'the #2 (4)']);
    await tab(page, 'Text');
    assert.match(await page.locator('#text [aria-label=Queries] [aria-selected=true]').getAttribute('id'), /-6$/);
    assert.match(await page.locator('#text [aria-label=Keys] [aria-selected=true]').getAttribute('id'), /-4$/);
    await tab(page, 'One row');
    assert.match(await page.locator('#row h3').textContent(), /From query .*\(6\)/);
    const bar = page.locator('#row [aria-selected=true]');
    assert.equal(await bar.getAttribute('data-n'), '4');
    assert.equal(await bar.locator('b').textContent(), cell.Weight);
    await tab(page, 'Table');
    assert.equal(await page.locator('#table td.locked').textContent(), cell.Weight);
    await tab(page, 'Steps');
    await until(() => page.locator('#steps').textContent(), (text) => /Query and \(6\), key the #2 \(4\)/.test(text),
        'the steps of that cell');
});

pageTest('each view chooses for the others', {}, async (page) => {
    const says = (name, place) => until(async () => (await readCell(page))[name] ?? '', (text) => text.endsWith(`(${place})`),
        `${name} ${place}`);
    await tab(page, 'Text');
    await page.locator('#key-2').click();
    await page.mouse.move(5, 5);
    await says('Key', 2);
    await page.locator('#query-5').click();
    await page.mouse.move(5, 5);
    await says('Query', 5);
    await tab(page, 'One row');
    await page.locator('#row [data-n="3"]').click();
    await page.mouse.move(5, 5);
    await says('Key', 3);
    await tab(page, 'Lines');
    const lines = page.locator('#lines canvas');
    await lines.click({ position: { x: 40, y: 7 * 20 + 10 } });
    await page.mouse.move(5, 5);
    const cell = await readCell(page);
    assert.match(cell.Query, /\(7\)$/);
    assert.equal(cell['Rank in row'].split(' ')[0], '1', 'with the key that it looks at most');
    assert.ok(await coloursOf(page, lines) > 3, 'lines are drawn');
});

pageTest('hovering in one view previews in the other, and leaves nothing', {}, async (page) => {
    await tab(page, 'Text');
    await page.locator('#key-1').hover();
    assert.equal((await readCell(page)).title, 'Preview');
    await page.mouse.move(5, 5);
    assert.equal((await readCell(page)).title, 'No cell chosen');
});

pageTest('all heads stand side by side, and a click chooses one', {}, async (page) => {
    await tab(page, 'All heads');
    const panels = page.locator('#heads .heads button');
    await until(() => page.locator('#heads [data-look]').count(), (count) => count === 10, '8 heads, mean and max');
    const pictures = await panels.locator('canvas').evaluateAll((all) => all.map((canvas) => canvas.toDataURL()));
    assert.ok(new Set(pictures).size >= 8, 'each head looks different');
    await panels.nth(2).click();
    await tab(page, 'Matrix');
    assert.match(await theMap(page).getAttribute('aria-label'), /head 2/);
    assert.equal(await control(page, 'Head').inputValue(), '2');
});

pageTest('the table of heads sorts by what tells them apart', {}, async (page) => {
    await tab(page, 'All heads');
    await page.getByText('Table of heads', { exact: true }).click();
    await page.getByRole('button', { name: 'On first key' }).click();
    await settle(page);
    const shares = (await page.locator('#heads tbody tr td:nth-child(3)').allTextContents()).map(parseFloat);
    assert.equal(shares.length, 8);
    assert.deepEqual(shares, [...shares].sort((a, b) => b - a));
    assert.equal(await page.locator('#heads tbody tr').first().locator('th').textContent(), '2',
        'the head of the first token');
});

pageTest('mean and max are those of the service\'s numbers', {}, async (page) => {
    const answer = await runText(page, 'one two one three');
    const { attn_weights: weights } = await askAgain(answer),
        heads = unbatched(weights).map((head) => head.map((row) => row.map(Number)));
    await tab(page, 'Table');
    for (const [name, merge] of [['mean', (list) => list.reduce((a, b) => a + b, 0) / list.length],
        ['max', (list) => Math.max(...list)]]) {
        await choose(page, 'Head', name);
        for (const [i, j] of [[0, 0], [2, 0], [3, 1], [3, 3]]) {
            const text = await page.locator(`#table tbody tr:nth-child(${i + 1}) td:nth-child(${j + 2})`).textContent();
            const all = heads.map((head) => head[i][j]);
            if (text !== 'causal')
                assert.ok(Math.abs(Number(text) - merge(all)) < 1e-6, `${name} of (${i}, ${j}): ${text}`);
        }
    }
    await choose(page, 'Head', 'max');
    assert.equal(await page.locator('#table tbody tr:nth-child(3) td').first().textContent(),
        String(Math.max(...heads.map((head) => head[2][0]))), 'the largest is one of them, digit by digit');
});

pageTest('batch entries have maps of their own', {}, async (page) => {
    const [a, b] = [1, 5].map((seed) => [0, 1, 2].map((row) => [...numbers(128, seed + row)]));
    const answer = await runText(page, JSON.stringify({ model: 'patterns', query: [a, b] }));
    const { attn_weights: weights } = await askAgain(answer);
    await tab(page, 'Table');
    for (const entry of [0, 1]) {
        await choose(page, 'Batch entry', String(entry));
        assert.deepEqual(await page.locator('#table tbody tr').last().locator('td').allTextContents(),
            weights[entry][Number(
            await control(page, 'Head').inputValue())][2]);
    }
    assert.notDeepEqual(weights[0], weights[1]);
});

pageTest('heads that share keys are grouped, and their numbers are right', {}, async (page) => {
    await example(page, 'Grouped heads');
    assert.match(await page.locator('#sizes').textContent(), /8 heads in 2 groups/);
    const groups = page.locator('#heads .group');
    assert.equal(await groups.count(), 2);
    assert.deepEqual(await groups.nth(1).locator('button').evaluateAll((all) => all.map((one) => one.dataset.head)),
        ['4', '5', '6', '7']);
    await choose(page, 'Head', '6');
    await tab(page, 'Matrix');
    await lockByKeys(page, 3, 2);
    await tab(page, 'Steps');
    await until(() => page.locator('#steps').textContent(), (text) => /8 numbers|numbers of the output/.test(text),
        'the steps');
    assert.equal(await page.locator('#steps .unequal').count(), 0, 'the steps use the keys of the right group');
});

pageTest('queries and keys of different numbers and names', {}, async (page) => {
    const answer = await example(page, 'Cross-attention'), { attn_weights: weights } = await askAgain(answer);
    assert.match(await theMap(page).getAttribute('aria-label'), /4 queries by 10 keys/);
    await lockByKeys(page, 3, 9);
    const cell = await readCell(page);
    assert.deepEqual([cell.Query, cell.Key], ['cat #2 (3)', 'slept (9)']);
    assert.equal(cell.Weight, unbatched(weights)[1][3][9]);
});

pageTest('a column can be read as well as a row', {}, async (page) => {
    await tab(page, 'Matrix');
    await lockByKeys(page, 5, 2);
    await choose(page, 'Read', 'key');
    await tab(page, 'One row');
    assert.match(await page.locator('#row h3').textContent(), /To key .*\(2\)/);
    await tab(page, 'Text');
    assert.match(await page.locator('#text h3').first().textContent(), /which attend to it/);
});
