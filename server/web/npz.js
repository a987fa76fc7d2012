/* npz.js: arrays out of a .npz file, which is a ZIP archive of .npy files, stored or deflated (APPNOTE.TXT of PKWARE). */

import { through } from './link.js';
import { readNpy, viewOf } from './tensors.js';

const MOST = 1 << 30; /* bytes of one array */

function crcOf(bytes) {
    let crc = -1;
    for (const byte of bytes) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit++)
            crc = crc >>> 1 ^ (crc & 1 && 0xedb88320);
    }
    return ~crc >>> 0;
}

/* The archive's table, which stands at its end: names, and where their bytes are. RangeError: beyond the file. */
function entriesOf(bytes) {
    const view = viewOf(bytes), entries = [];
    const two = (at) => view.getUint16(at, true), four = (at) => view.getUint32(at, true);
    let end = bytes.length - 22;
    while (four(end) !== 0x06054b50)
        end--;
    for (let n = two(end + 10), at = four(end + 16); n > 0; n--) {
        const start = four(at + 42), from = start + 30 + two(start + 26) + two(start + 28), named = at + 46;
        at = named + two(at + 28);
        entries.push({ name: new TextDecoder().decode(bytes.subarray(named, at)), method: two(named - 36), crc: four(named - 30),
            part: bytes.subarray(from, from + four(named - 26)), size: four(named - 22) });
        at += two(named - 16) + two(named - 14);
    }
    return entries;
}

async function unpack({ method, crc, part, size }) {
    const whole = method === 8 ? await through(part, new DecompressionStream('deflate-raw'), Math.min(size, MOST)).catch(() => [])
        : method ? [] : part;
    if (whole.length !== size || crcOf(whole) !== crc)
        throw new Error('its bytes are damaged or packed in an unusual way.');
    return whole;
}

/**
 * The arrays by their names; one without dimensions is a number, a boolean or a string, and a row of strings a list.
 * @param {Uint8Array} bytes
 * @returns {Promise<object>} throws an Error with a sentence
 */
export async function readNpz(bytes) {
    const fields = {};
    let entries;
    try {
        entries = entriesOf(bytes);
    } catch {
        throw new Error('This .npz file is damaged, or none.');
    }
    for (const { name, ...entry } of entries)
        if (name.endsWith('.npy'))
            try {
                fields[name.slice(0, -4)] = readNpy(await unpack(entry), true);
            } catch (error) {
                throw new Error(`In this .npz file ${name} cannot be read: ${error.message}`);
            }
    if (Object.keys(fields).length === 0)
        throw new Error(`This archive holds no arrays of NumPy, but ${entries.slice(0, 8).map(({ name }) => name).join(', ') || 'nothing'}.`);
    return fields;
}
