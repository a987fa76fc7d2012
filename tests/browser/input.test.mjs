/* Point 2: what is typed, pasted and dropped becomes a request; its shape is shown, and what is wrong is marked. */

import assert from 'node:assert/strict';
import { more, runText, running, tab, until } from './explorer.mjs';
import { pageTest, setUp } from './harness.mjs';
import { npyFile, npzFile, numbers, requestOf, writeTensors } from './wire.mjs';

setUp();

const E = 128, DATA = numbers(2 * E), ROWS = [0, 1].map((row) => [...DATA.subarray(row * E, (row + 1) * E)]);

const badge = (page) => page.locator('#badge').textContent();

const queryOf = (answer) => requestOf(answer).tensors.query;

/* The example that the page begins with is causal. */
const notCausal = (page) => page.locator('#editor').getByLabel('Causal').selectOption('as the model is');

/* Pastes as the browser does, from the clipboard. */
async function paste(page, text) {
    await page.evaluate((text) => navigator.clipboard.writeText(text), text);
    await page.getByLabel('Text or numbers').click();
    await page.keyboard.press('Control+a');
    await page.keyboard.press('Control+v');
}

async function pasteAndRun(page, text) {
    await notCausal(page);
    await paste(page, text);
    return running(page, () => page.keyboard.press('Control+Enter'));
}

pageTest('the shape is shown while typing', {}, async (page) => {
    const field = page.getByLabel('Text or numbers');
    await field.fill('');
    await field.pressSequentially('one two three');
    await until(() => badge(page), (text) => text === '3 tokens → [3, 128]', 'the badge of words');
    await field.fill(JSON.stringify(ROWS));
    await until(() => badge(page), (text) => text === '[2, 128]', 'the badge of numbers');
    await field.fill(JSON.stringify([ROWS, ROWS, ROWS]));
    await until(() => badge(page), (text) => text === '[3, 2, 128]', 'the badge of a batch');
});

const PRINTED = `array([${ROWS.map((row) => `[${row.map((x) =>
    x.toPrecision(9)).join(', ')}]`).join(',\n       ')}], dtype=float32)`;
const PLAIN = `[[${ROWS.map((row) => row.map((x) => x.toPrecision(9)).join(' ')).join(']\n [')}]]`;

for (const [kind, text] of [['JSON', JSON.stringify(ROWS)],
    ['JSON with base64', JSON.stringify({ query: { shape: [2, E], dtype: 'float32',
        data: Buffer.from(DATA.buffer).toString('base64') } })],
    ['base64 alone', Buffer.from(DATA.buffer).toString('base64')],
    ['CSV', ROWS.map((row) => row.join(',')).join('\n')], ['what NumPy prints', PLAIN],
        ['what NumPy represents', PRINTED]])
    pageTest(`pasted ${kind} is sent as it was meant`, {}, async (page) => {
        const query = queryOf(await pasteAndRun(page, text));
        assert.deepEqual(query.shape, [2, E]);
        assert.deepEqual(query.data, DATA);
        assert.match(await page.locator('#sizes').textContent(), /2 queries × 2 keys/);
    });

pageTest('a pasted request has its fields', {}, async (page) => {
    const answer = await pasteAndRun(page, JSON.stringify({ model: 'patterns', query: ROWS, key: [...ROWS, ROWS[0]],
        attn_mask: [[false, false, true], [true, false, false]], query_labels: ['up', 'down'],
            key_labels: ['a', 'b', 'c'] }));
    const { tensors } = requestOf(answer);
    assert.deepEqual(tensors.key.shape, [3, E]);
    assert.deepEqual([...tensors.attn_mask.data], [0, 0, 1, 1, 0, 0]);
    await tab(page, 'Table');
    assert.deepEqual(await page.locator('#table thead th').allTextContents(), ['a (0)', 'b (1)', 'c (2)']);
    assert.equal(await page.locator('#table tbody td').nth(2).textContent(), 'mask');
});

