/* What somebody who has never seen the page does: reads the help, and finds the controls by the names that they
 * bear. */

import assert from 'node:assert/strict';
import { pointOf, readCell, running, settle, theMap, until } from './explorer.mjs';
import { pageTest, setUp } from './harness.mjs';

setUp();

const button = (page, name) => page.getByRole('button', { name });

pageTest('the help answers the four questions', {}, async (page) => {
    await button(page, /^Help/).click();
    const help = await page.getByRole('dialog').innerText();
    for (const question of ['Compare two heads', 'See the exact weight of one pair', 'Mask a token', 'Share the view'])
        assert.ok(help.includes(question), question);
    for (const control of ['All heads', 'What if', 'Undo', 'Copy link'])
        assert.ok(help.includes(control), `the help names ${control}`);
    await button(page, 'Close').click();
    for (const name of ['All heads'])
        assert.ok(await page.getByRole('tab', { name }).isVisible());
    assert.ok(await page.getByText('What if', { exact: true }).isVisible());
    assert.ok(await button(page, 'Copy link').isVisible());
});

pageTest('compare two heads', {}, async (page) => {
    await page.getByRole('tab', { name: 'All heads' }).click();
    await settle(page);
    const first = button(page, /^head 0/), second = button(page, /^head 2/);
    const [a, b] = [await first.boundingBox(), await second.boundingBox()];
    assert.ok(a.width > 60 && b.width > 60, 'both are seen at once');
    await second.click();
    await until(() => second.getAttribute('aria-pressed'), (pressed) => pressed === 'true', 'the chosen head');
    await page.getByRole('tab', { name: 'Matrix' }).click();
    const { x, y } = await pointOf(page, 4, 0);
    await page.mouse.click(x, y);
    await page.mouse.move(5, 5);
    const one = await readCell(page);
    await page.keyboard.press('[');
    const other = await readCell(page);
    assert.deepEqual([other.Query, other.Key], [one.Query, one.Key], 'the cell stays');
    assert.notEqual(other.Weight, one.Weight);
});

pageTest('see the exact weight of one pair', {}, async (page) => {
    await theMap(page).scrollIntoViewIfNeeded();
    const { x, y } = await pointOf(page, 7, 2);
    await page.mouse.move(x, y);
    const cell = await readCell(page);
    assert.match(cell.Query, /\(7\)$/);
    assert.match(cell.Weight, /^\d/);
    assert.ok(await page.getByText('Weight', { exact: true }).isVisible());
});

pageTest('mask a token', {}, async (page) => {
    await page.getByLabel('A click').selectOption('masks the key');
    const { x, y } = await pointOf(page, 7, 1);
    await running(page, () => page.mouse.click(x, y));
    assert.match(await page.locator('#title').innerText(), /without cat/);
    await button(page, 'Undo').click();
    await until(() => page.locator('#title').innerText(), (text) => !text.includes('without'));
});

pageTest('share the view', {}, async (page, { context }) => {
    await page.getByRole('tab', { name: 'Lines' }).click();
    await button(page, 'Copy link').click();
    await until(() => page.locator('#export [role=status]').textContent(), (text) => text.startsWith('Copied.'));
    const other = await context.newPage();
    await other.goto(await page.evaluate(() => navigator.clipboard.readText()));
    await until(() => other.getByRole('tab', { selected: true }).textContent(), (text) => text === 'Lines');
    await other.locator('#title bdi').waitFor();
    assert.match(await other.locator('#title').textContent(), /the cat sat on the mat and the cat slept/);
});
