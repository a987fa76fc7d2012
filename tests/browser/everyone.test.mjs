/* Point 11: by keyboard alone, read aloud, light and dark, narrow, zoomed, without motion. */

import assert from 'node:assert/strict';
import { control, example, lockByKeys, readCell, runText, running, settle, tab, theMap, until } from './explorer.mjs';
import { AXE, pageTest, setUp } from './harness.mjs';

setUp();

/* What axe-core finds. Its script is evaluated in the page by the browser's own tools, which the policy does not
 * hold for. */
async function violations(page) {
    const { readFileSync } = await import('node:fs');
    await page.evaluate(readFileSync(AXE, 'utf8'));
    const found = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
    return found.violations.flatMap(({ id, help, nodes }) =>
        nodes.map(({ html, any }) => `${id}: ${help}: ${html.slice(0, 160)} ${any[0]?.message ?? ''}`));
}

const TABS = ['Matrix', 'All heads', 'Lines', 'Text', 'One row', 'Table', 'Steps'];

for (const colorScheme of ['light', 'dark'])
    pageTest(`axe-core finds nothing, ${colorScheme}`, { context: { colorScheme } }, async (page) => {
        await example(page, 'Row without keys');
        await lockByKeys(page, 6, 5);
        for (const name of TABS) {
            await tab(page, name);
            if (name === 'All heads')
                await page.getByText('Table of heads', { exact: true }).click();
            if (name === 'Steps')
                await until(() => page.locator('#steps').textContent(), (text) => text.includes('Output projection'));
            await settle(page);
            assert.deepEqual(await violations(page), [], name);
        }
        await page.locator('#more').evaluate((details) => details.open = true);
        await page.getByLabel('Padded keys').fill('99');
        await until(() => page.locator('#wrong').textContent());
        assert.deepEqual(await violations(page), [], 'with an error');
        await page.locator('#history').getByRole('button', { name: /^− this/ }).nth(1).click();
        await settle(page);
        assert.deepEqual(await violations(page), [], 'a difference');
        await page.getByRole('button', { name: /^Help/ }).click();
        assert.deepEqual(await violations(page), [], 'with the help open');
    });

/* Presses Tab until what has the focus passes `is`. */
async function tabTo(page, is, what, key = 'Tab') {
    for (let n = 0; n < 150; n++) {
        await page.keyboard.press(key);
        if (await page.evaluate(is))
            return;
    }
    assert.fail(`${what} was not reached`);
}

pageTest('all of it by keyboard alone', {}, async (page) => {
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the maps');
    await tabTo(page, () => document.activeElement.textContent === 'Causal', 'an example');
    await running(page, () => page.keyboard.press('Enter'));
    assert.match(await page.locator('#title').textContent(), /row row row/);
    await tabTo(page, () => document.activeElement.id === 'query', 'the text');
    await page.keyboard.press('Control+a');
    await page.keyboard.type('one two three two one');
    await running(page, () => page.keyboard.press('Control+Enter'));
    await tabTo(page, () => document.activeElement.role === 'tab', 'the tabs');
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.locator('[role=tab][aria-selected=true]').textContent(), 'All heads');
    await tabTo(page, () => document.activeElement.dataset.head === '1', 'a head');
    await page.keyboard.press('Enter');
    await tabTo(page, () => document.activeElement.role === 'tab', 'the tabs again', 'Shift+Tab');
    await page.keyboard.press('Home');
    assert.equal(await page.locator('[role=tab][aria-selected=true]').textContent(), 'Matrix');
    await tabTo(page, () => document.activeElement.matches('#matrix canvas'), 'the map');
    for (const key of ['Control+Home', 'Control+Home', 'ArrowDown', 'ArrowDown', 'ArrowRight', 'Enter'])
        await page.keyboard.press(key);
    let cell = await readCell(page);
    assert.deepEqual([cell.title, cell.Query, cell.Key], ['Locked cell', 'three (2)', 'two (1)']);
    await page.keyboard.press('End');
    assert.match((await readCell(page)).Key, /\(4\)$/);
    await page.keyboard.press('Control+End');
    assert.match((await readCell(page)).Query, /\(4\)$/);
    await page.keyboard.press(']');
    await until(() => control(page, 'Head').inputValue(), (head) => head === '2', 'the next head'); /* drawn in the next frame */
    await page.keyboard.press('Escape');
    cell = await readCell(page);
    assert.equal(cell.title, 'No cell chosen');
    for (const key of ['Control+Home', 'ArrowRight', 'Enter'])
        await page.keyboard.press(key);
    await tabTo(page, () => document.activeElement.textContent.startsWith('Mask key'), 'the button that masks');
    await running(page, () => page.keyboard.press('Enter'));
    assert.match(await page.locator('#title').textContent(), /without/);
    await tabTo(page, () => document.activeElement.textContent === 'Undo', 'Undo');
    await page.keyboard.press('Enter');
    await until(() => page.locator('#title').textContent(), (text) => !text.includes('without'));
    await tabTo(page, () => document.activeElement.textContent === 'CSV', 'a file');
    const saved = page.waitForEvent('download');
    await page.keyboard.press('Enter');
    await saved;
    await page.keyboard.press('?');
    assert.ok(await page.getByRole('dialog').isVisible());
    await page.keyboard.press('Escape');
    assert.ok(await page.getByRole('dialog').isHidden());
});

