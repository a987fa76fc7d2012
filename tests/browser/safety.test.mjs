/* Text stays text, nothing leaves the origin, the policy is strict, the page is small. */

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { lockByKeys, runText, running, saving, settle, tab, until } from './explorer.mjs';
import { open, origin, pageTest, setUp } from './harness.mjs';

setUp();

const EVIL = '<img src=x onerror=window.hacked=1>', WORD = '<img/src=x/onerror=window.hacked=1>',
    SCRIPT = '</script><script>window.hacked=1</script>';
const TABS = ['Matrix', 'All heads', 'Lines', 'Text', 'One row', 'Table', 'Steps'];

async function clean(page, what) {
    await page.waitForTimeout(100);
    const [hacked, images] = await page.evaluate(() => [window.hacked, document.images.length]);
    assert.deepEqual([hacked, images], [undefined, 0], what);
}

/* Opens a file of that text as a page of its own. */
async function openFile(browser, name, bytes, run) {
    const folder = await mkdtemp(join(tmpdir(), 'attend-evil-')), file = join(folder, name),
        context = await browser.newContext();
    try {
        await writeFile(file, bytes);
        const page = await context.newPage();
        await page.goto(pathToFileURL(file).href);
        await page.waitForTimeout(500);
        await run(page);
    } finally {
        await context.close();
        await rm(folder, { recursive: true });
    }
}

pageTest('a token that is HTML stays text in all views', {}, async (page) => {
    await runText(page, `${WORD} ${SCRIPT} end ${WORD}`);
    await lockByKeys(page, 2, 0);
    for (const name of TABS) {
        await tab(page, name);
        await clean(page, name);
    }
    await tab(page, 'Table');
    assert.match(await page.locator('#table').textContent(), /<img\/src=x\/onerror=window.hacked=1>/);
    await running(page, () => page.getByRole('button', { name: /^Mask key/ }).click());
    await clean(page, 'what if');
    await page.locator('#history').getByRole('button', { name: /^− this/ }).nth(1).click();
    await clean(page, 'a difference');
});

pageTest('so do labels, titles, names of files and errors', {}, async (page) => {
    const weights = [[0.5, 0.5], [1, 0]];
    await page.getByLabel('Choose files').setInputFiles({ name: `${EVIL.replaceAll('/', '')}.json`, mimeType: '',
        buffer: Buffer.from(JSON.stringify({ attn_weights: weights, query_labels: [EVIL, SCRIPT],
            key_labels: [EVIL, SCRIPT] })) });
    await until(() => page.locator('#sizes').textContent(), (text) => text.includes('from a file'));
    for (const name of TABS) {
        await tab(page, name);
        await clean(page, name);
    }
    await page.getByRole('button', { name: 'Induction', exact: true }).click();
    await page.getByLabel('Text or numbers').fill(`[1, ${EVIL}]`);
    await until(() => page.locator('#wrong').textContent());
    await clean(page, 'an error');
});

pageTest('so does it in saved files', { allow: [/policy|Content Security/] }, async (page, { browser }) => {
    await runText(page, `${WORD} ${SCRIPT} end`);
    for (const [button, name] of [['SVG', 'evil.svg'], ['Page', 'evil.html']])
        await openFile(browser, name, (await saving(page, button)).bytes, async (other) => {
            assert.equal(await other.evaluate(() => window.hacked), undefined, name);
            const text = await other.evaluate(() => document.documentElement.textContent);
            assert.ok(text.includes('onerror=window.hacked=1'), `${name} shows it`);
        });
});

pageTest('so does it in a kept result', { path: null }, async (page) => {
    const query = [Array(128).fill(1), Array(128).fill(2)];
    const { result_url: address } = await (await fetch(`${origin()}/attend/patterns`,
        { method: 'POST', headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ query, keep: true, query_labels: [EVIL, SCRIPT],
            key_labels: [EVIL, SCRIPT] }) })).json();
    await open(page, address);
    for (const name of TABS) {
        await tab(page, name);
        await clean(page, name);
    }
});

pageTest('the policy is strict, and holds', {}, async (page, { faults }) => {
    const policy = (await fetch(origin())).headers.get('content-security-policy');
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    await page.evaluate(() => {
        const script = document.createElement('script');
        script.textContent = 'window.hacked = 1';
        document.body.append(script);
        const image = new Image();
        image.src = 'http://127.0.0.2:9/x.png';
    });
    await until(() => faults.filter((fault) => /policy/i.test(fault)).length, (count) => count >= 2);
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    faults.length = 0; /* the harness saw them, as it would see those of the page */
});

pageTest('the page and all that it loads have at most 150 kB', { path: null }, async (page) => {
    const sizes = {};
    page.on('response', async (answer) => {
        const { pathname } = new URL(answer.url());
        if (pathname === '/' || pathname.startsWith('/assets/'))
            sizes[pathname] = (await fetch(answer.url(), { headers: { 'Accept-Encoding': 'identity' } }).then((same) =>
                same.arrayBuffer())).byteLength;
    });
    await open(page);
    for (const name of TABS)
        await tab(page, name);
    await settle(page);
    const all = Object.values(sizes).reduce((a, b) => a + b, 0);
    assert.ok(Object.keys(sizes).length >= 3 && all <= 150000, `${all} bytes: ${JSON.stringify(sizes)}`);
});

pageTest('the links of the page name no other program to load', {}, async (page) => {
    const loaded = await page.locator('script[src], link[href], img[src]').evaluateAll((all) =>
        all.map((one) => one.src || one.href));
    assert.deepEqual(loaded.filter((address) => !address.startsWith('data:') && new URL(address).origin !== origin()),
        []);
});
