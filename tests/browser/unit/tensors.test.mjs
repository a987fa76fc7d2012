import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readNpy, readSafetensors, readWire, writeNpy, writeSafetensors } from '../../../server/web/tensors.js';
import { below, booleans, tensor } from './random.mjs';

const SPECIAL = { shape: [6], dtype: 'float32', data: Float32Array.of(-0, 1e-45, -Infinity, 3.4028235e38, NaN, 0.1) };
const INTS = { shape: [2, 2], dtype: 'int32', data: Int32Array.of(-1, 0, 2 ** 31 - 1, -(2 ** 31)) };

const some = () => [tensor([below(4), 1 + below(5), 3]), booleans([3, 5], 0.5), INTS, SPECIAL, tensor([0, 4]), tensor([])];

test('safetensors: what was written is read, bit for bit', () => {
    for (let n = 0; n < 50; n++) {
        const tensors = Object.fromEntries(some().map((one, i) => [`t${i}.x`, one]));
        const metadata = { model: 'a"b\\', labels: JSON.stringify(['<img>', '\u{1f600}']) };
        const found = readSafetensors(writeSafetensors(tensors, metadata));
        assert.deepEqual(found, { tensors, metadata });
    }
});

test('safetensors: bytes anywhere in a buffer are read', () => {
    const one = tensor([3, 3]), bytes = writeSafetensors({ a: one });
    for (let shift = 0; shift < 8; shift++) {
        const moved = new Uint8Array(bytes.length + 8);
        moved.set(bytes, shift);
        assert.deepEqual(readSafetensors(moved.subarray(shift, shift + bytes.length)).tensors.a, one);
    }
});

test('safetensors: damaged files are refused with a sentence', () => {
    const good = writeSafetensors({ a: tensor([2, 2]) });
    for (let length = 0; length < good.length; length++)
        assert.throws(() => readSafetensors(good.slice(0, length)), /^Error: (This is no safetensors file|The tensor a )/);
    const header = (text) => {
        const bytes = new Uint8Array(8 + text.length + 16);
        new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
        bytes.set(new TextEncoder().encode(text), 8);
        return bytes;
    };
    for (const entry of ['{"dtype":"F8","shape":[1],"data_offsets":[0,1]}', '{"dtype":"F32","shape":[5],"data_offsets":[0,16]}',
        '{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}', '{"dtype":"F32","shape":[4],"data_offsets":[16,0]}',
        '{"dtype":"F32","shape":[4],"data_offsets":[4,20]}', '{"dtype":"constructor","shape":[4],"data_offsets":[0,16]}', '{}', '[]', '7'])
        assert.throws(() => readSafetensors(header(`{"a":${entry}}`)), /^Error: The tensor a /, entry);
});

/* A safetensors file of one tensor of bytes. */
const rawFile = (dtype, shape, bytes) => {
    const text = JSON.stringify({ a: { dtype, shape, data_offsets: [0, bytes.length] } });
    const out = new Uint8Array(8 + text.length + bytes.length);
    new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
    out.set(new TextEncoder().encode(text), 8);
    out.set(bytes, 8 + text.length);
    return out;
};

test('other types become float32', () => {
    const read = (dtype, shape, bytes) => [...readSafetensors(rawFile(dtype, shape, bytes)).tensors.a.data];
    assert.deepEqual(read('F64', [2], new Uint8Array(Float64Array.of(0.1, -1e300).buffer)), [Math.fround(0.1), -Infinity]);
    assert.deepEqual(read('F16', [7], new Uint8Array(Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001, 0x8000, 0x7c00, 0x3555).buffer)),
        [1, -2, 65504, 2 ** -24, -0, Infinity, 0.333251953125]);
    assert.deepEqual(read('BF16', [4], new Uint8Array(Uint16Array.of(0x3f80, 0xc000, 0x7f80, 0x0001).buffer)), [1, -2, Infinity, 2 ** -133]);
    assert.deepEqual(read('I64', [2], new Uint8Array(BigInt64Array.of(-5n, 7n).buffer)), [-5, 7]);
});

test('.npy: what was written is read, bit for bit', () => {
    for (let n = 0; n < 50; n++)
        for (const one of some())
            assert.deepEqual(readNpy(writeNpy(one)), one);
});

/* A .npy file as NumPy writes it. */
function npy(header, bytes, version = 1) {
    const text = header.padEnd(53 + (version > 1 ? 0 : 0)) + '\n', start = version > 1 ? 12 : 10;
    const out = new Uint8Array(start + text.length + bytes.length);
    out.set([0x93, 78, 85, 77, 80, 89, version, 0]);
    new DataView(out.buffer).setUint16(8, text.length, true);
    out.set(new TextEncoder().encode(text), start);
    out.set(bytes, start + text.length);
    return out;
}

test('.npy: other orders of bytes and axes', () => {
    const big = new Uint8Array(8);
    new DataView(big.buffer).setFloat32(0, 1.5);
    new DataView(big.buffer).setFloat32(4, -2);
    assert.deepEqual([...readNpy(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", big)).data], [1.5, -2]);
    const columns = new Uint8Array(Float64Array.of(1, 4, 2, 5, 3, 6).buffer);
    assert.deepEqual(readNpy(npy("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }", columns, 2)),
        { shape: [2, 3], dtype: 'float32', data: Float32Array.of(1, 2, 3, 4, 5, 6) });
});

test('.npy: what cannot be shown is refused with a sentence', () => {
    const good = writeNpy(tensor([2, 3]));
    for (let length = 0; length < good.length; length += 7)
        assert.throws(() => readNpy(good.slice(0, length)), /^Error: This (is no )?\.npy file/);
    assert.throws(() => readNpy(npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", new Uint8Array(8))), /not numbers/);
    assert.throws(() => readNpy(npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", new Uint8Array(8))), /not numbers/);
});

test('tensors as the service writes them', () => {
    assert.deepEqual(readWire({ shape: [2], dtype: 'float32', data: 'AAAAAAAAgD8=' }).data, Float32Array.of(0, 1));
    assert.deepEqual(readWire({ shape: [4], dtype: 'bool', data: 'AAEAAQ==' }), { shape: [4], dtype: 'bool', data: Uint8Array.of(0, 1, 0, 1) });
    for (const bad of [{ shape: [3], dtype: 'float32', data: 'AAAAAAAAgD8=' }, { shape: 'x', dtype: 'float32', data: '' },
        { shape: [0], dtype: 'toString', data: '' }, { shape: [1], dtype: 'float32', data: '???' }])
        assert.throws(() => readWire(bad), Error);
});
