/* service.js: all requests that the page makes. Tensors go and come as safetensors, so that every float32 is exact. */

import { fromAnswer } from './result.js';
import { isTensor, readSafetensors, safetensorsParts, writeSafetensors } from './tensors.js';

const WHOLE_MOST = 2048 * 2048 * 8; /* cells of weights that are fetched; of more there is an overview, */
const OVERVIEW_MOST = 1 << 22; /* which has so many cells, */
const OVERVIEW_SIDE = 512; /* and so many in a row */
const SCORES_MOST = 1 << 20;
const TYPE = 'application/vnd.safetensors';

/** What the service has against a request: `error` is a sentence; `code`, `path`, `offset` and `status` are its own. */
export class Problem extends Error {
    constructor(fields) {
        super(fields.error);
        Object.assign(this, fields);
    }
}

let key = ''; /* of the service; it is kept nowhere else */
const followers = new Set();

export function useKey(text) {
    key = text;
}

/** Calls back with {timing, total, bytes} after each request that computes, or with {problem}. */
export function follow(listener) {
    followers.add(listener);
}

const away = () => new Problem({ error: 'The service does not answer.', code: 'away', status: 0 });

async function problemOf(answer) {
    const fields = await answer.json().catch(() => null);
    if (!fields?.error)
        return answer.status === 502 ? away() : new Problem({ error: `The service answered with status ${answer.status}.`,
            code: 'unknown', status: answer.status });
    const wait = Number(answer.headers.get('Retry-After'));
    return new Problem({ ...fields, status: answer.status, ...wait > 0 ? { retryAfter: wait } : {} });
}

async function ask(path, options = {}) {
    const headers = { ...options.headers, ...key ? { Authorization: `Bearer ${key}` } : {} };
    const answer = await fetch(path, { ...options, headers }).catch((error) => {
        throw error.name === 'AbortError' ? error : away();
    });
    if (!answer.ok)
        throw await problemOf(answer);
    return answer;
}

