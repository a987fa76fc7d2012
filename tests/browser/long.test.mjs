/* Point 8: long inputs: 2048 x 2048 x 8 is drawn whole, more comes through `view`; the page stays small and says
 * what it pools. */

import assert from 'node:assert/strict';
import { coloursOf, readCell, runText, settle, tab, theMap, until } from './explorer.mjs';
import { pageTest, setUp } from './harness.mjs';
import { readTensors, requestOf } from './wire.mjs';

setUp();

const words = (count) => Array.from({ length: count }, (_, n) => `w${n * n % 97}`).join(' ');
const nodes = (page) => page.evaluate(() => document.querySelectorAll('*').length);

pageTest('2048 x 2048 x 8 is drawn, pooled cells say so, and the page has few elements', {}, async (page) => {
    await runText(page, words(2048));
    await until(() => page.locator('#sizes').textContent(), (text) => text.includes('2048 queries × 2048 keys'));
    await until(() => coloursOf(page), (count) => count > 5, 'a drawing');
    assert.match(await page.locator('#matrix-note').textContent(),
        /Each cell drawn is the max of \d+ × \d+: zoom in for single ones\./);
    for (const name of ['All heads', 'Lines', 'Text', 'One row', 'Table', 'Steps', 'Matrix']) {
        await tab(page, name);
        await page.waitForTimeout(100);
        assert.ok(await nodes(page) < 2000, `${name}: ${await nodes(page)} elements`);
    }
    await theMap(page).focus();
    for (let n = 0; n < 12; n++)
        await page.keyboard.press('+');
    await settle(page);
    assert.doesNotMatch(await page.locator('#matrix-note').textContent(), /max of/, 'single cells are drawn now');
});

pageTest('a cell of a long map has its exact number', {}, async (page) => {
    const answer = await runText(page, words(1500));
    await theMap(page).focus();
    await page.keyboard.press('Control+End');
    await page.keyboard.press('Control+End');
    await page.keyboard.press('Enter');
    const cell = await readCell(page);
    assert.match(cell.Query, /\(1499\)$/);
    const again = await fetch(answer.url(), { method: 'POST', body: answer.request().postDataBuffer(),
        headers: { 'Content-Type': 'application/vnd.safetensors', Accept: 'application/vnd.safetensors' } });
    const { data } = readTensors(Buffer.from(await again.arrayBuffer())).tensors.attn_weights;
    const head = Number(await page.locator('#controls select[name=head]').inputValue());
    assert.equal(Math.fround(Number(cell.Weight)), data[(head * 1500 + 1499) * 1500 + 1499]);
});

pageTest('beyond that, an overview comes first, and what is looked at through view', {}, async (page) => {
    const asked = [];
    page.on('response', (answer) => answer.request().method() === 'POST' && asked.push(answer));
    await runText(page, words(3000));
    await until(() => page.locator('#sizes').textContent(), (text) => text.includes('3000 queries × 3000 keys'));
    const overview = JSON.parse(requestOf(asked[0]).metadata.view);
    assert.equal(overview.pool, 'max');
    assert.ok(overview.size.every((side) => side <= 512), 'the first answer is pooled');
    await until(() => coloursOf(page), (count) => count > 5, 'a drawing');
    await page.locator('#legend').scrollIntoViewIfNeeded();
    await until(() => page.locator('#legend').textContent(), (text) => /Too long to be fetched whole/.test(text),
        'a word on pooling');
    await theMap(page).focus();
    for (let n = 0; n < 14; n++)
        await page.keyboard.press('+');
    await until(() => asked.length, (count) => count > 1, 'a request for what is in sight');
    await until(() => page.locator('#matrix-note').textContent(), (text) => !/are being fetched|max of/.test(text),
        'the exact cells');
    const views = asked.slice(1).map((answer) => JSON.parse(requestOf(answer).metadata.view));
    assert.ok(views.every(({ rows, cols, heads }) => rows && cols && heads.length === 1), JSON.stringify(views));
    assert.ok(views.every(({ rows: [from, to], cols: [left, right], size }) => size
        || (to - from) * (right - left) <= 1 << 18), 'windows are small');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    const cell = await until(() => readCell(page), ({ Weight: weight }) => weight && weight !== '…', 'the weight');
    assert.ok(await nodes(page) < 2000);
    await page.keyboard.press('Escape');
    assert.ok(Number(cell.Weight) >= 0 && Number(cell.Weight) <= 1);
});
