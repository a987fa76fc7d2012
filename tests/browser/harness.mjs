/* harness.mjs: tests in a real browser, each in a page of its own. A test fails if the page writes an error or a
 * warning on the console, throws, asks another origin for anything, fails to load something, or breaks its
 * Content-Security-Policy. */

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { BUILD, Server } from './server.mjs';

/* The packages lie in the build directory, so that nothing is written beside the sources. */
const require = createRequire(resolve(BUILD, 'browser/package.json'));
export const AXE = require.resolve('axe-core/axe.min.js');
const { chromium } = require('playwright-core');

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'];

/** Chromium with a new folder for its own data. */
export const launch = (more = []) => chromium.launch({ args: [...FLAGS, ...more],
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium' });

/** What a page must not do, as a list of sentences that grows. */
export async function watch(context, origin) {
    const faults = [];
    await context.addInitScript(() => addEventListener('securitypolicyviolation', (event) =>
        console.error(`policy: ${event.violatedDirective} forbids ${event.blockedURI}`)));
    await context.addInitScript(() => { /* Playwright cannot read a Blob that is sent: so its bytes are sent */
        const { fetch } = window;
        window.fetch = async (path, options) => fetch(path, options?.body instanceof Blob
            ? { ...options, body: await options.body.arrayBuffer() } : options);
    });
    context.on('console', (message) => ['error', 'warning', 'assert'].includes(message.type())
        && faults.push(`console ${message.type()}: ${message.text()}`));
    context.on('weberror', (error) => faults.push(`exception: ${error.error().stack}`));
    context.on('request', (request) => /^(data|blob):/.test(request.url())
        || new URL(request.url()).origin === origin || faults.push(`another origin: ${request.url()}`));
    context.on('requestfailed', (request) => faults.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
    return faults;
}

let browser, server;

/** Starts the server and the browser for the tests of a file. With ATTEND_URL a server that runs already is used. */
export function setUp(flags = []) {
    before(async () => {
        server = process.env.ATTEND_URL && flags.length === 0 ? { url: process.env.ATTEND_URL, stop() {} }
            : await Server.start(flags);
        browser = await launch();
    });
    after(async () => {
        await browser?.close();
        await server?.stop();
    });
}

export const theServer = () => server;
export const origin = () => new URL(server.url).origin;

/** Another server in the place of the first. */
export function replaceServer(next) {
    server = next;
}

/**
 * A test with a page. `run(page, more)`: `more` has context, faults, browser.
 * @param {{path?: string|null, allow?: RegExp[], context?: object}} options path: where the page is opened, null:
 *        nowhere; allow: faults that belong to the test; context: of Playwright, such as {colorScheme: 'dark'}
 */
export function pageTest(name, options, run) {
    test(name, { timeout: 120000 }, async () => {
        const { path = '/', allow = [], context: more = {} } = options;
        const context = await browser.newContext({ viewport: { width: 1280, height: 1000 }, acceptDownloads: true,
            ...more });
        const faults = await watch(context, origin());
        await context.grantPermissions(['clipboard-read', 'clipboard-write']);
        try {
            const page = await context.newPage();
            page.setDefaultTimeout(15000);
            if (path !== null)
                await open(page, path);
            await run(page, { context, faults, browser });
            const left = faults.filter((fault) => !allow.some((pattern) => pattern.test(fault)));
            assert.deepEqual(left, [], 'what the page must not do');
        } finally {
            await context.close();
        }
    });
}

/** Opens the explorer and waits until it shows a result. */
export async function open(page, path = '/') {
    await page.goto(server.url.replace(/\/$/, '') + path);
    await page.locator('#title bdi').waitFor();
}
