/* Point 10, second half: where the time went, and what the page says when a request fails. */

import assert from 'node:assert/strict';
import { runText, running, until } from './explorer.mjs';
import { open, pageTest, replaceServer, setUp, theServer } from './harness.mjs';
import { Server } from './server.mjs';

setUp(['--max-body', '200000', '--max-answer', '4000000']);

const status = (page) => page.locator('#status');
const runButton = (page) => page.getByRole('button', { name: /^Run Ctrl/ });
const problem = (code, error, more = {}) => ({ status: more.status, headers: more.headers,
    contentType: 'application/json', body: JSON.stringify({ error, code, ...more.body }) });

pageTest('the strip shows where the time of the last request went', {}, async (page) => {
    const answer = await runText(page, 'how long did it take'), timing = answer.headers()['server-timing'];
    const text = await until(() => status(page).textContent(), (text) => text.includes('Last request'));
    for (const name of ['parse', 'queue', 'compute', 'encode'])
        assert.ok(text.includes(name), `${name} in ${text}`);
    assert.ok(text.includes(/desc="?([^";,]*)/.exec(timing)[1]), `the kernels of ${timing} in ${text}`);
    const dur = Number(/compute;[^,]*dur=([\d.]+)/.exec(timing)?.[1] ?? /compute[^,]*dur=([\d.]+)/.exec(timing)[1]);
    assert.ok(text.includes(dur < 10 ? dur.toFixed(2) : dur.toFixed(1)), `${dur} ms in ${text}`);
});

pageTest('413 names the flag', { allow: [/status of 413/] }, async (page) => {
    await page.getByLabel('Text or numbers').fill(Array.from({ length: 600 }, (_, n) => `w${n}`).join(' '));
    await runButton(page).click();
    await until(() => status(page).textContent(), (text) =>
        text.includes('Whoever runs the service can raise --max-body.'));
    await page.getByLabel('Text or numbers').fill(Array.from({ length: 370 }, (_, n) => `w${n % 50}`).join(' '));
    await runButton(page).click();
    await until(() => status(page).textContent(), (text) => text.includes('can raise --max-answer.'));
    await runText(page, 'short again');
    assert.doesNotMatch(await status(page).textContent(), /can raise/, 'what went well ends it');
});

pageTest('429 counts down and then runs again', { allow: [/status of 429/] }, async (page) => {
    let times = 0;
    await page.route('**/attend', (route) => times++ === 0 ? route.fulfill(problem('queue_full', 'The queue is full.',
        { status: 429, headers: { 'Retry-After': '2' } })) : route.continue());
    await page.getByLabel('Text or numbers').fill('wait for me');
    await runButton(page).click();
    const again = status(page).getByRole('button', { name: /^Try again/ });
    await again.waitFor();
    assert.match(await again.textContent(), /Try again in [12] s/);
    assert.ok(await again.isDisabled());
    await until(() => again.isDisabled(), (disabled) => !disabled, 'the end of the wait');
    await again.click();
    await until(() => page.locator('#title').textContent(), (text) => text === 'wait for me');
    assert.equal(times, 2);
});

pageTest('what is wrong with a request is said in the editor, at its place', { allow: [/status of 400/] },
    async (page) => {
    await page.getByLabel('Text or numbers').fill('{"query": [[1, 2, 3]], "model": "patterns"}');
    await runButton(page).click();
    const text = await until(() => page.locator('#wrong').textContent());
    assert.match(text, /query/);
    assert.equal(await page.getByLabel('Text or numbers').getAttribute('aria-invalid'), 'true');
    assert.equal(await status(page).locator('.problem').count(), 0, 'and not twice');
});

pageTest('504 can be tried again, 401 asks for a key that stays in the page', { allow: [/status of (504|401)/] },
    async (page) => {
    let kind = 504, seen = null;
    await page.route('**/attend', (route) => {
        seen = route.request().headers().authorization ?? null;
        return kind === 504 ? route.fulfill(problem('deadline_exceeded', 'The deadline passed.', { status: 504 }))
            : kind === 401 && seen === null ? route.fulfill(problem('unauthorized', 'A key is needed.',
            { status: 401 })) : route.continue();
    });
    await page.getByLabel('Text or numbers').fill('late');
    await runButton(page).click();
    await until(() => status(page).textContent(), (text) => text.includes('The deadline passed.'));
    kind = 200;
    await status(page).getByRole('button', { name: 'Try again' }).click();
    await until(() => page.locator('#title').textContent(), (text) => text === 'late');
    kind = 401;
    await runButton(page).click();
    await status(page).getByLabel('Key of the service').fill('a-secret-key');
    await status(page).getByRole('button', { name: 'Use this key' }).click();
    await until(() => seen, (header) => header === 'Bearer a-secret-key');
    await page.locator('#cancel').waitFor({ state: 'hidden' });
    await page.waitForTimeout(400);
    const everywhere = await page.evaluate(() => location.href + JSON.stringify(localStorage)
        + JSON.stringify(sessionStorage) + document.cookie);
    assert.doesNotMatch(everywhere, /secret/);
});

pageTest('a run can be cancelled', { allow: [/failed: .*ABORTED/] }, async (page) => {
    let go;
    const held = new Promise((done) => go = done);
    await page.route('**/attend', async (route) => {
        await held;
        await route.continue().catch(() => {});
    });
    const before = await page.locator('#title').textContent();
    await page.getByLabel('Text or numbers').fill('never mind');
    await runButton(page).click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.locator('#cancel').waitFor({ state: 'hidden' });
    go();
    await page.waitForTimeout(200);
    assert.equal(await page.locator('#title').textContent(), before);
    assert.equal(await status(page).locator('.problem').count(), 0, 'which is no fault');
});

pageTest('warnings of the service are shown', {}, async (page) => {
    const mask = JSON.stringify([[0, 1], [0, 0]]);
    await page.getByLabel('Text or numbers').fill('two words');
    await page.locator('#more').evaluate((details) => details.open = true);
    await page.getByLabel('Masked pairs, query:keys').fill(mask);
    await running(page, () => runButton(page).click());
    await until(() => page.locator('#sizes .warning').count(), (count) => count > 0,
        'the warning of a mask of 0 and 1');
});

pageTest('a restarted server is met again', { allow: [/ERR_CONNECTION_(REFUSED|RESET)|ERR_EMPTY_RESPONSE/] },
    async (page) => {
    const { port } = theServer();
    await theServer().stop();
    await page.getByLabel('Text or numbers').fill('is anybody there');
    await runButton(page).click();
    await until(() => status(page).textContent(), (text) => text.includes('The service does not answer.'));
    replaceServer(await Server.start([], port));
    await until(() => status(page).textContent(), (text) => text.includes('The service is back.'));
    await status(page).getByRole('button', { name: 'Run again' }).click();
    await until(() => page.locator('#title').textContent(), (text) => text === 'is anybody there');
    assert.equal(await status(page).locator('.problem').count(), 0);
});
