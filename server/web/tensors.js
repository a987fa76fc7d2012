/* tensors.js: tensors from and to bytes: safetensors (huggingface/safetensors, README, "Format") and .npy (NumPy
 * Enhancement Proposal 1). A tensor is {shape, dtype: 'float32'|'int32'|'bool', data}. */

import { fromBase64 } from './base64.js';

/** Is this a tensor of ours? */
export const isTensor = (value) => ArrayBuffer.isView(value?.data);

/** How many elements a shape has. */
export const product = (shape) => shape.reduce((a, b) => a * b, 1);

/** A DataView of these bytes. */
export const viewOf = ({ buffer, byteOffset, byteLength }) => new DataView(buffer, byteOffset, byteLength);

function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    return exponent === 31 ? (fraction ? NaN : sign * Infinity)
        : sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
}

const word = new DataView(new ArrayBuffer(4));

function brain(bits) {
    word.setUint32(0, bits << 16);
    return word.getFloat32(0);
}

/* How elements are read from a DataView: bytes each, how, and what they become. */
const ELEMENTS = {
    F64: [8, (v, at, little) => v.getFloat64(at, little), 'float32'], F32: [4, (v, at, little) => v.getFloat32(at, little), 'float32'],
    F16: [2, (v, at, little) => half(v.getUint16(at, little)), 'float32'],
    BF16: [2, (v, at, little) => brain(v.getUint16(at, little)), 'float32'],
    I64: [8, (v, at, little) => Number(v.getBigInt64(at, little)), 'float32'],
    I32: [4, (v, at, little) => v.getInt32(at, little), 'int32'], U8: [1, (v, at) => v.getUint8(at), 'float32'],
    BOOL: [1, (v, at) => v.getUint8(at) ? 1 : 0, 'bool'],
};

const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

/** An array for so many elements of that type, or over that buffer. */
export const arrayOf = (dtype, what) => new ARRAYS[dtype](what);

function readElements(bytes, type, shape, little = true) {
    const [size, read, dtype] = ELEMENTS[type], count = product(shape);
    if (bytes.length !== count * size)
        throw new Error(`a tensor of the shape [${shape.join(', ')}] and type ${type} has ${count * size} bytes, not ${bytes.length}`);
    if (little && ['F32', 'I32', 'BOOL'].includes(type)) /* as they are: all that browsers run on is little-endian */
        return { shape, dtype, data: arrayOf(dtype, bytes.byteOffset % 4 === 0 && type !== 'BOOL'
            ? bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) : bytes.slice().buffer) };
    const view = viewOf(bytes), data = arrayOf(dtype, count);
    for (let n = 0; n < count; n++)
        data[n] = read(view, n * size, little);
    return { shape, dtype, data };
}

const isShape = (shape) => Array.isArray(shape) && shape.every((n) => Number.isInteger(n) && n >= 0 && n <= 2 ** 24);

/**
 * @param {Uint8Array|ArrayBuffer} input
 * @returns {{tensors: object, metadata: object}} throws an Error with a sentence
 */
export function readSafetensors(input) {
    const bytes = input instanceof Uint8Array ? input : new Uint8Array(input);
    const length = bytes.length < 8 ? NaN : Number(viewOf(bytes).getBigUint64(0, true));
    if (!(length <= bytes.length - 8))
        throw new Error('This is no safetensors file: the length of its header is wrong.');
    let header;
    try {
        header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, 8 + length)));
    } catch {
        throw new Error('This is no safetensors file: its header is no JSON.');
    }
    const { __metadata__: metadata = {}, ...entries } = header, tensors = {}, body = bytes.subarray(8 + length);
    for (const [name, { dtype, shape, data_offsets: [from, to] = [] } = {}] of Object.entries(entries)) {
        if (!Object.hasOwn(ELEMENTS, dtype))
            throw new Error(`The tensor ${name} is of type ${dtype}, which cannot be shown.`);
        if (!isShape(shape) || !(from >= 0 && from <= to && to <= body.length))
            throw new Error(`The tensor ${name} has a damaged entry in the header.`);
        try {
            tensors[name] = readElements(body.subarray(from, to), dtype, shape);
        } catch (error) {
            throw new Error(`The tensor ${name} is damaged: ${error.message}.`);
        }
    }
    return { tensors, metadata };
}

const TYPES = { float32: 'F32', int32: 'I32', bool: 'BOOL' };

/**
 * The parts of a safetensors file, in their order: its header, and each tensor's bytes as they are.
 * @param {object} tensors by name
 * @param {object} metadata strings by name
 * @returns {ArrayBufferView[]}
 */
export function safetensorsParts(tensors, metadata = {}) {
    const header = { __metadata__: metadata }, parts = [];
    let end = 0;
    /* The widest elements first: so all of them are aligned. */
    for (const [name, { shape, dtype, data }] of Object.entries(tensors)
        .sort(([, a], [, b]) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT)) {
        header[name] = { dtype: TYPES[dtype], shape, data_offsets: [end, end += data.byteLength] };
        parts.push(data);
    }
    const text = new TextEncoder().encode(JSON.stringify(header)), head = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(32);
    viewOf(head).setBigUint64(0, BigInt(head.length - 8), true);
    head.set(text, 8);
    return [head, ...parts];
}

