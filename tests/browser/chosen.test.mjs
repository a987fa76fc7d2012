/* What is chosen is what is shown: the model that was picked, and a head that is there. */

import assert from 'node:assert/strict';
import { control, running, settle, tab, until } from './explorer.mjs';
import { pageTest, setUp } from './harness.mjs';
import { npyFile, npzFile, numbers, requestOf } from './wire.mjs';

setUp(['--model', 'one=init:embed_dim=8,num_heads=2', '--model', 'two=init:embed_dim=8,num_heads=2,seed=1',
    '--model', 'wide=init:embed_dim=16,num_heads=4']);

const E = 8, ROWS = [...Array(3).keys()].map((n) => [...numbers(E, n + 1)]);
const model = (page) => page.locator('#model');
const badge = (page) => page.locator('#badge').textContent();
const asked = (answer) => requestOf(answer).metadata.model;
const run = (page) => running(page, () => page.getByLabel('Text or numbers').press('Control+Enter'));

const shows = async (page, name) => {
    assert.equal(await model(page).inputValue(), name);
    await until(() => page.locator('#sizes').textContent(), (text) => text.startsWith(`${name} · `), name);
};

pageTest('the model that is picked runs, whatever the text says', {}, async (page) => {
    await page.getByLabel('Text or numbers').fill(JSON.stringify({ model: 'one', query: ROWS }));
    await until(() => badge(page), (text) => text === '[3, 8] → one');
    assert.equal(asked(await run(page)), 'one');
    await shows(page, 'one');
    await model(page).selectOption('two');
    await until(() => badge(page), (text) => text === '[3, 8] → two, not one');
    assert.equal(asked(await run(page)), 'two');
    await shows(page, 'two');
    await page.getByLabel('Text or numbers').fill(JSON.stringify({ model: 'one', query: ROWS.slice(1) }));
    assert.equal(asked(await run(page)), 'two');
    await shows(page, 'two');
});

pageTest('and whatever a file says', {}, async (page) => {
    await model(page).selectOption('two');
    const file = { name: 'x.json', mimeType: '', buffer: Buffer.from(JSON.stringify({ model: 'one', query: ROWS })) };
    assert.equal(asked(await running(page, () => page.getByLabel('Choose files').setInputFiles(file))), 'two');
    await shows(page, 'two');
    await running(page, () => page.locator('#examples button').first().click()); /* which goes to its own model */
    await shows(page, 'patterns');
});

pageTest('a model that cannot take the numbers says so', { allow: [/status of 400/] }, async (page) => {
    await model(page).selectOption('wide');
    await page.getByLabel('Text or numbers').fill(JSON.stringify(ROWS));
    await run(page);
    await until(() => page.locator('#wrong').textContent(), (text) => /model wide expects/.test(text));
    assert.equal(await model(page).inputValue(), 'wide');
});

const chosenHead = async (page) => {
    await settle(page);
    return control(page, 'Head').evaluate((select) => select.selectedOptions[0]?.textContent ?? 'blank');
};

for (const [fragment, name] of [['head=999', 'head 0: previous token'], ['head=8', 'head 0: previous token'], ['head=7', 'head 7: current token'],
    ['head=max', 'max of heads'], ['batch=5&head=3', 'head 3: local window']])
    pageTest(`#${fragment} shows ${name}`, { path: `/#${fragment}` }, async (page) => {
        assert.equal(await chosenHead(page), name);
        const label = await page.locator('#matrix canvas').getAttribute('aria-label');
        assert.ok(label.includes(name), label);
    });

pageTest('a file with fewer heads, and fewer entries', {}, async (page) => {
    const drop = (name, shape, data) => page.getByLabel('Choose files').setInputFiles({ name, mimeType: '',
        buffer: npzFile({ attn_weights: npyFile(shape, data) }) });
    const half = (count) => new Float32Array(count).fill(0.5);
    await drop('big.npz', [3, 6, 2, 2], half(72));
    await until(() => page.locator('#sizes').textContent(), (text) => text.includes('3 batch entries'));
    await control(page, 'Head').selectOption('head 5');
    await control(page, 'Batch entry').selectOption('entry 2');
    await drop('small.npz', [2, 2, 2, 2], half(16));
    await until(() => page.locator('#sizes').textContent(), (text) => text.includes('2 batch entries'));
    assert.equal(await chosenHead(page), 'head 0');
    assert.equal(await control(page, 'Batch entry').inputValue(), '0');
    await until(() => page.url(), (url) => !/head=/.test(url), 'an address without the head');
});

const TINY = [1.05306175e-20, 1.17549435e-38, 1e-45, 0.000123456789, 0.99987654];

for (const width of [390, 1280, 1920])
    pageTest(`numbers of One row stand beside each other, ${width} pixels wide`, { context: { viewport: { width, height: 900 } } },
        async (page) => {
            await page.getByLabel('Choose files').setInputFiles({ name: 'w.csv', mimeType: '', buffer: Buffer.from(
                `,${TINY.map((_, n) => `key ${n}`)}\n${['p', 'q'].map((name) => `${name},${TINY}`).join('\n')}\n`) });
            await until(() => page.locator('#sizes').textContent(), (text) => text.includes('from a file'));
            await tab(page, 'One row');
            const boxes = await page.locator('.bars [role=option]').evaluateAll((rows) => rows.map((row) => {
                const range = document.createRange(), number = row.querySelector('b');
                range.selectNodeContents(number);
                const { top, bottom, right } = range.getBoundingClientRect(), box = row.getBoundingClientRect();
                return { text: number.textContent, inside: top >= box.top - 1 && bottom <= box.bottom + 1 && right <= box.right + 1,
                    cut: number.scrollWidth > number.clientWidth };
            }));
            assert.equal(boxes.length, TINY.length);
            assert.deepEqual(boxes.filter(({ inside, cut }) => !inside || cut), []);
            assert.ok(boxes.some(({ text }) => text === '1.05306175e-20') && boxes.some(({ text }) => text === '1.1754944e-38'), JSON.stringify(boxes));
        });
