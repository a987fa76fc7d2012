/* compose.js: a request, or weights to be shown, from what stands in the editor's fields. */

import { FIELDS } from './link.js';
import { readNpz } from './npz.js';
import { fieldsFrom, PlaceError, readText } from './text.js';
import { isTensor, readNpy, readSafetensors } from './tensors.js';
import { plainVectors, splitText, vectorsOf } from './tokens.js';

const WEIGHTS = ['attn_weights', 'weights', 'attentions', 'attention'];
const LEFT = ['need_weights', 'average_attn_weights', 'return', 'view', 'encoding', 'id', 'keep']; /* the page's own matter */
const SCALARS = { causal: 'is_causal', offset: 'query_offset' };

const show = (shape) => `[${shape.join(', ')}]`;

/* Which field a sentence is about. */
function about(field, act) {
    try {
        return act();
    } catch (error) {
        throw Object.assign(error, { field: error.field ?? field });
    }
}

/* Words as {tensor, labels}, by the model's rule, or by the codes of a layer that has one. */
function fromWords(words, model, rules, position) {
    const { rule, vocabulary } = model.rule ? model : rules ?? {};
    if (!rule)
        throw new PlaceError(`The model ${model.name} has no rule that makes vectors of words: give numbers.`, 0);
    const tokens = splitText(vocabulary, words);
    if (tokens.length === 0)
        throw new PlaceError('There is no word in this.', 0);
    return { labels: tokens, tensor: model.rule ? vectorsOf(rule, tokens, position) : plainVectors(rule, tokens, model.embed_dim) };
}

const listed = (text) => text.trim() === '' ? null : text.split(/[,\n]/).map((label) => label.trim());

/* A range such as 5-7, 5 or *, as all its numbers below `count`. */
function range(text, count, at) {
    const found = /^(?:(\d+)(?:-(\d+))?|\*)$/.exec(text);
    if (!found)
        throw new PlaceError(`“${text}” is no number and no range such as 5-7.`, at);
    const from = Number(found[1] ?? 0), to = Number(found[2] ?? found[1] ?? count - 1);
    if (to >= count || from > to)
        throw new PlaceError(`“${text}” does not fit: numbers go from 0 to ${count - 1}.`, at);
    return Array.from({ length: to - from + 1 }, (_, n) => from + n);
}

