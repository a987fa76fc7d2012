/* text.js: numbers from what people type and paste: JSON, CSV, base64, and what NumPy and PyTorch print. Whoever finds
 * something wrong says where. */

import { fromBase64 } from './base64.js';
import { arrayOf, isTensor, readNpy, readSafetensors, readWire } from './tensors.js';

/** A sentence about a place in the text. */
export class PlaceError extends Error {
    constructor(message, at, path = '') {
        super(message);
        Object.assign(this, { at, path });
    }
}

/** Line and column of a place, both from 1, and its line. */
export function placeIn(text, at) {
    const before = text.slice(0, at), line = before.split('\n').length, from = before.lastIndexOf('\n') + 1;
    return { line, column: at - from + 1, from, source: text.slice(from).split('\n', 1)[0] };
}

const WORDS = /(?:true|false|null|none|[-+]?inf(?:inity)?|nan)\b/iy;
const VALUES = { true: true, false: false, null: null, none: null, nan: NaN };
const NUMBER = /[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?/iy;
const PRINTED = /(?:(?:np|numpy|torch)\.)?(?:array|tensor)\(/y;
const OPTION = /,?\s*(?:dtype|device|requires_grad|grad_fn|shape)\s*=\s*(?:'[^']*'|<[^>]*>|\([^)]*\)|[\w.]+)\s*/y;

/* Reads JSON, and lists as NumPy and PyTorch print them: without commas, with `inf` and `array(`. */
class Reader {
    constructor(text) {
        this.text = text;
        this.at = 0;
        this.places = {}; /* of fields and elements that are no numbers, by their path */
    }

    fail(message, path, at = this.at) {
        throw new PlaceError(message, at, path);
    }

    match(pattern) {
        pattern.lastIndex = this.at;
        const found = pattern.exec(this.text);
        if (found)
            this.at += found[0].length;
        return found?.[0];
    }

    sign() {
        this.match(/\s*/y);
        return this.text[this.at];
    }

    value(path) {
        const sign = this.sign();
        this.places[path] ??= this.at;
        if (sign === '[')
            return this.list(path);
        if (sign === '{')
            return this.object(path);
        if (sign === '"')
            return this.string(path);
        if (this.match(PRINTED))
            return this.printed(path);
        return this.scalar(path);
    }

    scalar(path) {
        const word = this.match(WORDS)?.toLowerCase();
        if (word !== undefined)
            return word in VALUES ? VALUES[word] : word[0] === '-' ? -Infinity : Infinity;
        const number = this.match(NUMBER);
        if (number === undefined)
            this.fail(this.at >= this.text.length ? 'The text ends too early.' : this.text.startsWith('...', this.at)
                ? 'Numbers were left out when this was printed: np.set_printoptions(threshold=np.inf) prints them all.'
                : `A number was expected, not “${this.text.slice(this.at).match(/^(?:[^\s,\]}]{1,20}|\S)/u)?.[0]}”.`, path);
        return Number(number);
    }

    string(path) {
        const from = this.at, text = this.match(/"(?:[^"\\\n]|\\.)*"/y);
        try {
            return JSON.parse(text);
        } catch {
            return this.fail('This string is not well-formed.', path, from);
        }
    }

    printed(path) {
        const list = this.value(path);
        this.sign();
        while (this.match(OPTION));
        if (this.sign() !== ')')
            this.fail('A ) was expected.', path);
        this.at++;
        return list;
    }

    object(path) {
        const out = {};
        this.at++;
        for (let first = true; this.sign() !== '}'; first = false) {
            if (!first && this.match(/,\s*/y) === undefined)
                this.fail('A comma or } was expected.', path);
            const from = this.at;
            if (this.sign() !== '"')
                this.fail('A name in double quotes was expected.', path);
            const name = this.string(path), inner = path ? `${path}.${name}` : name;
            if (Object.hasOwn(out, name))
                this.fail(`“${name}” is here for the second time.`, inner, from);
            this.places[inner] = from;
            if (this.sign() !== ':')
                this.fail('A colon was expected.', inner);
            this.at++;
            out[name] = this.value(inner);
        }
        this.at++;
        return this.wire(out, path);
    }

    /* {shape, dtype, data} is a tensor. */
    wire(object, path) {
        if (typeof object.data !== 'string' || !('shape' in object))
            return object;
        try {
            return readWire({ dtype: 'float32', ...object, shape: object.shape?.data ? [...object.shape.data] : object.shape });
        } catch (error) {
            return this.fail(`This tensor cannot be read: ${error.message}.`, path, this.places[path]);
        }
    }

    list(path) {
        const items = [], starts = [];
        this.at++;
        for (; this.sign() !== ']'; ) {
            if (items.length > 0)
                this.match(/,\s*/y);
            if (this.sign() === undefined)
                this.fail('A ] is missing.', path);
            starts.push(this.at);
            items.push(this.text[this.at] === '"' || this.text[this.at] === '[' || this.text[this.at] === '{'
                ? this.value(`${path}[${items.length}]`) : this.scalar(`${path}[${items.length}]`));
        }
        this.at++;
        return this.stack(items, starts, path);
    }

    /* A list of numbers, or of tensors of one shape, is a tensor; any other stays a list. */
    stack(items, starts, path) {
        const minus = items.map((item) => item === '-inf' || item === '-Infinity' ? -Infinity : item), [first] = minus;
        if (items.length === 0 || typeof first === 'number' || typeof first === 'boolean') {
            const odd = minus.findIndex((item) => typeof item !== typeof first);
            if (odd >= 0)
                this.fail(`A ${typeof first === 'number' ? 'number' : 'boolean'} was expected here, as before.`,
                    `${path}[${odd}]`, starts[odd]);
            const dtype = typeof first === 'boolean' ? 'bool' : 'float32', data = arrayOf(dtype, minus);
            const large = dtype === 'float32' ? minus.findIndex((x, n) => Number.isFinite(x) && !Number.isFinite(data[n])) : -1;
            if (large >= 0)
                this.fail('This number is beyond float32.', `${path}[${large}]`, starts[large]);
            return { shape: [items.length], dtype, data };
        }
        return first?.shape && first.data ? this.stackTensors(items, starts, path) : items;
    }

    stackTensors(items, starts, path) {
        const [{ shape, dtype }] = items, show = (item) => item?.shape ? `[${item.shape.join(', ')}]` : 'something else';
        const odd = items.findIndex((item) => String(item?.shape) !== String(shape) || item.dtype !== dtype);
        if (odd >= 0)
            this.fail(`Rows differ in length: this one is ${show(items[odd])}, those before it are ${show(items[0])}.`,
                `${path}[${odd}]`, starts[odd]);
        const size = items[0].data.length, data = arrayOf(dtype, size * items.length);
        items.forEach((item, n) => data.set(item.data, n * size));
        return { shape: [items.length, ...shape], dtype, data };
    }

    whole() {
        const value = this.value('');
        if (this.sign() !== undefined)
            this.fail('Nothing was expected after this.', '');
        return value;
    }
}

/* Fields of a line of CSV, with where each begins. */
function fieldsOf(line, from, separator) {
    const fields = [], pattern = separator === ' ' ? /"((?:[^"]|"")*)"|[^\s]+/g
        : new RegExp(`(?<=^|${separator})[ ]*(?:"((?:[^"]|"")*)"|([^${separator}]*))`, 'g');
    for (const found of line.matchAll(pattern)) {
        const text = (found[1]?.replaceAll('""', '"') ?? (separator === ' ' ? found[0] : found[2])).trim();
        fields.push({ text, at: from + found.index });
    }
    return fields;
}