/** Server-Timing as {parse, queue, compute, encode: milliseconds, kernels: text}. */
export function readTiming(header) {
    const timing = { parse: 0, queue: 0, compute: 0, encode: 0, kernels: '' };
    for (const [, name, rest] of (header ?? '').matchAll(/([a-z]+)((?:;\s*[a-z]+=(?:"[^"]*"|[^;,]*))*)/g)) {
        if (name in timing)
            timing[name] = Number(/dur=([\d.]+)/.exec(rest)?.[1] ?? 0);
        if (name === 'compute')
            timing.kernels = /desc="?([^";]*)/.exec(rest)?.[1] ?? '';
    }
    return timing;
}

const blobs = new WeakMap(), LARGE = 1 << 20; /* bytes */

/* What is large and sent again and again, as the keys of a window are, goes to the browser's own process only once. */
function blobOf(data) {
    if (!blobs.has(data))
        blobs.set(data, new Blob([data]));
    return blobs.get(data);
}

/* Tensors are tensors, the model is its name, all else is its JSON text. */
function encode(request) {
    const tensors = {}, metadata = {};
    for (const [name, value] of Object.entries(request))
        if (isTensor(value))
            tensors[name] = value;
        else if (value !== null && value !== undefined)
            metadata[name] = ['model', 'id'].includes(name) ? value : JSON.stringify(value);
    const parts = safetensorsParts(tensors, metadata);
    return parts.some((part) => part.byteLength > LARGE) ? new Blob(parts.map(blobOf)) : writeSafetensors(tensors, metadata);
}

/* Names with dots become objects: stats.max. */
function decode(bytes) {
    const { tensors, metadata } = readSafetensors(bytes), out = { metadata };
    for (const [name, tensor] of Object.entries(tensors)) {
        const [whole, part] = name.split('.');
        if (part)
            (out[whole] ??= {})[part] = tensor;
        else
            out[name] = tensor;
    }
    return out;
}

/**
 * POST /attend. The answer's tensors by name (`stats` holds its own), with `metadata` and `timing`.
 * @param {object} request tensors as {shape, dtype, data}
 */
export async function post(request, { signal } = {}) {
    const began = performance.now(), tell = (more) => followers.forEach((f) => f({ total: performance.now() - began, ...more }));
    try {
        const answer = await ask('/attend', { method: 'POST', body: encode(request), signal,
            headers: { 'Content-Type': TYPE, Accept: TYPE } });
        const timing = readTiming(answer.headers.get('Server-Timing')), bytes = await answer.arrayBuffer();
        tell({ timing, bytes: bytes.byteLength });
        return { ...decode(bytes), timing };
    } catch (problem) {
        tell({ timing: null, problem });
        throw problem;
    }
}

function wantsOf(request, description) {
    const query = request.query.shape, L = query.at(-2), S = (request.key ?? request.query).shape.at(-2);
    const B = query.length === 3 ? query[0] : 1, H = description?.num_heads ?? 8, keys = S + 2, cells = B * H * L * keys;
    const small = ['lse', 'entropy', 'stats', 'q', 'k', 'v', 'head_output'];
    if (B * H * L * S <= WHOLE_MOST)
        return { return: cells <= SCORES_MOST ? [...small, 'scores'] : small };
    const side = Math.max(1, Math.min(OVERVIEW_SIDE, Math.floor(Math.sqrt(OVERVIEW_MOST / (B * H)))));
    return { return: small.slice(0, 3), view: { size: [Math.min(side, L), Math.min(side, S)], pool: 'max' } };
}

/**
 * Runs a request, whose labels only stay here unless it is to be kept.
 * @returns {Promise<import('./result.js').Result>}
 */
export async function attend(request, { signal, title = '' } = {}) {
    const { query_labels: queryLabels, key_labels: keyLabels, keep, ...plain } = request;
    const description = await model(plain.model), wants = wantsOf(plain, description);
    const labels = keep ? { keep, query_labels: queryLabels, key_labels: keyLabels } : {};
    const answer = await post({ ...plain, ...labels, ...wants, need_weights: true }, { signal });
    const { metadata, timing } = answer, { size } = wants.view ?? {};
    const seed = metadata.seed ?? null, resultUrl = metadata.result_url ?? null;
    const pooled = size ? { rows: [0, plain.query.shape.at(-2)], cols: [0, answer.stats.received.shape.at(-1)],
        size: answer.attn_weights.shape.slice(-2), pool: 'max' } : null;
    return fromAnswer({ request: plain, description, answer, title, queryLabels, keyLabels, pooled, timing, seed, resultUrl,
        warnings: JSON.parse(metadata.warnings ?? '[]') });
}

/** Exact or pooled weights of a part of a result, [batch, heads, rows, cols]: the same request with that view. */
export async function fetchWindow(result, { batch, heads, rows, cols, size }) {
    const { request, seed, batched } = result, view = { ...batched ? { batch } : {}, heads, rows, cols, ...size ? { size, pool: 'max' } : {} };
    return (await post({ ...request, ...seed === null ? {} : { seed: Number(seed) }, need_weights: true, view })).attn_weights;
}

const known = new Map(); /* models by name */

/** The entry of GET /models/{name}; of the default model without a name. */
export async function model(name) {
    const wanted = name ?? (await models()).default;
    if (!known.has(wanted))
        known.set(wanted, ask(`/models/${encodeURIComponent(wanted)}`).then((answer) => answer.json()).catch((problem) => {
            known.delete(wanted);
            throw problem;
        }));
    return known.get(wanted);
}

/** GET /models: {default, models}. */
export async function models() {
    return (await ask('/models')).json();
}

/** Forgets what is known of models: a restarted service may have others. */
export function forget() {
    known.clear();
}

/** Does it answer? */
export async function healthy() {
    return ask('/healthz').then(() => true, () => false);
}

/** A kept result's JSON. */
export async function kept(id) {
    return (await ask(`/results/${encodeURIComponent(id)}.json`)).json();
}
