import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compose } from '../../../server/web/compose.js';
import { store } from '../../../server/web/store.js';
import { tensor } from './random.mjs';

const MODELS = [['a', 4], ['b', 4], ['c', 6]].map(([name, embed_dim]) => ({ name, embed_dim, kdim: embed_dim }));
const [A, B, C] = MODELS;

const form = (fields, more = {}) => ({ text: '', given: { name: 'a file', found: { fields, places: {} } }, key: '', padding: '', mask: '',
    queryLabels: '', keyLabels: '', kind: '', causal: null, offset: null, model: null, ...more });

const goes = (fields, selected, picked) => {
    const { model, says } = compose(form(fields, { model: picked ? selected.name : null }), selected, MODELS, null);
    return [model, says];
};

test('a model that was picked is the one, whatever the text says', () => {
    const four = { query: tensor([2, 4]) }, six = { query: tensor([2, 6]) };
    assert.deepEqual(goes(four, A, false), ['a', '[2, 4]']);
    assert.deepEqual(goes(four, B, true), ['b', '[2, 4]']);
    assert.deepEqual(goes({ ...four, model: 'a' }, B, true), ['b', '[2, 4] → b, not a']);
    assert.deepEqual(goes({ ...four, model: 'b' }, B, true), ['b', '[2, 4]']);
    assert.deepEqual(goes(six, A, true), ['a', '[2, 6]'], 'the service says what is wrong');
});

test('where another runs than the select shows, it is said', () => {
    assert.deepEqual(goes({ query: tensor([2, 4]), model: 'b' }, A, false), ['b', '[2, 4] → b']);
    assert.deepEqual(goes({ query: tensor([2, 6]) }, A, false), ['c', '[2, 6] → c']);
    assert.deepEqual(goes({ query: tensor([2, 6]) }, C, false), ['c', '[2, 6]']);
});

test('the head and the batch entry are among those of the result', () => {
    const result = (H, B = 1) => ({ H, B });
    store.set({ head: 999, batch: 3 });
    assert.deepEqual([store.get().head, store.get().batch], [999, 3], 'as long as there is none');
    store.set({ result: result(8, 2) });
    assert.deepEqual([store.get().head, store.get().batch], [0, 0]);
    store.set({ head: 7, batch: 1 });
    assert.deepEqual([store.get().head, store.get().batch], [7, 1]);
    store.set({ result: result(1) });
    assert.deepEqual([store.get().head, store.get().batch], [0, 0]);
    for (const head of ['mean', 'max']) {
        store.set({ head });
        assert.equal(store.get().head, head);
    }
});
