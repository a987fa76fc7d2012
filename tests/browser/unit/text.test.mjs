import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toBase64 } from '../../../server/web/base64.js';
import { shortest } from '../../../server/web/number.js';
import { writeNpy, writeSafetensors } from '../../../server/web/tensors.js';
import { PlaceError, placeIn, readText } from '../../../server/web/text.js';
import { below, booleans, tensor } from './random.mjs';

function nested({ shape, data }, write, separator = ', ') {
    const part = ([count, ...rest], at) => rest.length === 0 ? `[${Array.from({ length: count }, (_, n) => write(data[at + n])).join(separator)}]`
        : `[${Array.from({ length: count }, (_, n) => part(rest, at + n * rest.reduce((a, b) => a * b, 1))).join(`${separator}\n `)}]`;
    return part(shape, 0);
}

const shape = () => Array.from({ length: 1 + below(3) }, () => 1 + below(4));

test('numbers come back as they were, from JSON and from what NumPy and PyTorch print', () => {
    for (let n = 0; n < 100; n++) {
        const one = tensor(shape(), 100), json = nested(one, shortest);
        for (const text of [json, ` ${json}\n`, nested(one, shortest, '  '), `array(${json}, dtype=float32)`, `np.array(${json})`,
            `tensor(${json}, device='cuda:0', grad_fn=<SoftmaxBackward0>)`])
            assert.deepEqual(readText(text, 1).tensor, one, text);
    }
    const mask = booleans([3, 4], 0.5);
    assert.deepEqual(readText(nested(mask, (x) => String(Boolean(x))), 1).tensor, mask);
    assert.deepEqual(readText(nested(mask, (x) => x ? 'True' : 'False', ' '), 1).tensor, mask);
    assert.deepEqual([...readText('[0. 1.e-3 -inf .5 +2 inf]', 1).tensor.data], [0, Math.fround(1e-3), -Infinity, 0.5, 2, Infinity]);
    assert.deepEqual([...readText('["-inf", 0]', 1).fields ?? [], ...readText('[0, "-inf"]', 1).tensor.data], [0, -Infinity]);
});

test('CSV with and without names', () => {
    for (const sign of [',', ';', '\t', ' ']) {
        const found = readText(`1${sign}2.5\r\n-3${sign}4e2\r\n`, 1);
        assert.deepEqual(found.tensor, { shape: [2, 2], dtype: 'float32', data: Float32Array.of(1, 2.5, -3, 400) });
        assert.equal(found.queryLabels, null);
    }
    const named = readText('query \\ key,"a, ""x""",b\nq1,0.5,0.5\nq2,1,\n', 1);
    assert.deepEqual(named, { tensor: { shape: [2, 2], dtype: 'float32', data: Float32Array.of(0.5, 0.5, 1, 0) },
        queryLabels: ['q1', 'q2'], keyLabels: ['a, "x"', 'b'] });
    assert.deepEqual([...readText('query \\ key,a,b,c\r\nq1,1,,\r\nq2,0.5,0.5,\r\n', 1).tensor.data], [1, 0, 0, 0.5, 0.5, 0]);
    assert.deepEqual(readText('a,b\n1,2\n', 1).keyLabels, ['a', 'b']);
});

test('base64 of numbers, of .npy and of safetensors', () => {
    const one = tensor([5, 4]), bytes = new Uint8Array(one.data.buffer);
    assert.deepEqual(readText(toBase64(bytes), 4).tensor, one);
    assert.deepEqual(readText(toBase64(writeNpy(one)).replace(/(.{60})/g, '$1\n'), 1).tensor, one);
    assert.deepEqual(readText(toBase64(writeSafetensors({ query: one }, { is_causal: 'true', model: 'm' })), 1).fields,
        { query: one, is_causal: true, model: 'm' });
    assert.throws(() => readText(toBase64(bytes), 7), /no rows of 7 float32/);
});

test('words stay words', () => {
    for (const text of ['the cat sat', '[CLS] the cat [SEP]', '<img onerror=alert(1)>', 'supercalifragilisticexpialidocious', '{not json}',
        'It is 5 o\'clock', 'Attention is all you need, 2017', 'a\nb', 'internationalization'])
        assert.deepEqual(readText(text, 4), { words: text });
});

test('a request as JSON, with the places of its fields', () => {
    const text = '{"query": [[1, 2]],\n "is_causal": true, "query_labels": ["a\\u0062", "[x]"], "model": null,\n "key": {"shape": [1, 2], '
        + '"dtype": "float32", "data": "AAAAAAAAgD8="}}', { fields, places } = readText(text, 1);
    assert.deepEqual(fields, { query: { shape: [1, 2], dtype: 'float32', data: Float32Array.of(1, 2) }, is_causal: true,
        query_labels: ['ab', '[x]'], model: null, key: { shape: [1, 2], dtype: 'float32', data: Float32Array.of(0, 1) } });
    assert.equal(text.slice(places.is_causal, places.is_causal + 11), '"is_causal"');
    assert.equal(placeIn(text, places.key).line, 3);
});

test('what is wrong is said with its line, column and path', () => {
    for (const [text, line, column, path, sentence] of [
        ['[[1, 2],\n [3]]', 2, 2, '[1]', /Rows differ in length/],
        ['[[1, 2],\n [3, x]]', 2, 6, '[1][1]', /A number was expected, not “x”/],
        ['[[1, 2],\n [3, "x"]]', 2, 6, '[1][1]', /A number was expected here/],
        ['[1, true]', 1, 5, '[1]', /A number was expected here/],
        ['[[1, 2]', 1, 8, '', /A \] is missing/],
        ['[1, 2] 3', 1, 8, '', /Nothing was expected/],
        ['[0.1 0.2 ... 0.9]', 1, 10, '[2]', /set_printoptions/],
        ['[1e99]', 1, 2, '[0]', /beyond float32/],
        ['{"query": [[1, 2],\n [3]]}', 2, 2, 'query[1]', /Rows differ/],
        ['{"query" [1]}', 1, 10, 'query', /A colon/],
        ['{"a": 1, "a": 2}', 1, 10, 'a', /second time/],
        ['{"a": "\n"}', 1, 7, 'a', /string is not well-formed/],
        ['{"a": {"shape": [3], "dtype": "float32", "data": "AAAA"}}', 1, 2, 'a', /cannot be read/],
        ['1,2,3\n4,5\n', 2, 1, '[1]', /2 fields, those before it 3/],
        ['1,2,3\n4,x,6\n', 2, 3, '[1][1]', /not “x”/]])
        assert.throws(() => readText(text, 1), (error) => {
            assert.ok(error instanceof PlaceError, String(error.stack));
            const place = placeIn(text, error.at);
            assert.deepEqual([place.line, place.column, error.path], [line, column, path], `${text}: ${error.message}`);
            assert.match(error.message, sentence);
            return true;
        });
});
