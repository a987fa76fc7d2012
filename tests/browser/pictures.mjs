/* pictures.mjs FOLDER: pictures of the page's main states, as explorer-*.png of at most 200 kB each. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { launch, watch } from './harness.mjs';
import { control, example, lockByKeys, runText, settle, tab, until } from './explorer.mjs';
import { Server } from './server.mjs';

const MOST = 200000, folder = process.argv[2] ?? '.';

const STATES = {
    'matrix-light': [{}, async (page) => {
        await control(page, 'Head').selectOption('4');
        await lockByKeys(page, 6, 3);
    }],
    'heads-dark': [{ colorScheme: 'dark' }, async (page) => {
        await example(page, 'Same token');
        await tab(page, 'All heads');
        await until(() => page.locator('#heads [data-look]').count(), (count) => count === 10);
    }],
    'steps-light': [{}, async (page) => {
        await lockByKeys(page, 4, 1);
        await tab(page, 'Steps');
        await until(() => page.locator('#steps').textContent(), (text) => text.includes('Output projection'));
    }],
    'long-dark': [{ colorScheme: 'dark', viewport: { width: 1280, height: 960 } }, async (page) => {
        await page.locator('#editor').getByLabel('Causal').selectOption('no');
        await runText(page, Array.from({ length: 2048 }, (_, n) => `w${n * n % 97}`).join(' '));
        await control(page, 'Head').selectOption('1');
        await control(page, 'Scale').selectOption('square root');
        await page.waitForTimeout(1500);
    }],
    'lines-light': [{}, async (page) => {
        await lockByKeys(page, 7, 1);
        await tab(page, 'Lines');
    }],
};

const server = await Server.start(), browser = await launch();
let failed = false;
try {
    for (const [name, [more, act]] of Object.entries(STATES)) {
        const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...more });
        const faults = await watch(context, new URL(server.url).origin), page = await context.newPage();
        await page.goto(server.url);
        await page.locator('#title bdi').waitFor();
        await act(page);
        await page.mouse.move(0, 0);
        await page.evaluate(() => scrollTo(0, 0));
        await settle(page);
        const path = join(folder, `explorer-${name}.png`);
        await page.screenshot({ path });
        const { size } = await stat(path);
        console.log(`${path}: ${(size / 1000).toFixed(0)} kB${size > MOST ? ', which is too large' : ''}`);
        failed ||= size > MOST || faults.length > 0;
        faults.forEach((fault) => console.log(`  ${fault}`));
        await context.close();
    }
} finally {
    await browser.close();
    await server.stop();
}
process.exit(failed ? 1 : 0);
