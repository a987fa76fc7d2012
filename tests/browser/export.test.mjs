/* Point 9: files, commands and links hold what is seen; files are read back, commands are run. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { control, copying, example, lockByKeys, readCell, runText, saving, settle, tab, theMap,
    until } from './explorer.mjs';
import { open, origin, pageTest, setUp, watch } from './harness.mjs';
import { BUILD } from './server.mjs';
import { askAgain, rawJson, readTensors, unbatched } from './wire.mjs';

const run = promisify(execFile), PYTHON = resolve(BUILD, 'browser/venv/bin/python');

setUp();

/* Width and height of a PNG. */
const sizeOf = (png) => {
    assert.equal(png.toString('latin1', 0, 8), '\x89PNG\r\n\x1a\n');
    return [png.readUInt32BE(16), png.readUInt32BE(20)];
};

pageTest('PNG from one to four times the size', {}, async (page) => {
    const sizes = [];
    for (const factor of [1, 2, 3, 4]) {
        await page.getByLabel('Size of the PNG').selectOption(`${factor}×`);
        const { name, bytes } = await saving(page, 'PNG');
        assert.equal(name, 'attention.png');
        sizes.push(sizeOf(bytes));
    }
    const [wide, high] = sizes[0];
    assert.ok(wide > 200 && high > 200, `${sizes[0]}`);
    assert.deepEqual(sizes, [1, 2, 3, 4].map((factor) => [wide * factor, high * factor]));
});

for (const view of ['Matrix', 'All heads', 'Lines', 'One row'])
    pageTest(`SVG of “${view}” is well formed and its text is text`, {}, async (page, { browser }) => {
        await tab(page, view);
        const { bytes } = await saving(page, 'SVG'), reader = await browser.newPage();
        const found = await reader.evaluate((source) => {
            const parsed = new DOMParser().parseFromString(source, 'image/svg+xml');
            return { wrong: parsed.querySelector('parsererror')?.textContent, root: parsed.documentElement.nodeName,
                texts: [...parsed.querySelectorAll('text')].map((text) => text.textContent),
                elsewhere: [...parsed.querySelectorAll('[href]')].map((one) =>
                    one.getAttribute('href')).filter((href) => !href.startsWith('data:')) };
        }, bytes.toString());
        await reader.close();
        assert.equal(found.wrong, undefined);
        assert.equal(found.root, 'svg');
        assert.ok(found.texts.length > 3, `${found.texts}`);
        if (view !== 'All heads')
            assert.ok(found.texts.some((text) => text.includes('mat')), `${found.texts}`);
        assert.deepEqual(found.elsewhere, []);
    });

pageTest('CSV has the numbers of the map, digit by digit', {}, async (page) => {
    const { attn_weights: weights } = await askAgain(await runText(page, 'a "quoted, word" =1+1 end'));
    const head = Number(await control(page, 'Head').inputValue());
    const lines = (await saving(page, 'CSV')).bytes.toString().trimEnd().split('\r\n');
    assert.equal(lines.length, unbatched(weights)[head].length + 1);
    assert.doesNotMatch(lines.join('\n'), /(^|,)=/m, 'nothing that a spreadsheet would compute');
    lines.slice(1).forEach((line, i) => {
        const row = unbatched(weights)[head][i], fields = line.split(',').slice(-row.length);
        assert.deepEqual(fields, row.map((text, j) => j > i ? '' : text));
    });
});

pageTest('JSON and safetensors have all numbers of the run', {}, async (page) => {
    const answer = await runText(page, 'one two three two one'), theirs = await askAgain(answer);
    const json = rawJson((await saving(page, 'JSON')).bytes.toString());
    for (const name of ['attn_weights', 'scores', 'q', 'k', 'v', 'head_output', 'output'])
        assert.deepEqual(unbatched(json[name]), unbatched(theirs[name]), name);
    assert.deepEqual(json.query_labels, ['one', 'two', 'three', 'two', 'one']);
    const { tensors, metadata } = readTensors((await saving(page, 'safetensors')).bytes);
    assert.equal(metadata.model, 'patterns');
    for (const name of ['attn_weights', 'scores', 'output', 'head_output'])
        assert.deepEqual([...tensors[name].data], theirs[name].flat(3).map((text) => Math.fround(Number(text))), name);
});

pageTest('what was saved can be dropped again', {}, async (page) => {
    await runText(page, 'one two three four');
    await tab(page, 'Table');
    const before = await page.locator('#table').textContent();
    for (const name of ['safetensors', 'JSON', 'CSV']) {
        const { bytes, name: file } = await saving(page, name);
        await page.getByLabel('Choose files').setInputFiles({ name: file, mimeType: '', buffer: bytes });
        await until(() => page.locator('#sizes').textContent(), (text) => text.includes('from a file'),
            `${name} to be shown`);
        await tab(page, 'Table');
        const after = await page.locator('#table').textContent();
        assert.equal(after.replaceAll('causal', '0'), before.replaceAll('causal', '0'), name);
        const remove = page.getByRole('button', { name: 'Remove' }); /* large files stand in the place of the text */
        if (await remove.isVisible())
            await remove.click();
        await page.locator('#editor').getByLabel('Causal').selectOption('yes');
        await runText(page, 'one two three four');
    }
});

