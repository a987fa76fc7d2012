import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csvField, csvOf, jsonOf } from '../../../server/web/export.js';
import { bundle, freeze, pageText, thaw } from '../../../server/web/page_export.js';
import { booleans, tensor } from './random.mjs';

const FILES = { 'main.js': 'import { a } from \'./a.js\';\nimport * as b from \'./b.js\';',
    'a.js': 'import{b}from\'./b.js\';export const a = b;',
    'b.js': 'export const b = async () => import(\'./late.js\');', 'late.js': 'export{a}from"./a.js";',
        'other.js': 'no' };

test('all modules are in the file, each once, and find each other by bare names', async () => {
    const asked = [], all = await bundle('main.js', async (name) => (asked.push(name), FILES[name]));
    assert.deepEqual(asked.sort(), ['a.js', 'b.js', 'late.js', 'main.js']);
    assert.equal(all['a.js'], 'import{b}from\'b.js\';export const a = b;');
    assert.ok(Object.values(all).every((text) => !text.includes('./')));
});

test('a result comes back bit for bit, and cannot end its script element', () => {
    const value = { title: '</script><img onerror=1><!--', weights: tensor([2, 3]), mask: booleans([4], 0.5),
        none: null, list: [{ shape: [1], dtype: 'int32',
        data: Int32Array.of(-1) }], infinite: { shape: [1], dtype: 'float32', data: Float32Array.of(-Infinity) } };
    assert.ok(!freeze(value).includes('<'));
    assert.deepEqual(thaw(freeze(value)), value);
});

test('the file asks for nothing', () => {
    const text = pageText({ modules: FILES, css: 'a{}</style><script>', body: '<body></body>', title: '</title><img>',
        data: freeze({ a: '</script>' }) });
    assert.equal(text.match(/<\/style>/g).length, 1);
    assert.equal(text.match(/<\/script>/g).length, 3);
    assert.ok(text.includes('&lt;/title&gt;'));
    assert.match(text, /default-src 'none'/);
    assert.ok(!/src=|href=/.test(text));
});

test('a label in CSV is one field, and no formula', () => {
    assert.equal(csvField('=1+1'), '\'=1+1');
    assert.equal(csvField('a,"b"\n'), '"a,""b""\n"');
    const map = { exact: true, rows: 1, row: () => Float32Array.of(0.1, 0, 0), reason: (i, j) => j === 2 ? 1 : 0 };
    assert.equal(csvOf(map, ['a,b'], ['@x', 'y', 'z']), 'query \\ key,\'@x,y,z\r\n"a,b",0.1,0,\r\n');
    assert.throws(() => csvOf({ exact: false }, [], []), /whole map/);
});

test('JSON has the numbers of the tensors in their shape', () => {
    const weights = tensor([1, 2, 3, 4]), lse = { shape: [1, 2, 1], dtype: 'float32', data: Float32Array.of(-Infinity,
        0.1) };
    const found = JSON.parse(jsonOf({ model: 'm', title: '"\n', weights, lse, queryLabels: ['<'], keyLabels: [],
        seed: '9007199254740991', stats: { max: lse, first: null } }));
    assert.deepEqual(found.attn_weights.flat(3).map(Math.fround), [...weights.data]);
    assert.equal(found.attn_weights[0][1].length, 3);
    assert.deepEqual(found.lse, [[[null], [0.1]]]);
    assert.equal(found.seed, 9007199254740991);
    assert.deepEqual(Object.keys(found), ['model', 'title', 'seed', 'query_labels', 'key_labels', 'attn_weights',
        'lse', 'stats.max']);
});