function paddingOf(text, batch, S) {
    const tensor = /[[{(]/.test(text) ? readText(text, 1).tensor : null;
    if (tensor)
        return tensor;
    const row = new Uint8Array(S);
    for (const { 0: part, index } of text.matchAll(/[^\s,]+/g))
        range(part, S, index).forEach((j) => row[j] = 1);
    const data = new Uint8Array(S * (batch[0] ?? 1));
    for (let at = 0; at < data.length; at += S)
        data.set(row, at);
    return { shape: [...batch, S], dtype: 'bool', data };
}

function maskOf(text, L, S) {
    if (!/[\d*]\s*:/.test(text) || /^\s*\{/.test(text)) {
        const { tensor } = readText(text, S);
        if (!tensor)
            throw new PlaceError('This is no tensor, and no list of pairs such as 4:* or 2:0-3.', 0);
        return tensor;
    }
    const data = new Uint8Array(L * S);
    for (const { 0: part, index } of text.matchAll(/[^\s,]+/g)) {
        const [queries, keys = ''] = part.split(':'), columns = range(keys, S, index + queries.length + 1);
        range(queries, L, index).forEach((i) => columns.forEach((j) => data[i * S + j] = 1));
    }
    return { shape: [L, S], dtype: 'bool', data };
}

/* Do all rows sum to 1, or to 0 where all is masked? */
function areWeights({ shape, dtype, data }) {
    const S = shape.at(-1);
    if (dtype !== 'float32' || shape.length < 2 || data.length === 0)
        return false;
    for (let at = 0; at < data.length; at += S) {
        let sum = 0;
        for (let j = at; j < at + S; j++)
            sum += data[j] >= 0 ? data[j] : NaN;
        if (!(Math.abs(sum - 1) < 2e-3 || sum === 0))
            return false;
    }
    return true;
}

function titleOf(form, labels, tensor) {
    const text = [form.title ?? form.given?.title ?? form.given?.name, !form.given && labels?.join(' ')].filter(Boolean).join(': ')
        || `numbers ${show(tensor.shape)}`;
    return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function weightsFrom(tensor, form, found) {
    return { weights: { weights: { ...tensor, data: Float32Array.from(tensor.data), dtype: 'float32' },
        title: form.title ?? form.given?.name ?? 'Weights from elsewhere', queryLabels: found.queryLabels, keyLabels: found.keyLabels },
    says: `weights ${show(tensor.shape)}` };
}

/** The fields that say what is computed. */
export const plainRequest = (fields) => Object.fromEntries(Object.entries(fields).filter(([name]) => Object.hasOwn(FIELDS, name)));

/* A request, a kept result, or weights that came as fields. */
function fromFields({ fields, places }, form) {
    const at = (name) => places[name] ?? 0, names = Object.keys(fields);
    if (fields.request && fields.attn_weights)
        return { kept: fields, says: 'a kept result' };
    const weights = names.find((name) => WEIGHTS.includes(name) && isTensor(fields[name]));
    const labels = { queryLabels: listOf(fields.query_labels), keyLabels: listOf(fields.key_labels) };
    if (weights && (!fields.query || form.kind === 'weights'))
        return weightsFrom(fields[weights], form, labels);
    const tensors = names.filter((name) => isTensor(fields[name]));
    if (!isTensor(fields.query)) {
        if (tensors.length !== 1 || fields.query !== undefined)
            throw new PlaceError(`A tensor “query” is needed, or “attn_weights”; here is ${names.slice(0, 8).join(', ') || 'nothing'}.`, at('query'), 'query');
        const only = fields[tensors[0]];
        return form.kind === 'weights' || (form.kind === '' && areWeights(only)) ? weightsFrom(only, form, labels) : { tensor: only, ...labels };
    }
    const unknown = weights ? undefined : names.find((name) => !Object.hasOwn(FIELDS, name) && !LEFT.includes(name));
    if (unknown !== undefined)
        throw new PlaceError(`A request has no field “${unknown}”.`, at(unknown), unknown);
    return { request: plainRequest(fields), places, ...labels };
}

const listOf = (value) => Array.isArray(value) ? value.map(String) : null;

/* What stands in the large field, as fields of a request, or as what is to be shown. */
function readMain(form, model, rules) {
    let found = form.given?.found ?? readText(form.text, model.embed_dim);
    if (found.words !== undefined) {
        const { tensor, labels } = fromWords(found.words, model, rules, form.offset ?? 0);
        return { request: { query: tensor }, queryLabels: labels, tokens: labels.length };
    }
    if (found.fields)
        found = fromFields(found, form);
    if (!found.tensor)
        return found;
    const labelled = found.queryLabels && found.keyLabels;
    if (form.kind === 'weights' || (form.kind === '' && found.tensor.shape.at(-1) !== model.embed_dim && (labelled || areWeights(found.tensor))))
        return weightsFrom(found.tensor, form, found);
    if (found.tensor.shape.length < 2)
        throw new PlaceError(`One row of ${found.tensor.shape[0]} numbers is no list of vectors: [L, ${model.embed_dim}] is needed.`, 0);
    return { request: { query: found.tensor }, queryLabels: found.queryLabels };
}

function addKeys(out, form, model, rules) {
    const found = readText(form.key, model.kdim);
    const { tensor, labels } = found.words !== undefined ? fromWords(found.words, model, rules, 0) : { tensor: found.tensor };
    if (!tensor)
        throw new PlaceError('Words or one tensor are needed here.', 0);
    Object.assign(out.request, { key: tensor });
    out.keyLabels = labels ?? null;
}

/* Numbers that have another model's width go to that one. */
function modelFor(request, model, models) {
    const E = request.query.shape.at(-1);
    return E === model.embed_dim ? model : models.find((other) => other.embed_dim === E) ?? model;
}

/**
 * @param {object} form text, title, given {name, title, found}, key, padding, mask, queryLabels, keyLabels, kind: '' | 'vectors' | 'weights',
 *        causal: bool|null, offset: number|null, model: the one that was picked, or null
 * @param {object} rules of the layer of hand-set heads, or null
 * @returns {{request?: object, weights?: object, kept?: object, title: string, says: string, model: string}}
 *          throws an Error with `field`, and with `at` if the place is known
 */
export function compose(form, model, models, rules) {
    const out = about('query', () => readMain(form, model, rules));
    if (!out.request) {
        out.weights &&= { ...out.weights, queryLabels: listed(form.queryLabels) ?? out.weights.queryLabels,
            keyLabels: listed(form.keyLabels) ?? out.weights.keyLabels };
        return out;
    }
    const { request } = out, { query } = request, batch = query.shape.length === 3 ? [query.shape[0]] : [];
    if (form.key.trim() !== '')
        about('key', () => addKeys(out, form, model, rules));
    const L = query.shape.at(-2), S = (request.key ?? query).shape.at(-2);
    if (form.padding.trim() !== '')
        request.key_padding_mask = about('padding', () => paddingOf(form.padding, batch, S));
    if (form.mask.trim() !== '')
        request.attn_mask = about('mask', () => maskOf(form.mask, L, S));
    for (const [field, name] of Object.entries(SCALARS))
        if (form[field] !== null)
            request[name] = form[field];
    const named = request.model;
    request.model = form.model ?? named ?? modelFor(request, model, models).name;
    const passed = named && named !== request.model, goes = !passed && request.model === model.name ? ''
        : ` → ${request.model}${passed ? `, not ${named}` : ''}`; /* another than the text says, or than the select shows */
    const queryLabels = listed(form.queryLabels) ?? out.queryLabels, keyLabels = listed(form.keyLabels) ?? out.keyLabels;
    if (queryLabels)
        request.query_labels = queryLabels;
    if (keyLabels)
        request.key_labels = keyLabels;
    return { request, places: out.places, model: request.model, title: titleOf(form, out.queryLabels, query),
        says: `${out.tokens ? `${out.tokens} tokens → ` : ''}${show(query.shape)}${request.key ? `, keys ${show(request.key.shape)}` : ''}${goes}` };
}

const KINDS = [[/weight|attn|attention/i, 'attn_weights'], [/pad/i, 'key_padding_mask'], [/mask/i, 'attn_mask'],
    [/^k(ey)?s?\b/i, 'key'], [/^v(alue)?s?\b/i, 'value']];

/* A file as readText() has it, and as text if it is one. */
async function readFile(file, width) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (bytes[0] === 0x93 || /\.npy$/i.test(file.name))
        return { found: { tensor: readNpy(bytes) } };
    if (/\.safetensors$/i.test(file.name) || (bytes[8] === 123 && bytes[7] === 0))
        return { found: fieldsFrom(readSafetensors(bytes)) };
    if ((bytes[0] === 80 && bytes[1] === 75 && bytes[2] < 8) || /\.npz$/i.test(file.name)) {
        const { labels, ...fields } = await readNpz(bytes);
        return { found: { fields: labels ? { query_labels: labels, ...fields } : fields, places: {} } };
    }
    const text = new TextDecoder().decode(bytes);
    if (text.includes('\0'))
        throw new Error('This is no text, and no file of tensors that can be read here.');
    return { text, found: readText(text, width) };
}

/**
 * What files hold: one as it is; of several each is a field of the request, by its name.
 * @returns {Promise<{name: string, found: object, text?: string}>} throws an Error with a sentence, and `text` and `at`
 */
export async function readFiles(files, width) {
    const name = files.map((file) => file.name).join(', '), read = [];
    for (const file of files) {
        try {
            read.push(await readFile(file, width));
        } catch (error) {
            throw Object.assign(error, { name: 'FileError', file: file.name, text: error.at === undefined ? undefined : await file.text() });
        }
    }
    if (files.length === 1)
        return { name, ...read[0] };
    const fields = {};
    read.forEach(({ found }, n) => {
        const kind = KINDS.find(([pattern]) => pattern.test(files[n].name))?.[1] ?? 'query';
        Object.assign(fields, found.tensor ? { [kind]: found.tensor } : found.fields);
    });
    return { name, found: { fields, places: {} } };
}
