/* run.js: what is shown next: the answer to a request, weights from a file, or what the service kept. One at a time. */

import { plainRequest } from './compose.js';
import { fromAnswer, fromWeights, latest } from './result.js';
import { attend, model } from './service.js';
import { arrayOf, readWire } from './tensors.js';

let running = null, last = null;

function show(store, result, view = {}) {
    store.set({ result, runs: latest([result, ...store.get().runs]), model: result.model ?? store.get().model, compare: null,
        batch: 0, hover: null, cells: [], dropped: [], window: { row: 0, col: 0, zoom: 0 }, busy: false, problem: null, ...view });
}

function fail(store, error) {
    if (error.name !== 'AbortError')
        store.set({ problem: error.error ? error : { error: error.message, code: 'page', status: null } });
}

/**
 * Runs a request and shows the result. A run that is under way is given up.
 * @param {{request: object, title: string, view?: object}} job `view`: what of the state goes with it
 * @returns {Promise<object|null>} the result
 */
export async function run(store, job) {
    running?.abort();
    const mine = running = new AbortController();
    last = job;
    store.set({ busy: true });
    try {
        const result = await attend(job.request, { signal: mine.signal, title: job.title });
        if (mine === running)
            show(store, result, job.view);
        return result;
    } catch (error) {
        if (mine === running)
            fail(store, error);
        return null;
    } finally {
        if (mine === running)
            store.set({ busy: false });
    }
}

/** The last run once more. */
export const again = (store) => last && run(store, last);

export const cancel = () => running?.abort();

/** Shows weights without a run. Throws an Error with a sentence. */
export function showWeights(store, from, view = {}) {
    show(store, fromWeights(from), view);
}

/* A result's JSON with tensors instead of their text. */
function revive(value) {
    if (!value || typeof value !== 'object' || Array.isArray(value) || ArrayBuffer.isView(value.data))
        return value;
    return typeof value.data === 'string' && value.shape ? readWire(value)
        : Object.fromEntries(Object.entries(value).map(([name, part]) => [name, revive(part)]));
}

/* The largest weights of each row and where they were, as a map with zeros elsewhere. */
function spread({ values, indices }, keys) {
    const k = values.shape.at(-1), S = indices.data.reduce((most, j) => Math.max(most, j + 1), keys), shape = [...values.shape.slice(0, -1), S], data = arrayOf('float32', values.data.length / k * S);
    values.data.forEach((weight, n) => {
        if (indices.data[n] >= 0)
            data[Math.floor(n / k) * S + indices.data[n]] = weight;
    });
    return { shape, dtype: 'float32', data };
}

/* The part of the map that was kept, as weights alone. */
function partOf(kept, view, request) {
    const S = (request.key ?? request.query).shape.at(-2), topK = kept.attn_weights.values;
    const [from, to] = view.rows ?? [0], [left, right] = view.cols ?? [0];
    const weights = topK ? spread(kept.attn_weights, S) : kept.attn_weights, pooled = Boolean(view.size);
    const cut = (labels, a, b) => pooled ? null : labels?.slice(a, b);
    const shape = weights.shape.length === 3 && request.average_attn_weights && request.query.shape.length === 3 && !kept.request.view
        ? [weights.shape[0], 1, ...weights.shape.slice(1)] : weights.shape;
    return fromWeights({ weights: { ...weights, shape }, source: 'kept', title: kept.title, model: kept.model,
        queryLabels: cut(kept.query_labels, from, to), keyLabels: topK ? kept.key_labels : cut(kept.key_labels, left, right),
        warnings: [topK ? `only the largest ${kept.attn_weights.values.shape.at(-1)} weights of each row were kept`
            : pooled ? 'the map was kept pooled' : request.average_attn_weights ? 'the mean of all heads was kept'
                : 'only this part of the map was kept'] });
}

/** A result from the JSON of a kept one; `description` of its model, or null if the model is gone. */
export function fromKept(json, description) {
    const kept = { title: 'A kept result', ...revive(json) }, { view, average_attn_weights: mean } = kept.request;
    const { query_labels: _, key_labels: __, ...request } = plainRequest(kept.request);
    if (!kept.attn_weights)
        throw new Error('This result was kept without weights: there is nothing to draw.');
    if (kept.query_labels)
        kept.title = kept.query_labels.join(' ').slice(0, 60);
    if (view || mean)
        return partOf(kept, view ?? {}, { ...request, average_attn_weights: mean });
    return fromAnswer({ request, description, source: 'kept', title: kept.title, queryLabels: kept.query_labels, keyLabels: kept.key_labels,
        answer: { ...kept.answer, attn_weights: kept.attn_weights }, warnings: kept.answer.warnings ?? [],
        seed: kept.answer.seed === undefined ? null : String(kept.answer.seed) });
}

/** Shows a kept result, from its JSON. */
export async function showKept(store, json) {
    const description = await model(json.model).catch(() => null);
    show(store, fromKept(json, description));
}
