/* link.js: what is looked at, and the input if it is small, as the fragment of the address, which never leaves the
 * browser with a request. Only what is listed here is ever written: no key, and no name of a kept result. What is read
 * may be anybody's, so it is checked piece by piece, and what does not fit is left out. */

import { bytesOf, fromBase64, toBase64 } from './base64.js';

const INPUT_MOST = 24000, INFLATED_MOST = 4 << 20, LIST_MOST = 64; /* characters, bytes, members */

/** What of a request says what is computed, and the labels. */
export const FIELDS = { query: 'tensor', key: 'tensor', value: 'tensor', attn_mask: 'tensor', key_padding_mask: 'tensor',
    model: 'string', query_labels: 'strings', key_labels: 'strings', is_causal: 'boolean', query_offset: 'number',
    key_offset: 'number', omit_extra: 'boolean', training: 'boolean', seed: 'number' };
const KINDS = { float32: Float32Array, bool: Uint8Array };

/** No edits: what State.what is without "what if". */
export const NOTHING = { maskedKeys: [], maskedEdges: [], causal: null, temperature: 1 };

const whole = (text) => /^\d{1,7}$/.test(text) ? Number(text) : undefined;
const pair = (text) => {
    const two = text.split('.').map(whole);
    return two.length === 2 && !two.includes(undefined) ? two : undefined;
};
const oneOf = (...names) => [(value) => String(value), (text) => names.find((name) => String(name) === text)];
const listOf = (write, read) => [(list) => list.slice(0, LIST_MOST).map(write).join('_'),
    (text) => text.split('_').slice(0, LIST_MOST).map(read).filter((one) => one !== undefined)];

/* How each part of the state is written and read. */
const VIEW = {
    tab: oneOf('matrix', 'heads', 'lines', 'text', 'row', 'table', 'steps'),
    batch: [String, whole],
    head: [String, (text) => ['mean', 'max'].includes(text) ? text : whole(text)],
    direction: oneOf('query', 'key'),
    cells: listOf(({ i, j }) => `${i}.${j}`, (text) => pair(text) && { i: pair(text)[0], j: pair(text)[1] }),
    palette: oneOf('cividis', 'viridis', 'grey'),
    scale: oneOf('linear', 'sqrt', 'log'),
    scope: oneOf('fixed', 'all', 'head', 'row'),
    dropped: listOf(String, whole),
    window: [({ row, col, zoom }) => [row, col, zoom].map((n) => Number(n.toPrecision(6))).join('_'), (text) => {
        const [row, col, zoom] = text.split('_').map(Number);
        return [row, col].every((n) => Math.abs(n) < 1e7) && zoom > 1e-4 && zoom < 1e4 ? { row, col, zoom } : undefined;
    }],
};
const WHAT = { maskedKeys: listOf(String, whole), maskedEdges: listOf(([i, j]) => `${i}.${j}`, pair),
    causal: oneOf(true, false), temperature: [String, (text) => text >= 0.05 && text <= 20 ? Number(text)
        : undefined] };

/** The parts of the state that a link has. */
export const VIEWED = Object.keys(VIEW);

function write(rules, values, defaults, parameters) {
    for (const [name, [text]] of Object.entries(rules)) {
        const value = values?.[name];
        if (value !== undefined && value !== null && JSON.stringify(value) !== JSON.stringify(defaults[name]))
            parameters.set(name, text(value));
    }
}

const read = (rules, parameters) => Object.fromEntries(Object.entries(rules)
    .map(([name, [, value]]) => [name, parameters.has(name) ? value(parameters.get(name)) : undefined])
    .filter(([, value]) => value !== undefined));

/**
 * The fragment, without #. What is as in `defaults` is not written.
 * @param {object} state
 * @param {string|null} input packed, from packInput()
 */
export function writeLink(state, defaults, input = null) {
    const parameters = new URLSearchParams();
    write(VIEW, state, defaults, parameters);
    write(WHAT, state.what, NOTHING, parameters);
    if (input)
        parameters.set('input', input);
    return parameters.toString();
}

/** @returns {{view: object, what: object, input: string|null}} `view`: a patch for the state */
export function readLink(fragment) {
    const parameters = new URLSearchParams(fragment.replace(/^#/, '')), input = parameters.get('input') ?? '';
    return { view: read(VIEW, parameters), what: { ...NOTHING, ...read(WHAT, parameters) },
        input: /^[\w-]+$/.test(input) && input.length <= INPUT_MOST ? input : null };
}

/** Bytes through a stream that packs or unpacks them; an error if more than `most` come out. */
export async function through(bytes, transform, most) {
    const parts = [], reader = new Blob([bytes]).stream().pipeThrough(transform).getReader();
    let size = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
        if ((size += part.value.length) > most)
            throw new Error('too large');
        parts.push(part.value);
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** A request as a short text for an address; null if it is too large for one. */
export async function packInput(request) {
    const plain = {};
    let size = 0;
    for (const [name, kind] of Object.entries(FIELDS)) {
        const value = request[name] ?? undefined;
        if (kind === 'tensor' && value && (size += value.data.byteLength) > INFLATED_MOST / 2)
            return null;
        plain[name] = kind === 'tensor' && value ? [value.dtype, value.shape, toBase64(bytesOf(value))] : value;
    }
    const bytes = new TextEncoder().encode(JSON.stringify(plain));
    const packed = toBase64(await through(bytes, new CompressionStream('deflate-raw'), INFLATED_MOST))
        .replace(/=+$/, '').replaceAll('+', '-').replaceAll('/', '_');
    return packed.length <= INPUT_MOST ? packed : null;
}

function readField(kind, value) {
    if (kind === 'tensor') {
        const [dtype, shape, text] = value, Kind = Object.hasOwn(KINDS, dtype) && KINDS[dtype],
            bytes = fromBase64(text);
        const size = shape.reduce((a, b) => a * b, Kind.BYTES_PER_ELEMENT);
        if (shape.every((n) => whole(String(n)) === n) && size === bytes.length)
            return { shape, dtype, data: new Kind(bytes.buffer) };
    } else if (kind === 'strings' ? value.every((text) => typeof text === 'string') : typeof value === kind) {
        return value;
    }
    throw new Error(`not a ${kind}`);
}

/** The request that packInput() packed. Throws an Error whose message is a sentence. */
export async function unpackInput(packed) {
    try {
        const bytes = fromBase64(packed.replaceAll('-', '+').replaceAll('_', '/'));
        const plain = JSON.parse(new TextDecoder().decode(await through(bytes, new DecompressionStream('deflate-raw'),
            INFLATED_MOST)));
        return Object.fromEntries(Object.entries(FIELDS).filter(([name]) => Object.hasOwn(plain, name))
            .map(([name, kind]) => [name, readField(kind, plain[name])]));
    } catch {
        throw new Error('The input in the address is damaged or too large.');
    }
}
