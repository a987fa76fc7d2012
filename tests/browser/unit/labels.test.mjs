/* Labels: what is made visible, numbered, thinned, cut. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { directionOf, elide, every, numbered, shownLabels, visible } from '../../../server/web/labels.js';

test('spaces and bytes are made visible', () => {
    assert.equal(visible(' the'), '␣the');
    assert.equal(visible('\u0120the'), '␣the');
    assert.equal(visible('\u2581the'), '␣the');
    assert.equal(visible('a\tb\n'), 'a⇥b↵');
    assert.equal(visible('\u0000\u007f'), '\\x00\\x7f');
    assert.equal(visible('a\u202eb'), 'a\\u202eb');
    assert.equal(visible('\ud800'), '\\ud800');
    assert.equal(visible(''), '(empty)');
    assert.equal(visible('naïve 日本 🙂'), 'naïve␣日本␣🙂');
});

test('markup stays text', () => {
    assert.equal(visible('<img onerror=alert(1)>'), '<img␣onerror=alert(1)>');
});

test('repeated labels are numbered', () => {
    assert.deepEqual(numbered(['the', 'cat', 'the', ' the', 'the']), ['the', 'cat', 'the #2', '␣the', 'the #3']);
    const labels = ['a', 'a'];
    assert.equal(shownLabels(labels), shownLabels(labels));
});

test('labels are thinned to every 1st, 2nd, 5th, 10th ...', () => {
    assert.equal(every(20, 15), 1);
    assert.equal(every(15, 15), 1);
    assert.equal(every(14, 15), 2);
    assert.equal(every(4, 15), 5);
    assert.equal(every(0.25, 15), 100);
    for (const pitch of [0.01, 0.3, 1, 2.5, 7, 13])
        assert.ok(every(pitch, 15) * pitch >= 15 && every(pitch, 15) * pitch < 15 * 2.5 + pitch, `${pitch}`);
});

test('a label is cut to the room there is, never inside a sign', () => {
    const measure = (text) => [...text].length;
    assert.equal(elide('short', 5, measure), 'short');
    assert.equal(elide('longer one', 5, measure), 'long…');
    assert.equal(elide('🙂🙂🙂🙂', 3, measure), '🙂🙂…');
    assert.equal(elide('abc', 0, measure), '…');
    for (let room = 1; room < 12; room++)
        assert.equal(measure(elide('abcdefghijkl', room, measure)), room);
});

test('the direction is that of the first letter', () => {
    assert.equal(directionOf('שלום abc'), 'rtl');
    assert.equal(directionOf('12 مرحبا'), 'rtl');
    assert.equal(directionOf('abc שלום'), 'ltr');
    assert.equal(directionOf('123'), 'ltr');
});