pageTest('the lines, the text and the bars are walked by keys', {}, async (page) => {
    for (const [name, place] of [['Lines', '#lines canvas'], ['Text', '#text [aria-label=Queries]'],
        ['One row', '#row [role=listbox]']]) {
        await page.keyboard.press('Escape');
        await tab(page, name);
        await page.locator(place).focus();
        await page.keyboard.press('ArrowDown');
        await page.keyboard.press('ArrowDown');
        await page.keyboard.press('Enter');
        assert.equal((await readCell(page)).title, 'Locked cell', name);
    }
});

pageTest('a live text says the cell', {}, async (page) => {
    await lockByKeys(page, 5, 3);
    const cell = await readCell(page);
    const said = await until(() => page.locator('#inspect [aria-live=polite]').textContent(), (text) =>
        text.startsWith('Locked cell'));
    for (const part of ['(query 5)', '(key 3)', `weight ${cell.Weight}`, `rank ${cell['Rank in row']}`])
        assert.ok(said.includes(part), said);
});

pageTest('the table is a table, of what is in sight, and moves', {}, async (page) => {
    await example(page, 'Same token');
    await tab(page, 'Table');
    const table = page.getByRole('table', { name: /Queries 0 to 15 of 18, keys 0 to 9 of 18/ });
    assert.equal(await table.getByRole('columnheader').count(), 10);
    assert.equal(await table.getByRole('rowheader').count(), 16);
    await page.getByRole('button', { name: 'Columns after' }).click();
    await settle(page);
    assert.match(await page.locator('#table caption').textContent(), /keys 8 to 17|keys 10 to 17/);
});

/* Whether anything makes the page itself wider than the window. */
const tooWide = (page) => page.evaluate(() => {
    const wide = document.scrollingElement.scrollWidth - innerWidth;
    return wide <= 0 ? [] : [`${wide} pixels`, ...[...document.querySelectorAll('body *')].filter((one) =>
        one.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map((one) => one.outerHTML.slice(0, 120))];
});

for (const [name, viewport] of [['320 pixels wide', { width: 320, height: 640 }],
    ['at 400 % zoom', { width: 320, height: 256 }]])
    pageTest(`${name} there is no sideways scrolling, and all is there`, { context: { viewport } }, async (page) => {
        for (const view of TABS) {
            await tab(page, view);
            if (view === 'Steps')
                await until(() => page.locator('#steps').textContent(), (text) => text.includes('Output projection'));
            await settle(page);
            assert.deepEqual(await tooWide(page), [], view);
        }
        await tab(page, 'Matrix');
        await theMap(page).scrollIntoViewIfNeeded();
        const box = await theMap(page).boundingBox();
        assert.ok(box.width > 200 && box.height > 100 && box.height <= Math.max(160, viewport.height),
            JSON.stringify(box));
        await lockByKeys(page, 3, 2);
        assert.equal((await readCell(page)).title, 'Locked cell');
        await runText(page, 'a much longer-than-usual-word '.repeat(3));
        await page.getByRole('button', { name: /^Help/ }).click();
        assert.deepEqual(await tooWide(page), [], 'help');
        const close = page.getByRole('dialog').getByRole('button', { name: 'Close' });
        await close.scrollIntoViewIfNeeded();
        await close.click();
    });

pageTest('forced colours keep outlines, states and the map', { context: { forcedColors: 'active' } }, async (page) => {
    assert.ok(await page.evaluate(() => matchMedia('(forced-colors: active)').matches));
    await lockByKeys(page, 4, 1);
    const styles = await page.evaluate(() => {
        const read = (selector, name) => getComputedStyle(document.querySelector(selector))[name];
        return { chosen: JSON.stringify([read('[role=tab][aria-selected=true]', 'color'),
            read('[role=tab][aria-selected=true]', 'backgroundColor'),
                read('[role=tab][aria-selected=true]', 'borderBottomColor')]),
            other: JSON.stringify([read('[role=tab][aria-selected=false]', 'color'),
                read('[role=tab][aria-selected=false]', 'backgroundColor'),
                    read('[role=tab][aria-selected=false]', 'borderBottomColor')]),
            outline: read('#matrix canvas', 'outlineStyle') };
    });
    assert.notEqual(styles.chosen, styles.other, 'the open tab looks different');
    assert.equal(styles.outline, 'solid', 'the focus can be seen');
    const colours = await page.locator('#legend .scale i').evaluate((strip) => getComputedStyle(strip).backgroundImage);
    assert.match(colours, /gradient/, 'the legend keeps its colours');
});

pageTest('with reduced motion nothing moves by itself', { context: { reducedMotion: 'reduce' } }, async (page) => {
    await example(page, 'Causal');
    const moving = await page.evaluate(() => [...document.querySelectorAll('*')].filter((element) => {
        const { animationName, animationDuration, transitionDuration, scrollBehavior } = getComputedStyle(element);
        return (animationName !== 'none' && parseFloat(animationDuration) > 0.01)
            || parseFloat(transitionDuration) > 0.01 || scrollBehavior === 'smooth';
    }).map((element) => element.outerHTML.slice(0, 100)));
    assert.deepEqual(moving, []);
    assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
});

pageTest('a note says that attention is not by itself an explanation', {}, async (page) => {
    assert.ok(await page.getByRole('heading', { name: 'Attention is not by itself an explanation' }).isVisible());
});