const isNumber = (text) => /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$|^[-+]?inf(inity)?$/i.test(text);
const toNumber = (text) => /inf/i.test(text) ? (text[0] === '-' ? -Infinity : Infinity) : Number(text);

function separatorOf(line) {
    return ['\t', ';', ','].find((sign) => line.includes(sign)) ?? ' ';
}

/* Rows of numbers; a first line and a first column of names are labels. Null: this is none. */
function readCsv(text) {
    let at = 0;
    const lines = text.split('\n').map((line) => ({ line: line.replace(/\r$/, ''), from: (at += line.length + 1) - line.length - 1 }))
        .filter(({ line }) => line.trim() !== '' && !line.startsWith('#'));
    const separator = separatorOf(lines[0]?.line ?? ''), rows = lines.map(({ line, from }) => fieldsOf(line, from, separator));
    const sample = rows[1] ?? rows[0];
    const odd = sample?.filter(({ text: field }) => field !== '' && !isNumber(field)).length; /* masked cells are empty */
    if (!sample || odd > 1 || !sample.some(({ text: field }) => isNumber(field)))
        return null;
    const header = rows.length > 1 && rows[0].slice(1).some(({ text: field }) => field !== '' && !isNumber(field)) ? rows.shift() : null;
    const named = rows.every(([{ text: field }]) => !isNumber(field));
    if (named && rows.length === 1)
        return null; /* a sentence with a number in it */
    const start = named ? 1 : 0, width = rows[0].length;
    const data = new Float32Array(rows.length * (width - start));
    rows.forEach((row, i) => {
        if (row.length !== width)
            throw new PlaceError(`This row has ${row.length} fields, those before it ${width}.`, row[0].at, `[${i}]`);
        row.slice(start).forEach(({ text: field, at: place }, j) => {
            if (!isNumber(field) && !(field === '' && named))
                throw new PlaceError(`A number was expected, not “${field}”.`, place, `[${i}][${j}]`);
            data[i * (width - start) + j] = toNumber(field || '0');
        });
    });
    const names = (list) => list.map(({ text: field }) => field);
    return { tensor: { shape: [rows.length, width - start], dtype: 'float32', data },
        queryLabels: named ? names(rows.map(([first]) => first)) : null,
        keyLabels: header ? names(header.slice(header.length - width + start)) : null };
}

