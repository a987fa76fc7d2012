/* explorer.mjs: what a person does on the page, and what they read there. */

import assert from 'node:assert/strict';

/** What a frame or two later is drawn. */
export const settle = (page) => page.evaluate(() => new Promise((done) =>
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))));

export const tab = async (page, name) => {
    await page.getByRole('tab', { name, exact: true }).click();
    await settle(page);
};

/** One of the choices above the map: Head, Batch entry, Read, Colours, Scale, Range. */
export const control = (page, name) => page.locator('#controls').getByLabel(new RegExp(`^${name} `));

export const theMap = (page) => page.locator('#matrix canvas');

/** How many different colours a canvas has. It is copied first: the page's own is not to be read again and again. */
export const coloursOf = (page, canvas = theMap(page)) => canvas.evaluate((canvas) => {
    const copy = document.createElement('canvas'), context = copy.getContext('2d', { willReadFrequently: true });
    Object.assign(copy, { width: canvas.width, height: canvas.height });
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, copy.width, copy.height), seen = new Set();
    for (let n = 0; n < data.length; n += 4)
        seen.add(data[n] << 16 | data[n + 1] << 8 | data[n + 2]);
    return seen.size;
});

/** The colours [r, g, b] of a canvas at these places on the screen. */
export const pixelsAt = (page, places, canvas = theMap(page)) => canvas.evaluate((canvas, places) => {
    const copy = document.createElement('canvas'), context = copy.getContext('2d', { willReadFrequently: true });
    Object.assign(copy, { width: canvas.width, height: canvas.height });
    context.drawImage(canvas, 0, 0);
    const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
    return places.map(({ x, y }) => [...context.getImageData(Math.round((x - box.left) * ratio),
        Math.round((y - box.top) * ratio),
        1, 1).data].slice(0, 3));
}, places);

/** Waits until `read()` gives what passes `good`, and returns it. */
export async function until(read, good = Boolean, what = 'what was waited for') {
    const end = Date.now() + 15000;
    for (;;) {
        const value = await read();
        if (good(value))
            return value;
        assert.ok(Date.now() < end, `${what} did not come; last: ${JSON.stringify(value)}`);
        await new Promise((done) => setTimeout(done, 50));
    }
}

/** Does something that runs a request, and waits for what it shows. */
export async function running(page, act) {
    const answered = page.waitForResponse((answer) => answer.url().includes('/attend')
        && answer.request().method() === 'POST');
    await act();
    const answer = await answered;
    await answer.finished();
    await page.locator('#cancel').waitFor({ state: 'hidden' });
    await settle(page);
    return answer;
}

/** Puts text into the large field and runs it. */
export async function runText(page, text) {
    await page.getByLabel('Text or numbers').fill(text);
    return running(page, () => page.getByRole('button', { name: /^Run Ctrl/ }).click());
}

export const example = (page, name) => running(page, () => page.locator('#examples').getByRole('button',
    { name, exact: true }).click());

/** Opens the part of the editor that is closed at first. */
export const more = (page) => page.locator('#more').evaluate((details) => details.open = true);

/** What the page says of the chosen cell: {title, Query, Key, Weight, Score, ...}. */
export async function readCell(page) {
    await settle(page);
    return page.locator('#inspect').evaluate((element) => ({ title: element.querySelector('h3').textContent,
        ...Object.fromEntries([...element.querySelectorAll('dl > div')].map((pair) =>
            [pair.firstChild.textContent, pair.lastChild.textContent])) }));
}

export const indexIn = (text) => Number(/\((\d+)\)$/.exec(text)?.[1]);

/**
 * Where a cell of the map is on the screen. The page does not say where its map begins, so the pointer is moved along
 * until what it previews changes, as somebody's hand would do.
 */
export async function pointOf(page, i, j) {
    await theMap(page).scrollIntoViewIfNeeded();
    const place = await theMap(page).evaluate(async (canvas, wanted) => {
        const box = canvas.getBoundingClientRect(), frame = () =>
            new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const [i0, i1, j0, j1] = canvas.dataset.seen.split(' ').map(Number);
        const at = async (x, y) => {
            canvas.dispatchEvent(new PointerEvent('pointermove',
                { clientX: box.left + x, clientY: box.top + y, pointerId: 9, bubbles: true }));
            await frame();
            const [query, key] = ['Query', 'Key'].map((name) => [...document.querySelectorAll('#inspect dt')]
                .find((dt) => dt.textContent === name)?.nextSibling.textContent);
            return document.querySelector('#inspect h3').textContent !== 'Preview' ? null
                : { i: Number(/\((\d+)\)$/.exec(query)[1]), j: Number(/\((\d+)\)$/.exec(key)[1]) };
        };
        /* The first place along a line where the previewed cell is at least `least`. */
        const edge = async (length, least, look) => {
            let low = 0, high = length;
            while (high - low > 0.5) {
                const middle = (low + high) / 2, cell = await look(middle);
                if (cell !== null && cell >= least)
                    high = middle;
                else
                    low = middle;
            }
            return high;
        };
        let inside = null; /* any place within the map */
        for (let part = 0.98; part > 0 && !inside; part -= 0.06)
            for (let other = 0.9; other > 0 && !inside; other -= 0.08)
                inside = await at(box.width * other, box.height * part) ? [box.width * other, box.height * part] : null;
        const [x, y] = inside, here = await at(x, y);
        const left = await edge(x, wanted.j, async (place) => (await at(place, y))?.j ?? null);
        const top = await edge(y, wanted.i, async (place) => (await at(x, place))?.i ?? null);
        const far = async (length, next, start, look) => {
            let low = start, high = length;
            while (high - low > 0.5) {
                const middle = (low + high) / 2, cell = await look(middle);
                if (cell !== null && cell < next)
                    low = middle;
                else
                    high = middle;
            }
            return high;
        };
        const right = await far(box.width, wanted.j + 1, left, async (place) => (await at(place, y))?.j ?? null);
        const bottom = await far(box.height, wanted.i + 1, top, async (place) => (await at(x, place))?.i ?? null);
        canvas.dispatchEvent(new PointerEvent('pointerleave', { pointerId: 9 }));
        await frame();
        return { left, right, top, bottom, seen: [i0, i1, j0, j1], here };
    }, { i, j });
    const box = await theMap(page).boundingBox();
    return { x: box.x + (place.left + place.right) / 2, y: box.y + (place.top + place.bottom) / 2, ...place };
}

/** Moves the chosen cell to (i, j) by keys, and locks it. */
export async function lockByKeys(page, i, j) {
    await theMap(page).focus();
    await page.keyboard.press('Control+Home');
    await page.keyboard.press('Control+Home'); /* the first only brings the cell back */
    for (let n = 0; n < i; n++)
        await page.keyboard.press('ArrowDown');
    for (let n = 0; n < j; n++)
        await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
}

/** Does something that saves a file, and returns its bytes. */
export async function saving(page, name) {
    const begun = page.waitForEvent('download');
    await page.locator('#export').getByRole('button', { name, exact: true }).click();
    const download = await begun, parts = [];
    for await (const part of await download.createReadStream())
        parts.push(part);
    return { name: download.suggestedFilename(), bytes: Buffer.concat(parts) };
}

/** Copies something and returns what is on the clipboard then. */
export async function copying(page, name) {
    await page.evaluate(() => navigator.clipboard.writeText(''));
    await page.locator('#export').getByRole('button', { name, exact: true }).click();
    return until(() => page.evaluate(() => navigator.clipboard.readText()), Boolean, 'the copied text');
}
