/* page_export.js: this page and what it shows as one file, which works from a disk and asks nobody for anything. */

import { bytesOf, fromBase64, toBase64 } from './base64.js';
import { readLink } from './link.js';
import { Result } from './result.js';
import { escapeXml } from './svg.js';

const POLICY = "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data: blob:; "
    + "base-uri 'none'; form-action 'none'";
const IMPORT = /(\b(?:from|import)\s*\(?\s*)(["'])\.\/([\w.-]+\.js)\2/g;
const KINDS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

/**
 * All modules that `entry` needs, by name; they import each other by bare names, as a data: address can.
 * @param {(name: string) => Promise<string>} read
 */
export async function bundle(entry, read, all = {}) {
    all[entry] = ''; /* on its way */
    const source = await read(entry);
    for (const [, , , name] of source.matchAll(IMPORT))
        if (!Object.hasOwn(all, name))
            await bundle(name, read, all);
    all[entry] = source.replace(IMPORT, '$1$2$3$2');
    return all;
}

/** Anything made of plain values and tensors as JSON that can stand in a script element; thaw() reads it. */
export const freeze = (value) => JSON.stringify(value, (_, part) => ArrayBuffer.isView(part?.data)
    ? { shape: part.shape, dtype: part.dtype, frozen: toBase64(bytesOf(part)) } : part).replaceAll('<', '\\u003c');

export const thaw = (text) => JSON.parse(text, (_, part) => typeof part?.frozen === 'string'
    ? { shape: part.shape, dtype: part.dtype, data: new KINDS[part.dtype](fromBase64(part.frozen).buffer) } : part);

/** The file. `body` is HTML, `data` from freeze(). */
export function pageText({ modules, css, body, title, data }) {
    const imports = Object.fromEntries(Object.entries(modules).map(([name, source]) =>
        [name, `data:text/javascript;base64,${toBase64(new TextEncoder().encode(source))}`]));
    return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>${escapeXml(title)}</title>
<style>${css.replaceAll('</', '<\\/')}</style>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="application/json" id="embedded">${data}</script></head>
${body}
<script type="module">import 'main.js';</script></html>
`;
}

async function textOf(path) {
    const answer = await fetch(path);
    if (!answer.ok)
        throw new Error(`${path} could not be read.`);
    return answer.text();
}

/** The page as it is now. What belongs to this session alone stays out: a kept result's address, other runs. */
export async function makePage({ result, compare }, fragment) {
    const source = new DOMParser().parseFromString(await textOf('/'), 'text/html');
    const sheets = [...source.querySelectorAll('link[rel=stylesheet]')]
        .map((link) => textOf(link.getAttribute('href')));
    const plain = (one) => one && { ...one, base: plain(one.base), plain: null, resultUrl: null };
    source.querySelectorAll('script').forEach((script) => script.remove());
    return pageText({ modules: await bundle('main.js', (name) => textOf(`/assets/${name}`)),
        css: (await Promise.all(sheets)).join('\n'), body: source.body.outerHTML, title: result.title,
        data: freeze({ fragment, result: plain(result), compare: plain(compare) }) });
}

/** What a page of makePage() holds, as a patch for the state; null in the service's own page. */
export function embedded() {
    const element = document.getElementById('embedded');
    if (!element)
        return null;
    const { fragment, ...both } = thaw(element.textContent);
    const revive = (plain) => plain && new Result({ ...plain, base: revive(plain.base) });
    const [result, compare] = [both.result, both.compare].map(revive);
    return { ...readLink(fragment).view, result, compare, runs: [result, compare].filter(Boolean) };
}
