/* wire.mjs: the service's own words, to hold the page against: JSON with each number as it was written, and
 * safetensors. */

import { crc32, deflateRawSync } from 'node:zlib';

/** JSON whose numbers stay text: [0.5] is ['0.5']. */
export function rawJson(text) {
    return JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (part) => part[0] === '"' ? part
        : `"${part}"`));
}

const TYPES = { F32: Float32Array, I32: Int32Array, I64: BigInt64Array, BOOL: Uint8Array, U8: Uint8Array };

/** A safetensors file as {metadata, tensors: {name: {shape, data}}}. */
export function readTensors(bytes) {
    const size = Number(bytes.readBigUInt64LE(0)), { __metadata__: metadata = {}, ...all }
        = JSON.parse(bytes.subarray(8, 8 + size).toString());
    const tensors = Object.fromEntries(Object.entries(all).map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
        const copy = Uint8Array.from(bytes.subarray(8 + size + from, 8 + size + to));
        return [name, { shape, dtype, data: new TYPES[dtype](copy.buffer) }];
    }));
    return { metadata, tensors };
}

/** A safetensors file of float32 tensors {name: {shape, data}}. */
export function writeTensors(tensors, metadata = {}) {
    const header = { __metadata__: metadata }, parts = [];
    let at = 0;
    for (const [name, { shape, data }] of Object.entries(tensors)) {
        header[name] = { dtype: 'F32', shape, data_offsets: [at, at + data.length * 4] };
        parts.push(Buffer.from(Float32Array.from(data).buffer));
        at += data.length * 4;
    }
    const text = Buffer.from(JSON.stringify(header)), size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([size, text, ...parts]);
}

/** A .npy file of float32. */
export function npyFile(shape, data) {
    const sides = `${shape.join(', ')}${shape.length === 1 ? ',' : ''}`;
    const head = `{'descr': '<f4', 'fortran_order': False, 'shape': (${sides}), }`;
    const text = head.padEnd(Math.ceil((head.length + 11) / 64) * 64 - 11) + '\n', start = Buffer.alloc(10);
    start.write('\x93NUMPY\x01\x00', 'latin1');
    start.writeUInt16LE(text.length, 8);
    return Buffer.concat([start, Buffer.from(text), Buffer.from(Float32Array.from(data).buffer)]);
}

/** A .npz file of these .npy files, stored as numpy.savez() does, or deflated. */
export function npzFile(files, deflated = false) {
    const entries = [], table = [];
    let at = 0;
    for (const [name, bytes] of Object.entries(files)) {
        const path = Buffer.from(`${name}.npy`), part = deflated ? deflateRawSync(bytes) : bytes, about = Buffer.alloc(26);
        about.writeUInt16LE(20, 0);
        about.writeUInt16LE(deflated ? 8 : 0, 4);
        [crc32(bytes), part.length, bytes.length].forEach((number, n) => about.writeUInt32LE(number, 10 + 4 * n));
        about.writeUInt16LE(path.length, 22);
        const place = Buffer.alloc(14);
        place.writeUInt32LE(at, 10);
        entries.push(Buffer.from('PK\x03\x04'), about, path, part);
        table.push(Buffer.from('PK\x01\x02\x14\0'), about, place, path);
        at += 30 + path.length + part.length;
    }
    const end = Buffer.alloc(18), size = Buffer.concat(table).length, count = Object.keys(files).length;
    [count, count].forEach((number, n) => end.writeUInt16LE(number, 4 + 2 * n));
    [size, at].forEach((number, n) => end.writeUInt32LE(number, 8 + 4 * n));
    return Buffer.concat([...entries, ...table, Buffer.from('PK\x05\x06'), end]);
}

/** The same request once more, answered as JSON with numbers as text. */
export async function askAgain(answer) {
    const request = answer.request();
    const again = await fetch(request.url(), { method: 'POST', body: request.postDataBuffer(),
        headers: { 'Content-Type': request.headers()['content-type'], Accept: 'application/json' } });
    if (!again.ok)
        throw new Error(await again.text());
    return rawJson(await again.text());
}

/** The numbers of the only batch entry, if there is one. */
export const unbatched = (tensor) => tensor.length === 1 ? tensor[0] : tensor;

/** The last request of the page: {metadata, tensors}. */
export const requestOf = (answer) => readTensors(answer.request().postDataBuffer());

/** Numbers that look random and are the same each time. */
export function numbers(count, seed = 1) {
    let x = seed;
    return Float32Array.from({ length: count }, () => {
        x = x * 48271 % 2147483647;
        return Math.fround(x / 1073741824 - 1);
    });
}
