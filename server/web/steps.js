/* steps.js: the tab that shows every step for the chosen cell. What the page does not have yet, it asks for. */

import { cellSteps, nine } from './cell_steps.js';
import { bdi, button, make, shownLabels, wide } from './labels.js';
import { shortest } from './number.js';
import { whileSeen } from './screen.js';

const NEEDED = ['q', 'k', 'v', 'lse', 'head_output'];
const ROWS_MOST = 16; /* of scores, around the chosen one */
const WIDE = 32; /* numbers in a table at a time */

const wholes = new WeakMap(); /* for each result, what is the same for all its cells */

const isHere = (result) => result.scores && !result.pooled && NEEDED.every((name) => result[name]);

/* The request once more, for what the page does not hold: some rows of one head, and what is the same for all cells. */
async function fetchRows(service, result, { b, h }, rows) {
    const { request, model, seed, batched } = result, known = wholes.get(result);
    const view = { ...batched ? { batch: [b] } : {}, heads: [h], rows };
    const answer = await service.post({ ...request, model, seed: seed && Number(seed), need_weights: true,
        return: ['scores', ...known ? [] : NEEDED], view });
    wholes.set(result, known ?? answer);
    return answer;
}

/* Rows of scores and weights of one head: the chosen one and some around it. */
async function rowsOf(service, result, cell) {
    const { H, L, keys } = result, from = Math.max(0, Math.min(cell.i - ROWS_MOST / 2, L - ROWS_MOST));
    const to = Math.min(L, from + ROWS_MOST), here = isHere(result);
    const { scores, attn_weights: weights } = here ? { scores: result.scores, attn_weights: result.weights }
        : await fetchRows(service, result, cell, [from, to]);
    const first = here ? (cell.b * H + cell.h) * L + from : 0, rows = new Map();
    for (let n = 0; n < to - from; n++) {
        const cut = ({ data }) => data.subarray((first + n) * keys, (first + n + 1) * keys);
        rows.set(from + n, { scores: cut(scores), weights: cut(weights) });
    }
    return rows;
}

/* What the output projection makes of each head of this query alone, of nothing, and of this cell's part of one. */
async function projectedOf(service, { model, H, Hkv, L, D, keys }, { v, head_output }, weight, { b, h, i, j }) {
    const data = new Float32Array((H + 2) * H * D), value = ((b * Hkv + Math.floor(h / (H / Hkv))) * keys + j) * D;
    for (let n = 0; n < H; n++)
        data.set(head_output.data.subarray(((b * H + n) * L + i) * D, ((b * H + n) * L + i + 1) * D), (n * H + n) * D);
    data.set(v.data.subarray(value, value + D).map((x) => x * weight), ((H + 1) * H + h) * D);
    const { output } = await service.post({ model, head_output: { shape: [H + 2, H, 1, D], dtype: 'float32', data } });
    return output.data;
}

async function complete(service, result, cell) {
    const rows = await rowsOf(service, result, cell), whole = isHere(result) ? result : wholes.get(result);
    return { ...cell, result, whole, rows, projected: service
        && await projectedOf(service, result, whole, rows.get(cell.i).weights[cell.j], cell) };
}

/* Why there are no steps for this result, or ''. */
function against(result, service) {
    return !result || result.L === 0 || result.keys === 0 ? 'There is no cell to explain.'
        : !result.request || !result.description ? 'Only the weights are known here, not the steps before them.'
            : !service && !isHere(result) ? 'This file does not hold the numbers of the steps.' : '';
}

/* The cell that the steps are for: the one locked last, or the first. */
function cellOf({ head, batch, cells }, { B, H, L, keys }) {
    const { i, j } = cells.at(-1) ?? { i: 0, j: 0 };
    const h = typeof head === 'number' ? head : 0;
    return { b: Math.min(batch, B - 1), h: Math.min(h, H - 1), i: Math.min(i, L - 1), j: Math.min(j, keys - 1) };
}

