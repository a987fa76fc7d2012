/* export.js: what is seen, as files; the request, as commands; the view, as a link. */

import { curlCommand, pythonProgram } from './commands.js';
import { button, make } from './labels.js';
import { shortest } from './number.js';
import { makePage } from './page_export.js';
import { drawingOf } from './picture.js';
import { address, viewFragment } from './share.js';
import { shown } from './shown.js';
import { paintDrawing, toSvg } from './svg.js';
import { product, writeSafetensors } from './tensors.js';

const CLIPBOARD_MOST = 1 << 20; /* characters; more becomes a file */
const RESULTS = ['output', 'scores', 'lse', 'entropy', 'q', 'k', 'v', 'head_output'];

function save(content, name) {
    const link = make('a', { href: URL.createObjectURL(new Blob([content])), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    return `Saved ${name}.`;
}

async function copy(text, name) {
    try {
        if (text.length <= CLIPBOARD_MOST) {
            await navigator.clipboard.writeText(text);
            return 'Copied.';
        }
    } catch { /* not allowed: a file does as well */ }
    return save(text, name);
}

/** A field of CSV. A spreadsheet would compute what begins like a formula: an apostrophe keeps it text. */
export function csvField(text) {
    const plain = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

/** A map: keys across, queries down; masked cells are empty. */
export function csvOf(map, queries, keys) {
    if (!map.exact)
        throw new Error('The whole map is not in the page. Take it from the service: copy as curl.');
    const cells = (i) => Array.from(map.row(i),
        (weight, j) => weight === 0 && map.reason(i, j) !== 0 ? '' : shortest(weight));
    return [['query \\ key', ...keys].map(csvField), ...queries.map((query, i) => [csvField(query), ...cells(i)])]
        .map((line) => line.join(',')).join('\r\n') + '\r\n';
}

const there = (pairs) => Object.fromEntries(pairs.filter(([, value]) => value !== null && value !== undefined));

const tensorsOf = (result) => there([['attn_weights', result.weights], ...RESULTS.map((name) => [name, result[name]]),
    ...Object.entries(result.stats ?? {}).map(([name, tensor]) => [`stats.${name}`, tensor])]);

/* What is said of a result besides its tensors. */
const factsOf = ({ model, title, made, seed, pooled, queryLabels, keyLabels }) => there(Object.entries({ model, title,
    made_in_the_page: made, seed: seed && Number(seed), view: pooled, query_labels: queryLabels,
        key_labels: keyLabels }));

function nested(tensor, depth = 0, at = 0) {
    const { shape, data } = tensor, each = product(shape.slice(depth + 1));
    const number = (n) => Number.isFinite(data[n]) ? shortest(data[n]) : 'null';
    return `[${Array.from({ length: shape[depth] }, (_, n) => depth + 1 < shape.length
        ? nested(tensor, depth + 1, at + n * each) : number(at + n)).join(',')}]`;
}

/** A result as JSON, its numbers as the service writes them. */
export function jsonOf(result) {
    const facts = Object.entries(factsOf(result)).map(([name, value]) => `"${name}":${JSON.stringify(value)}`);
    const tensors = Object.entries(tensorsOf(result)).map(([name, tensor]) => `"${name}":${nested(tensor)}`);
    return `{${[...facts, ...tensors].join(',\n')}}\n`;
}

const safetensorsOf = (result) => writeSafetensors(tensorsOf(result), Object.fromEntries(Object.entries(factsOf(result))
    .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)])));

async function command({ result }, write, name) {
    const { request, seed, model } = result.base ?? result;
    if (!request)
        throw new Error('These weights came from a file: there is no request to repeat.');
    return await copy(write(location.origin, model, { ...request, seed: seed && Number(seed) }), name)
        + (result.made ? ' It gives the weights at temperature 1.' : '');
}

async function copyLink(state) {
    const { link, whole } = await address(state);
    return await copy(link, 'link.txt') + (whole ? '' : ' The input is too large for a link: it has the view only.');
}

async function png(state, size) {
    const canvas = paintDrawing(drawingOf(state, size), size);
    return save(await new Promise((done) => canvas.toBlob(done, 'image/png')), 'attention.png');
}

const svg = (state) => save(toSvg(drawingOf(state, 2), (canvas) => canvas.toDataURL()), 'attention.svg');

const csv = (state) => save(csvOf(shown(state), state.result.queryLabels, state.result.keyLabels), 'attention.csv');

const page = async (state) => save(await makePage(state, viewFragment(state)), 'attention.html');

/* Name, hint, what it does; those after the fifth need the service. */
const ACTIONS = [['PNG', 'What is seen, as a picture', png], ['SVG', 'What is seen; text stays text', svg],
    ['CSV', 'The shown map', csv],
    ['JSON', 'All numbers of this run', ({ result }) => save(jsonOf(result), 'attention.json')],
    ['safetensors', 'All numbers of this run', ({ result }) => save(safetensorsOf(result), 'attention.safetensors')],
    ['Page', 'This page and run as a file that needs no service', page],
    ['Copy as curl', 'A command that gives the same bits', (state) => command(state, curlCommand, 'attend.sh')],
    ['Copy as Python', 'A program that gives the same bits', (state) => command(state, pythonProgram, 'attend.py')],
    ['Copy link', 'This view; and the input, if it is small', copyLink]];

export function mount(element, store, service) {
    const live = make('p', { role: 'status' }), size = make('select', { 'aria-label': 'Size of the PNG' },
        ...[1, 2, 3, 4].map((n) => make('option', { value: n, selected: n === 2 }, `${n}×`)));
    const buttons = ACTIONS.slice(0, service ? 9 : 5).map(([name, title, act]) => button(name, async () => {
        const state = store.get();
        try {
            live.textContent = shown(state) ? await act(state, Number(size.value)) : 'There is nothing to save yet.';
        } catch (problem) {
            live.textContent = problem.message;
        }
    }, { title }));
    element.append(make('h2', {}, 'Save and share'), make('p', { class: 'row' }, size, ...buttons), live);
}