const SAFE = writeTensors({ query: { shape: [2, E], data: DATA } });
const FILES = { 'drop.json': Buffer.from(JSON.stringify({ query: ROWS })), 'drop.npy': npyFile([2, E], DATA),
    'drop.npz': npzFile({ query: npyFile([2, E], DATA) }), 'deflated.npz': npzFile({ arr_0: npyFile([2, E], DATA) }, true),
    'drop.safetensors': SAFE, 'drop.csv': Buffer.from(ROWS.map((row) => row.join(',')).join('\n')) };

/* Drops files onto the page, as a file manager does. */
async function drop(page, files) {
    const list = Object.entries(files).map(([name, bytes]) => [name, bytes.toString('base64')]);
    const transfer = await page.evaluateHandle((list) => {
        const transfer = new DataTransfer();
        for (const [name, text] of list)
            transfer.items.add(new File([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))], name));
        return transfer;
    }, list);
    await page.dispatchEvent('body', 'dragover', { dataTransfer: transfer });
    assert.ok(await page.locator('#drop').isVisible(), 'it says that files may be dropped');
    await page.dispatchEvent('body', 'drop', { dataTransfer: transfer });
    assert.ok(await page.locator('#drop').isHidden());
}

for (const [name, bytes] of Object.entries(FILES)) {
    pageTest(`${name} is dropped and runs`, {}, async (page) => {
        const query = queryOf(await running(page, () => drop(page, { [name]: bytes })));
        assert.deepEqual(query.shape.slice(-2), [2, E]);
        assert.deepEqual(query.data, DATA);
        assert.match(await page.locator('#about').textContent(), new RegExp(name));
    });
    pageTest(`${name} is chosen with the button and runs`, {}, async (page) => {
        const query = queryOf(await running(page, () => page.getByLabel('Choose files').setInputFiles({ name,
            mimeType: '', buffer: bytes })));
        assert.deepEqual(query.data, DATA);
    });
}

pageTest('the arrays of a .npz are the fields of a request', {}, async (page) => {
    const keys = numbers(3 * E, 7);
    const file = npzFile({ query: npyFile([2, E], DATA), key: npyFile([3, E], keys), key_padding_mask: npyFile([3], [0, 0, -Infinity]) }, true);
    const { tensors } = requestOf(await running(page, () => drop(page, { 'a.npz': file })));
    assert.deepEqual(tensors.query.data, DATA);
    assert.deepEqual(tensors.key.data, keys);
    assert.deepEqual([...tensors.key_padding_mask.data], [0, 0, -Infinity]);
});

pageTest('weights in a .npz are shown; what else is in one is named, and nothing is run', {}, async (page) => {
    let asked = 0;
    page.on('request', (request) => asked += request.method() === 'POST' ? 1 : 0);
    await drop(page, { 'w.npz': npzFile({ output: npyFile([2, 3], numbers(6)), attn_weights: npyFile([1, 2, 2], [1, 0, 0.5, 0.5]) }) });
    await until(() => page.locator('#sizes').textContent(), (text) => /from a file · 1 head · 2 queries × 2 keys/.test(text));
    const wrong = page.locator('#wrong');
    await drop(page, { 'two.npz': npzFile({ first: npyFile([1, E], DATA.slice(E)), second: npyFile([1, E], DATA.slice(E)) }) });
    await until(() => wrong.textContent(), (text) => text.includes('A tensor “query” is needed, or “attn_weights”; here is first, second.'));
    await drop(page, { 'cut.npz': npzFile({ query: npyFile([2, E], DATA) }).subarray(0, 700) });
    await until(() => wrong.textContent(), (text) => text === 'cut.npz: This .npz file is damaged, or none.');
    assert.equal(await page.getByLabel('Text or numbers').inputValue(), '', 'it is not text');
    assert.equal(asked, 0);
});