function fillTable(place, step, from) {
    const count = step.table[0][1].length, to = Math.min(count, from + WIDE);
    const columns = Array.from({ length: to - from }, (_, n) => from + n);
    const row = (name, kind, text) => make('tr', {}, make('th', { scope: 'row' }, name),
        ...columns.map((n) => make(kind, {}, text(n))));
    const numbers = (list) => (n) => list instanceof Float32Array ? shortest(list[n]) : nine(list[n]);
    const turn = (text, at) => button(text, () => fillTable(place, step, at), { disabled: at < 0 || at >= count });
    place.replaceChildren(wide(`Numbers: ${step.title}`,
        make('table', {}, row('number', 'th', String), ...step.table.map(([name, list]) => row(name, 'td',
            numbers(list))))));
    if (count > WIDE)
        place.append(make('p', {}, turn('Before', from - WIDE), ` ${from} to ${to - 1} of ${count} `,
            turn('Next', from + WIDE)));
}

function verdict({ equal, difference }, of) {
    const by = difference > 0 ? `, up to ${difference.toExponential(1)} of the largest` : '';
    return make('p', { class: equal ? 'equal' : 'unequal' }, `${equal ? '✓ equal' : '✗ not equal'}: ${of}${by}`);
}

function section(step) {
    const place = make('div'), { title, lines, unknown, check, of } = step;
    if (step.table)
        fillTable(place, step, 0);
    return make('li', {}, make('h3', {}, title), ...lines.map((line) => make('p', {}, line)), place,
        unknown ? make('p', { class: 'unknown' }, unknown) : '', check ? verdict(check, of) : '');
}

function content(steps) {
    const checked = steps.filter(({ check }) => check), wrong = checked.filter(({ check }) => !check.equal);
    const text = wrong.length > 0 ? `✗ Not what the service returned: ${wrong.map(({ title }) => title).join(', ')}.`
        : `✓ ${checked.length} steps, computed again in this page in double precision, agree with the service within `
        + '10⁻⁵ of the largest number.';
    return [make('p', { class: wrong.length > 0 ? 'unequal' : 'equal' }, text), make('ol', {}, ...steps.map(section))];
}

function heading({ result, head, cells }, { b, h, i, j }) {
    const [query, key] = [shownLabels(result.queryLabels)[i], shownLabels(result.keyLabels)[j]];
    const note = [typeof head === 'number' ? '' : `A ${head} of heads has no steps: these are of head 0.`,
        cells.length > 0 ? '' : 'Choose a cell in another tab; these steps are of the first.',
        result.made ? `The map was made in this page (${result.made}); these are the steps before.` : ''];
    return [make('h2', {}, 'Query ', bdi(query), ` (${i}), key `, bdi(key), ` (${j}), head ${h}`
        + (result.B > 1 ? `, batch entry ${b}` : '')), make('p', { class: 'note' }, note.join(' ').trim())];
}

async function explain(state, service, result, cell) {
    try {
        return [...heading(state, cell), ...content(cellSteps(await complete(service, result, cell)))];
    } catch (problem) {
        return [...heading(state, cell), make('p', { class: 'unequal' },
            `The steps could not be had: ${problem.message}`)];
    }
}

/** @param {object|null} service null in an exported page */
export function mount(element, store, service) {
    let shown = '', last = null;
    whileSeen(element, store, async (state) => {
        const result = state.result?.base ?? state.result, reason = against(result, service);
        const cell = reason ? null : cellOf(state, result);
        const key = JSON.stringify([cell, state.head, state.cells.length > 0, reason]);
        if (key === shown && last === state.result)
            return;
        [shown, last] = [key, state.result];
        const children = cell ? await explain(state, service, result, cell) : [make('p', {}, reason)];
        if (key === shown && last === state.result) /* nothing else was chosen meanwhile */
            element.replaceChildren(...children);
    });
}
