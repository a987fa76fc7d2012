import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { codeOf, plainVectors, splitText, vectorsOf } from '../../../server/web/tokens.js';

/* What GET /models/patterns states. */
const VOCABULARY = { separators: ' \t\n\r' };
const RULE = { embed_dim: 128, hash: { start: 1, multiplier: 48271, modulus: 2147483647 },
    code: { length: 60, multiplier: 48271, modulus: 2147483647, below: 1073741824 },
    vector: [{ from: 0, to: 60, kind: 'code', of: 'token' }, { from: 60, to: 120, kind: 'code', of: 'predecessor' },
        { from: 120, to: 121, kind: 'position', divisor: 2048, power: 1 },
        { from: 121, to: 122, kind: 'position', divisor: 2048, power: 2 }, { from: 122, to: 123, kind: 'first' },
        { from: 123, to: 124, kind: 'constant', value: 1 }, { from: 124, to: 128, kind: 'constant', value: 0 }] };
const CAT = '++++--+---+++---------++++-++--+++----+---++-+-+-+--+++-+++-'; /* its example */
const TEXT = 'the cat sät on\tthe 猫 😀 the cat';

const sha = ({ data }) => createHash('sha256').update(new Uint8Array(data.buffer)).digest('hex');

test('a token\'s code is the one of the example', () => {
    assert.equal([...codeOf(RULE, 'cat')].map((x) => x > 0 ? '+' : '-').join(''), CAT);
    assert.notDeepEqual(codeOf(RULE, 'Cat'), codeOf(RULE, 'cat'));
});

test('texts are split at the separators, and only there', () => {
    assert.deepEqual(splitText(VOCABULARY, TEXT), ['the', 'cat', 'sät', 'on', 'the', '猫', '😀', 'the', 'cat']);
    assert.deepEqual(splitText(VOCABULARY, '\n a \u00a0b \r\n'), ['a', '\u00a0b']);
    assert.deepEqual(splitText(VOCABULARY, ''), []);
});

test('the vectors have the bits that the Python client makes', () => {
    const made = vectorsOf(RULE, splitText(VOCABULARY, TEXT));
    assert.deepEqual(made.shape, [9, 128]);
    assert.equal(sha(made), '0d838bc249b82cfe714cf68da45b5944e05610cc352bad8c1beb80841177beea');
    assert.equal(sha(vectorsOf(RULE, ['a', ' b'], 7)), '419c7b78a6ca1c5bfa65822711711a52b9d19633bd8baeb306f54e9266198a57');
});

test('a part of the rule that is not known is refused', () => {
    assert.throws(() => vectorsOf({ ...RULE, vector: [{ from: 0, to: 128, kind: 'magic' }] }, ['a']), /of the kind magic/);
});

test('without a rule a token has the same numbers wherever it stands', () => {
    const { shape, data } = plainVectors(RULE, ['a', 'b', 'a'], 512);
    assert.deepEqual(shape, [3, 512]);
    assert.deepEqual(data.slice(0, 512), data.slice(1024));
    assert.notDeepEqual(data.slice(0, 512), data.slice(512, 1024));
    assert.ok(data.every((x) => Math.abs(x) === 1));
});

test('as a running service states it', { skip: !process.env.ATTEND_URL }, async () => {
    const { rule, vocabulary } = await (await fetch(`${process.env.ATTEND_URL}/models/patterns`)).json();
    assert.deepEqual([...codeOf(rule, rule.example.token)], rule.example.code);
    assert.deepEqual(vectorsOf(rule, splitText(vocabulary, TEXT)), vectorsOf(RULE, splitText(VOCABULARY, TEXT)));
});