/** @returns {Uint8Array} the same as one */
export function writeSafetensors(tensors, metadata) {
    const parts = safetensorsParts(tensors, metadata), bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
    let at = 0;
    for (const { buffer, byteOffset, byteLength } of parts) {
        bytes.set(new Uint8Array(buffer, byteOffset, byteLength), at);
        at += byteLength;
    }
    return bytes;
}

const NPY = { f8: 'F64', f4: 'F32', f2: 'F16', i8: 'I64', i4: 'I32', u1: 'U8', b1: 'BOOL' };

/* NumPy may keep the first index fastest. */
function rowMajor({ shape, dtype, data }) {
    const out = arrayOf(dtype, data.length), strides = shape.map((_, n) => product(shape.slice(0, n)));
    const index = shape.map(() => 0);
    for (let n = 0; n < out.length; n++) {
        out[n] = data[index.reduce((at, i, axis) => at + i * strides[axis], 0)];
        for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--)
            index[axis] = 0;
    }
    return { shape, dtype, data: out };
}

/* Strings of so many characters, as NumPy keeps them: one, a list, or nothing if they have more dimensions. */
function readStrings(bytes, length, shape, little) {
    const view = viewOf(bytes), codes = Array(length).fill(0);
    const texts = Array.from({ length: product(shape) }, (_, n) =>
        String.fromCodePoint(...codes.map((_, i) => view.getUint32(4 * (n * length + i), little))).replace(/\0+$/, ''));
    return shape.length === 0 ? texts[0] : product(shape) === shape.at(-1) ? texts : undefined;
}

/**
 * @param {Uint8Array} bytes of a .npy file. Throws an Error with a sentence.
 * @param {boolean} any may it hold what is no tensor: strings, or a value without dimensions?
 */
export function readNpy(bytes, any = false) {
    if (bytes.length < 12 || String.fromCharCode(...bytes.subarray(0, 6)) !== '\x93NUMPY')
        throw new Error('This is no .npy file: it does not begin as one.');
    const view = viewOf(bytes), wide = bytes[6] > 1, start = wide ? 12 : 10;
    const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
    const header = new TextDecoder('latin1').decode(bytes.subarray(start, start + length));
    const descr = /'descr':\s*'([<>|=])(\w\d+)'/.exec(header), shape = /'shape':\s*\(([\d,\s]*)\)/.exec(header);
    const sizes = shape?.[1].split(',').filter((n) => n.trim() !== '').map(Number), little = descr?.[1] !== '>';
    if (any && sizes && descr?.[2][0] === 'U')
        return readStrings(bytes.subarray(start + length), Number(descr[2].slice(1)), sizes, little);
    if (!sizes || !descr || !Object.hasOwn(NPY, descr[2]))
        throw new Error(`This .npy file holds ${/'descr':\s*(\S+?),/.exec(header)?.[1] ?? 'something'}, not numbers that can be read here.`);
    let tensor;
    try {
        tensor = readElements(bytes.subarray(start + length), NPY[descr[2]], sizes, little);
    } catch (error) {
        throw new Error(`This .npy file is damaged: ${error.message}.`);
    }
    if (any && sizes.length === 0)
        return tensor.dtype === 'bool' ? tensor.data[0] === 1 : tensor.data[0];
    return /'fortran_order':\s*True/.test(header) ? rowMajor(tensor) : tensor;
}

/** @returns {Uint8Array} a .npy file, version 1.0 */
export function writeNpy({ shape, dtype, data }) {
    const descr = { float32: '<f4', int32: '<i4', bool: '|b1' }[dtype];
    const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.map((n) => `${n},`).join(' ')}), }`;
    const text = `\x93NUMPY\x01\x00\0\0${header}`, length = Math.ceil((text.length + 1) / 64) * 64;
    const bytes = new Uint8Array(length + data.byteLength);
    for (let n = 0; n < length; n++)
        bytes[n] = n === length - 1 ? 10 : n < text.length ? text.charCodeAt(n) : 32;
    viewOf(bytes).setUint16(8, length - 10, true);
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), length);
    return bytes;
}

const WIRE = { float64: 'F64', float32: 'F32', float16: 'F16', bfloat16: 'BF16', int32: 'I32', bool: 'BOOL' };

/** A tensor from {shape, dtype, data: base64}, as the service writes it. Throws an Error with a clause. */
export function readWire({ shape, dtype, data }) {
    if (!isShape(shape))
        throw new Error('"shape" has to be a list of whole numbers');
    if (!Object.hasOwn(WIRE, dtype))
        throw new Error(`"dtype" has to be one of ${Object.keys(WIRE).join(', ')}`);
    let bytes;
    try {
        bytes = fromBase64(data);
    } catch {
        throw new Error('"data" is no base64');
    }
    return readElements(bytes, WIRE[dtype], shape);
}