pageTest('query and key as two files make one request', {}, async (page) => {
    const keys = numbers(3 * E, 7);
    const { tensors } = requestOf(await running(page, () => drop(page, { 'query.npy': npyFile([2, E], DATA),
        'key.npy': npyFile([3, E], keys) })));
    assert.deepEqual(tensors.query.data, DATA);
    assert.deepEqual(tensors.key.data, keys);
});

pageTest('weights from elsewhere are shown without a run', {}, async (page) => {
    let asked = 0;
    page.on('request', (request) => asked += request.method() === 'POST' ? 1 : 0);
    const weights = [[0.25, 0.5, 0.25], [0.125, 0.75, 0.125]];
    await drop(page, { 'weights.csv': Buffer.from(`,x,y,z\np,${weights[0]}\nq,${weights[1]}\n`) });
    await until(() => page.locator('#sizes').textContent(), (text) => text.includes('from a file'));
    assert.equal(asked, 0, 'nothing was asked of the service');
    await tab(page, 'Table');
    assert.deepEqual(await page.locator('#table thead th').allTextContents(), ['x (0)', 'y (1)', 'z (2)']);
    assert.deepEqual(await page.locator('#table tbody th').allTextContents(), ['p (0)', 'q (1)']);
    assert.deepEqual(await page.locator('#table tbody td').allTextContents(), weights.flat().map(String));
    await drop(page, { 'attention.safetensors': writeTensors({ attn_weights: { shape: [1, 2, 2, 3],
        data: [...weights.flat(), ...weights.flat()] } }) });
    await until(() => page.locator('#sizes').textContent(), (text) =>
        /from a file · 2 heads · 2 queries × 3 keys/.test(text));
    assert.equal(asked, 0);
});

pageTest('an error marks its place', {}, async (page) => {
    await paste(page, '[[1, 2, 3],\n [4, oops, 6]]');
    const wrong = page.locator('#wrong');
    await until(() => wrong.textContent(), (text) => text.includes('oops'));
    assert.equal(await wrong.locator('mark').textContent(), 'oops');
    assert.equal(await page.getByLabel('Text or numbers').getAttribute('aria-invalid'), 'true');
    await wrong.getByRole('button', { name: 'Go to line 2, column 6' }).click();
    const [selected, focus] = await page.evaluate(() => {
        const { id, value, selectionStart, selectionEnd } = document.activeElement;
        return [value.slice(selectionStart, selectionEnd), id];
    });
    assert.deepEqual([selected, focus], ['oops', 'query']);
    await page.keyboard.type('5');
    await until(() => wrong.textContent(), (text) => !text.includes('oops'), 'an end of the error');
});

pageTest('what the service has against a request is shown at its place', { allow: [/status of 400/] }, async (page) => {
    await pasteAndRun(page, JSON.stringify({ model: 'patterns', query: ROWS, attn_mask: [[0, 0, 0], [0, 0, 0]] }));
    const wrong = page.locator('#wrong');
    const text = await until(() => wrong.textContent());
    assert.match(text, /attn_mask/);
    assert.match(text, /Go to line 1, column/);
});

pageTest('labels, masks and padding come from their fields', {}, async (page) => {
    await notCausal(page);
    await more(page);
    await page.getByLabel('Labels of queries').fill('q0, q1');
    await page.getByLabel('Keys of their own').fill('red green blue');
    await page.getByLabel('Labels of keys').fill('k0, k1, k2');
    await page.getByLabel('Padded keys').fill('2');
    await page.getByLabel('Masked pairs, query:keys').fill('1:0');
    await runText(page, 'red green');
    await tab(page, 'Table');
    assert.deepEqual(await page.locator('#table tbody th').allTextContents(), ['q0 (0)', 'q1 (1)']);
    assert.deepEqual(await page.locator('#table thead th').allTextContents(), ['k0 (0)', 'k1 (1)', 'k2 (2)']);
    const cells = await page.locator('#table tbody td').allTextContents();
    assert.deepEqual([cells[2], cells[3], cells[5]], ['padding', 'mask', 'padding']);
});
