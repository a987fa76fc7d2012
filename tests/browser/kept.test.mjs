/* Point 10, first half: results that the service keeps for a browser. */

import assert from 'node:assert/strict';
import { running, tab, theMap, until } from './explorer.mjs';
import { open, origin, pageTest, setUp } from './harness.mjs';
import { numbers, rawJson } from './wire.mjs';

setUp();

const ROWS = [0, 1, 2].map((n) => [...numbers(128, n + 1)]);

/* Keeps a result as curl would, and returns its address. */
async function keep(more = {}) {
    const answer = await fetch(`${origin()}/attend/patterns`,
        { method: 'POST', headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ query: ROWS, keep: true, need_weights: true, query_labels: ['ant', 'bee', 'cat'],
            key_labels: ['x', 'y', 'z'], ...more }) });
    assert.equal(answer.status, 200);
    const text = await answer.text();
    return { ...rawJson(text), result_url: JSON.parse(text).result_url };
}

pageTest('a result kept by another program opens in the page, digit by digit', { path: null }, async (page) => {
    const kept = await keep();
    assert.match(kept.result_url, /^\/results\/[a-z2-7]{32}$/);
    await open(page, kept.result_url);
    assert.match(await page.locator('#sizes').textContent(), /3 queries × 3 keys.*kept/);
    await tab(page, 'Table');
    assert.deepEqual(await page.locator('#table tbody th').allTextContents(), ['ant (0)', 'bee (1)', 'cat (2)']);
    assert.deepEqual(await page.locator('#table thead th').allTextContents(), ['x (0)', 'y (1)', 'z (2)']);
    const rows = await page.locator('#table tbody tr').evaluateAll((all) =>
        all.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent)));
    assert.deepEqual(rows, kept.attn_weights[0]);
    await running(page, () => page.getByRole('button', { name: /^Run Ctrl/ }).click());
    assert.match(await page.locator('#sizes').textContent(), /3 queries × 3 keys/, 'it can be run again');
});

pageTest('parts of a map that were kept show as such', { path: null }, async (page) => {
    for (const [view, says] of [[{ heads: [2], rows: [1, 3] }, /only this part/], [{ top_k: 2 }, /only the largest 2/],
        [{ size: [2, 2], pool: 'max' }, /pooled/]]) {
        await open(page, (await keep({ view })).result_url);
        assert.match(await page.locator('#sizes').textContent(), says);
        await theMap(page).waitFor();
    }
});

const GONE = { allow: [/status of 404/] };

pageTest('“Run and keep”: an address, a picture for an img, an end by DELETE', GONE, async (page, { context }) => {
    await running(page, () => page.getByRole('button', { name: 'Run and keep' }).click());
    const link = page.locator('#kept a'), address = await link.getAttribute('href');
    assert.match(address, /^\/results\/[a-z2-7]{32}$/);
    const size = await page.evaluate((source) => new Promise((done, fail) => {
        const image = new Image();
        image.onload = () => done([image.naturalWidth, image.naturalHeight]);
        image.onerror = () => fail(new Error('no picture'));
        image.src = source;
        document.body.append(image);
    }), `${address}/heatmap.png?head=4&cell=8`);
    assert.ok(size.every((side) => side > 50), `${size}`);
    const json = await (await fetch(origin() + address + '.json')).json();
    assert.equal(json.model, 'patterns');
    assert.deepEqual(json.query_labels.slice(0, 3), ['the', 'cat', 'sat']);
    const other = await context.newPage();
    await open(other, address);
    assert.match(await other.locator('#title').textContent(), /the cat sat/);
    assert.equal((await fetch(origin() + address, { method: 'DELETE' })).status, 204);
    const answer = await other.goto(origin() + address);
    assert.equal(answer.status(), 404);
    await until(() => other.locator('body').innerText(), (text) =>
        /no.*result|not.*(there|found|kept)|gone|expired/i.test(text), 'a word on what is not there');
});

pageTest('a kept result that goes while the page loads is said to be gone', { path: null, allow: [/status of 404/] },
    async (page) => {
    const { result_url: address } = await keep();
    await page.route('**/*.json', async (route) => {
        await fetch(origin() + address, { method: 'DELETE' });
        await route.continue();
    });
    await page.goto(origin() + address);
    await until(() => page.locator('#status').textContent(), (text) => /result/i.test(text),
        'a sentence of the service');
});

pageTest('the address of a kept result is never in a link', { path: null }, async (page) => {
    const { result_url: address } = await keep();
    await open(page, address);
    await page.evaluate(() => navigator.clipboard.writeText(''));
    await page.getByRole('button', { name: 'Copy link' }).click();
    const link = await until(() => page.evaluate(() => navigator.clipboard.readText()));
    assert.ok(!link.includes(address.slice(-32)), link);
});
