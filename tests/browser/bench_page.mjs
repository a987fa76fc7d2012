/* bench_page.mjs: how soon after navigation the page shows its first picture, and how many frames a second it
 * draws while a map of 2048 x 2048 x 8 is panned and zoomed. It prints, and asserts nothing. */

import { launch } from './harness.mjs';
import { runText, settle, theMap } from './explorer.mjs';
import { Server } from './server.mjs';

const TIMES = 9, SECONDS = 4;

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

/* Milliseconds from navigation to the frame in which the map has colours. */
async function firstPicture(browser, url) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 1000 } }),
        page = await context.newPage();
    await page.addInitScript(() => {
        const look = () => {
            const canvas = document.querySelector('#matrix canvas');
            if (canvas?.dataset.seen && document.querySelector('#title bdi')) /* it is set as the map is drawn */
                return requestAnimationFrame(() => window.drawnAt = performance.now());
            return requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
    });
    await page.goto(url);
    const time = await page.waitForFunction(() => window.drawnAt).then((handle) => handle.jsonValue());
    await context.close();
    return time;
}

/* Times between frames, in milliseconds, while `act(n)` is called before each. */
async function framesWhile(page, act) {
    await page.evaluate(() => {
        window.stamps = [];
        const note = (time) => {
            window.stamps.push(time);
            window.noting = requestAnimationFrame(note);
        };
        window.noting = requestAnimationFrame(note);
    });
    const end = Date.now() + SECONDS * 1000;
    for (let n = 0; Date.now() < end; n++)
        await act(n);
    const stamps = await page.evaluate(() => {
        cancelAnimationFrame(window.noting);
        return window.stamps;
    });
    return stamps.slice(1).map((time, n) => time - stamps[n]);
}

function report(what, gaps) {
    const all = gaps.reduce((a, b) => a + b, 0), sorted = [...gaps].sort((a, b) => a - b);
    console.log(`${what}: ${(1000 * gaps.length / all).toFixed(1)} frames/s; `
        + `a frame takes ${median(gaps).toFixed(1)} ms (median), `
        + `${sorted[Math.floor(sorted.length * 0.95)].toFixed(1)} ms (95 %), ${sorted.at(-1).toFixed(1)} ms (longest)`);
}

const server = process.env.ATTEND_URL ? { url: process.env.ATTEND_URL, stop() {} } : await Server.start(),
    browser = await launch();
try {
    const times = [];
    for (let n = 0; n < TIMES; n++)
        times.push(await firstPicture(browser, server.url));
    console.log(`first picture after navigation: ${median(times).toFixed(0)} ms (median of ${TIMES}; `
        + `${Math.min(...times).toFixed(0)} to `
        + `${Math.max(...times).toFixed(0)} ms)`);

    const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
    await page.goto(server.url);
    await page.locator('#title bdi').waitFor();
    await runText(page, Array.from({ length: 2048 }, (_, n) => `w${n * n % 97}`).join(' '));
    await theMap(page).scrollIntoViewIfNeeded();
    await page.waitForTimeout(1000);
    const { x, y, width, height } = await theMap(page).boundingBox(), [cx, cy] = [x + width * 0.6, y + height * 0.6];
    report('nothing moves, 2048 x 2048 x 8', await framesWhile(page, () => page.waitForTimeout(50)));
    await theMap(page).focus();
    for (const zooms of [3, 4, 3]) {
        for (let n = 0; n < zooms; n++)
            await page.keyboard.press('+');
        await settle(page);
        await page.mouse.move(cx, cy);
        await page.mouse.down();
        const note = await page.locator('#matrix-note').textContent();
        report(`panning, ${/max of (\d+ × \d+)/.exec(note)?.[1] ?? 'single'} cells`,
            await framesWhile(page, (n) => page.mouse.move(cx + 180 * Math.sin(n / 12), cy + 140 * Math.cos(n / 15))));
        await page.mouse.up();
    }
    await page.keyboard.press('0');
    report('zooming with the wheel', await framesWhile(page, (n) =>
        page.mouse.wheel(0, Math.floor(n / 25) % 2 ? 60 : -60)));
} finally {
    await browser.close();
    await server.stop();
}