pageTest('the page as a file works without any service', {}, async (page, { browser }) => {
    await example(page, 'Causal');
    await lockByKeys(page, 4, 2);
    const cell = await readCell(page), { bytes } = await saving(page, 'Page');
    const folder = await mkdtemp(join(tmpdir(), 'attend-page-')), file = join(folder, 'attention.html');
    await writeFile(file, bytes);
    const alone = await browser.newContext({ offline: true }), faults = await watch(alone, 'null');
    try {
        const other = await alone.newPage();
        await other.goto(pathToFileURL(file).href);
        await other.locator('#title bdi').waitFor();
        assert.deepEqual(await until(() => readCell(other), ({ title }) => title === cell.title), cell,
            'the same cell is locked');
        await other.getByRole('tab', { name: 'Table' }).click();
        await settle(other);
        assert.equal(await other.locator('#table td.locked').textContent(), cell.Weight);
        await other.getByRole('tab', { name: 'Steps' }).click();
        await until(() => other.locator('#steps').textContent(), (text) => text.includes('Value mix'));
        assert.equal(await other.locator('#steps .unequal').count(), 0);
        await other.getByRole('tab', { name: 'Matrix' }).click();
        await theMap(other).focus();
        await other.keyboard.press(']');
        await settle(other);
        assert.notEqual((await readCell(other)).Weight, cell.Weight, 'another head has other numbers');
        assert.deepEqual(faults.filter((fault) => !fault.includes(pathToFileURL(folder).href)), []);
    } finally {
        await alone.close();
        await rm(folder, { recursive: true });
    }
});

pageTest('the command for curl gives the same bits when bash runs it', {}, async (page) => {
    for (const name of ['Row without keys', 'Cross-attention']) {
        const { attn_weights: weights, output } = await askAgain(await example(page, name)),
            command = await copying(page, 'Copy as curl');
        const { stdout } = await run('bash', ['-c', command], { maxBuffer: 1 << 26 }), answer = rawJson(stdout);
        assert.deepEqual(answer.attn_weights, weights, name);
        assert.deepEqual(answer.output, output, name);
    }
});

pageTest('the program in Python gives the same bits when it runs', {}, async (page) => {
    const { attn_weights: weights, output } = await askAgain(await example(page, 'Padding')),
        program = await copying(page, 'Copy as Python');
    const print = '\nboth = np.concatenate([answer.attn_weights.ravel(), answer.output.ravel()])'
        + '\nprint("BITS", json.dumps([np.float32(x).tobytes().hex() for x in both]))\n';
    const { stdout } = await run(PYTHON, ['-c', program + print], { maxBuffer: 1 << 26 });
    const bits = JSON.parse(/BITS (.*)/.exec(stdout)[1]);
    const theirs = [...weights.flat(3), ...output.flat(2)].map((text) =>
        Buffer.from(Float32Array.of(Number(text)).buffer).toString('hex'));
    assert.deepEqual(bits, theirs);
});

pageTest('what was typed cannot leave the quotes of a command', {}, async (page) => {
    const evil = `it's '; echo stolen >&2; ' $(echo stolen) \`id\` """ ''' \\' END`;
    const { attn_weights: weights } = await askAgain(await runText(page, evil));
    const { stdout, stderr } = await run('bash', ['-c', await copying(page, 'Copy as curl')], { maxBuffer: 1 << 26 });
    assert.doesNotMatch(stderr, /stolen/);
    assert.deepEqual(rawJson(stdout).attn_weights, weights);
    await run(PYTHON, ['-c', await copying(page, 'Copy as Python')]);
});

pageTest('a link brings back the view and the input', {}, async (page, { context }) => {
    await page.locator('#editor').getByLabel('Causal').selectOption('no');
    await runText(page, 'a link to this very view');
    await control(page, 'Head').selectOption('3');
    await control(page, 'Colours').selectOption('viridis');
    await control(page, 'Scale').selectOption('square root');
    await lockByKeys(page, 4, 2);
    await page.mouse.move(5, 5);
    const cell = await readCell(page), link = await copying(page, 'Copy link');
    assert.ok(link.startsWith(`${origin()}/#`));
    const other = await context.newPage();
    await other.goto(link);
    await other.locator('#title bdi').waitFor();
    await until(() => readCell(other), (now) => now.Weight === cell.Weight, `the cell ${JSON.stringify(cell)}`);
    const now = await readCell(other);
    assert.deepEqual([now.Query, now.Key, now.title], [cell.Query, cell.Key, 'Locked cell']);
    for (const [name, value] of [['Head', '3'], ['Colours', 'viridis'], ['Scale', 'sqrt']])
        assert.equal(await control(other, name).inputValue(), value);
});

pageTest('the address follows, and the back button goes back', {}, async (page) => {
    await lockByKeys(page, 4, 2);
    await until(() => page.evaluate(() => location.hash), (hash) => hash.includes('cells=4.2'));
    await tab(page, 'One row');
    await until(() => page.evaluate(() => location.hash), (hash) => hash.includes('tab=row'));
    await control(page, 'Head').selectOption('1');
    await until(() => page.evaluate(() => location.hash), (hash) => hash.includes('head=1'));
    await page.goBack();
    await until(() => control(page, 'Head').inputValue(), (value) => value === '4', 'the head before');
    await page.goBack();
    await until(() => page.getByRole('tab', { selected: true }).textContent(), (text) => text === 'Matrix',
        'the tab before');
    await page.goForward();
    await until(() => page.getByRole('tab', { selected: true }).textContent(), (text) => text === 'One row',
        'the tab again');
});

pageTest('a damaged link says so, and the page still shows something', { path: null }, async (page) => {
    await open(page, '/#head=99&cells=-1.x_3.3&scale=evil&window=NaN&input=AAAA');
    await until(() => page.locator('body').textContent(), (text) =>
        text.includes('The input in the address is damaged or too large.'));
    assert.match(await page.locator('#sizes').textContent(), /queries/);
});
