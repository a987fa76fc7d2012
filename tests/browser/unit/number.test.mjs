import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shortest } from '../../../server/web/number.js';
import { uniform } from './random.mjs';

const word = new DataView(new ArrayBuffer(4));

function fromBits(bits) {
    word.setUint32(0, bits);
    return word.getFloat32(0);
}

/* Any finite float32: all bit patterns are alike. */
function anyFloat() {
    for (;;) {
        const x = fromBits(Math.floor(uniform() * 2 ** 32));
        if (Number.isFinite(x))
            return x;
    }
}

const digitsOf = (text) => text.replace(/e.*$/, '').replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '');

test('it reads back, and no number of fewer digits does', () => {
    for (let n = 0; n < 50000; n++) {
        const x = anyFloat(), text = shortest(x), count = digitsOf(text).length;
        assert.equal(Math.fround(Number(text)), x, text);
        if (count > 1) {
            const [mantissa, exponent] = Math.abs(x).toExponential(count - 2).split('e'), whole = Number(mantissa.replace('.', ''));
            for (const near of [whole - 1, whole, whole + 1])
                assert.notEqual(Math.fround(Number(`${near}e${Number(exponent) - count + 2}`)), Math.abs(x), `${text}: ${near}`);
        }
    }
});

test('no other layout has fewer characters', () => {
    for (let n = 0; n < 50000; n++) {
        const x = Math.abs(anyFloat()), text = shortest(x), digits = digitsOf(text), short = digits.length > 1
            ? `${digits[0]}.${digits.slice(1)}` : digits, [, power] = Number(text).toExponential().split('e');
        assert.ok(text.length <= `${short}e${Number(power)}`.length, text);
        assert.equal(Number(text), Number(`${short}e${power}`));
    }
});

test('powers of two, where the gap below is half of the one above', () => {
    for (let power = -149; power <= 127; power++)
        assert.equal(Math.fround(Number(shortest(2 ** power))), 2 ** power);
    assert.equal(shortest(2 ** -44), '5.684342e-14');
    assert.equal(shortest(2 ** 90), '1.2379401e27');
});

test('layouts', () => {
    for (const [x, text] of [[0, '0'], [-0, '-0.0'], [1, '1'], [-1, '-1'], [0.1, '0.1'], [0.001, '1e-3'], [0.012, '0.012'], [1e-4, '1e-4'],
        [123456, '123456'], [1e5, '1e5'], [1e4, '1e4'], [1000, '1e3'], [100, '100'], [1.5e-3, '0.0015'], [16777216, '16777216'],
        [3.4028235e38, '3.4028235e38'], [1742.03125, '1742.0312'], [1742.09375, '1742.0938'], [1e-45, '1e-45'], [-1.1754944e-38, '-1.1754944e-38'], [Infinity, 'Infinity']])
        assert.equal(shortest(x), text);
});

test('as a running service writes it', { skip: !process.env.ATTEND_URL }, async () => {
    const size = 6 * 512, data = Array.from({ length: size }, () => (uniform() - 0.5) * 10 ** (uniform() * 8 - 4));
    const ask = async (encoding) => (await (await fetch(`${process.env.ATTEND_URL}/attend/demo`, { method: 'POST',
        headers: { 'Content-Type': 'application/json' }, body:
        JSON.stringify({ query: Array.from({ length: 6 }, (_, i) => data.slice(i * 512, (i + 1) * 512)), encoding, return: ['q', 'k'] }) })).text());
    const text = await ask('array'), exact = JSON.parse(await ask('base64'));
    for (const name of ['q', 'k', 'output']) {
        const at = text.indexOf(`"${name}":`) + name.length + 3, written = text.slice(at).match(/^[-\d.e,[\] ]+/)[0].match(/[-\d.e]+/g);
        const bytes = Buffer.from(exact[name].data, 'base64');
        assert.deepEqual(written, Array.from({ length: bytes.length / 4 }, (_, n) => shortest(bytes.readFloatLE(4 * n))));
    }
});
