import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { escapeXml, toSvg } from '../../../server/web/svg.js';

const HOSTILE = ['<img onerror=alert(1)>', ']]>', '"\'&amp;', '\u0000\u0007\ufffe', '\ud83d', '\u{1f600}',
    ' two  spaces '];

const drawing = { width: 300.123, height: 200, ground: '#fff', title: HOSTILE[0], about: HOSTILE.join(' '), shapes: [
    { kind: 'rect', x: 1, y: 2, w: 3, h: 4, fill: 'red', stroke: 'blue' },
    { kind: 'line', x1: 1, y1: 2, x2: 3, y2: 4, stroke: '#000', opacity: 0.5 },
    { kind: 'image', x: 0, y: 0, w: 10, h: 10, canvas: {} },
    ...HOSTILE.map((text, n) => ({ kind: 'text', x: 5, y: 10 * n, text, size: 12, fill: '#000', anchor: 'end',
        turn: -45 })),
] };

const svg = toSvg(drawing, () => 'data:image/png;base64,AAAA');

/* Python's own XML parser says whether it is well-formed, and what the texts are. */
const READ = `import sys, xml.etree.ElementTree as E
root = E.fromstring(sys.stdin.buffer.read())
assert root.tag == '{http://www.w3.org/2000/svg}svg', root.tag
for n in root.iter():
    if n.tag.endswith('}text'): sys.stdout.buffer.write((n.text + '\\0').encode())`;

test('the file is well-formed XML whose texts are the labels', () => {
    const out = execFileSync('python3', ['-c', READ], { input: svg }).toString();
    const texts = out.split('\0').slice(0, -1);
    assert.deepEqual(texts, HOSTILE.map((text) => text.replace(/[\u0000-\u0008\ufffe\ud83d](?![\udc00-\udfff])/g,
        '\ufffd')));
});

test('nothing is fetched and no style is elsewhere', () => {
    assert.ok(!/<(script|style|foreignObject)|url\(|https?:(?!\/\/www\.w3\.org\/2000\/svg)/.test(svg));
    assert.equal(svg.match(/href="/g).length, 1);
});

test('quotes and angles are escaped', () => {
    assert.equal(escapeXml('<a b="c" d=\'e\'>&'), '&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;');
});