/* A word of letters is no base64 for us. */
function looksLikeBase64(text) {
    const bare = text.replace(/\s/g, '');
    return bare.length >= 16 && bare.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(bare) && !/[^\S\n\r]/.test(text)
        && [/[A-Z]/, /[a-z0-9+/]/].every((pattern) => pattern.test(bare)) && (/[\d+/=]/.test(bare) || /A{6}/.test(bare));
}

/* Bare base64 is a .npy file, a safetensors file, or float32 in rows of `width`. */
function readBase64(text, width) {
    const bytes = fromBase64(text.replace(/\s/g, ''));
    if (bytes[0] === 0x93)
        return { tensor: readNpy(bytes) };
    if (bytes[8] === 123)
        return fieldsFrom(readSafetensors(bytes));
    if (bytes.length % (4 * width) !== 0)
        throw new PlaceError(`This base64 holds ${bytes.length} bytes, which are no rows of ${width} float32 numbers (${4 * width} bytes each).`, 0);
    return { tensor: { shape: [bytes.length / 4 / width, width], dtype: 'float32', data: new Float32Array(bytes.buffer) } };
}

/** A safetensors file as the fields of a request: what is not a name is JSON in it. */
export function fieldsFrom({ tensors, metadata }) {
    const fields = { ...tensors };
    for (const [name, text] of Object.entries(metadata)) {
        let value = text;
        try {
            value = ['model', 'id', 'encoding', 'title', 'made'].includes(name) ? text : JSON.parse(text);
        } catch { /* it is some other program's */ }
        if (!(name in fields) && name !== 'format')
            fields[name] = value;
    }
    return { fields, places: {} };
}

const BEGINS_LIST = /^(?:(?:(?:np|numpy|torch)\.)?(?:array|tensor)\(\s*)?\[\s*(?:[[\]"+.\d-]|nan\b|inf\b|(?:true|false)\b)/i;

/**
 * What a text is: numbers {tensor, queryLabels, keyLabels}, fields of a request {fields, places}, or, if it is neither,
 * {words}. Throws a PlaceError.
 * @param {number} width of the vectors, for bare base64
 */
export function readText(text, width) {
    if (BEGINS_LIST.test(text.trimStart()) || /^\s*\{\s*["}]/.test(text)) {
        const reader = new Reader(text), value = reader.whole();
        if (isTensor(value))
            return { tensor: value };
        if (Array.isArray(value))
            throw new PlaceError('A tensor or an object was expected, not a list of this.', 0);
        return { fields: value, places: reader.places };
    }
    if (looksLikeBase64(text.trim()))
        return readBase64(text, width);
    return (/\d/.test(text) && readCsv(text)) || { words: text };
}
