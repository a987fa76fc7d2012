import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packInput, readLink, unpackInput, writeLink } from '../../../server/web/link.js';
import { below, booleans, tensor, uniform } from './random.mjs';

const pick = (list) => list[below(list.length)];
const some = (make) => Array.from({ length: below(5) }, make);

function randomState() {
    return { tab: pick(['matrix', 'heads', 'lines', 'text', 'row', 'table', 'steps']), batch: below(3),
        head: pick([0, 1, 7, 'mean', 'max']), direction: pick(['query', 'key']),
        cells: some(() => ({ i: below(99), j: below(99) })), palette: pick(['cividis', 'viridis', 'grey']),
        scale: pick(['linear', 'sqrt', 'log']), scope: pick(['fixed', 'all', 'head', 'row']),
            dropped: some(() => below(50)),
        window: { row: below(100) / 4, col: below(100) / 4, zoom: 1 + below(100) / 8 },
        what: { maskedKeys: some(() => below(50)), maskedEdges: some(() => [below(50), below(50)]),
            causal: pick([null, true, false]), temperature: pick([1, 0.5, 2.25]) } };
}

test('a view comes back from its link as it was', () => {
    const { what: _, ...defaults } = randomState();
    for (let n = 0; n < 200; n++) {
        const { what, ...view } = randomState(), found = readLink('#' + writeLink({ ...view, what }, defaults));
        assert.deepEqual({ ...defaults, ...found.view }, view);
        assert.deepEqual(found.what, what);
    }
});

test('what is as it always is makes no link', () => {
    const state = randomState();
    assert.equal(writeLink({ ...state, what: undefined }, state), '');
});

test('only what is listed is written', () => {
    const secret = 'SECRET-KEY-OR-RESULT';
    const state = { ...randomState(), apiKey: secret, authorization: secret, resultUrl: secret,
        problem: { error: secret },
        result: { resultUrl: secret, id: secret }, runs: [{ resultUrl: secret }] };
    assert.ok(!writeLink(state, {}).includes('SECRET'));
});

test('input that is no text of ours is left out', () => {
    const found = readLink('#tab=<img>&head=-1&batch=1e9&cells=1.2_x_3_4.5.6_7.8&window=1_2_Infinity&temperature=NaN&causal=1'
        + '&palette=__proto__&maskedKeys=1_-2_3&maskedEdges=1_2.3&input=a%2Fb');
    assert.deepEqual(found, { view: { cells: [{ i: 1, j: 2 }, { i: 7, j: 8 }] }, input: null,
        what: { maskedKeys: [1, 3], maskedEdges: [[2, 3]], causal: null, temperature: 1 } });
});

function randomRequest() {
    const L = below(4), S = 1 + below(5);
    return { model: 'patterns', query: tensor([2, L, 3]), key: tensor([2, S, 3]), attn_mask: booleans([L, S], 0.5),
        key_padding_mask: { shape: [2, S], dtype: 'float32', data: new Float32Array(2 * S).fill(-Infinity) },
        is_causal: uniform() < 0.5, query_offset: below(9), seed: 2 ** 53 - 1,
        query_labels: ['<img onerror=alert(1)>', '\u{1f600}', '', '\u0000'].slice(0, L) };
}

test('an input comes back bit for bit', async () => {
    for (let n = 0; n < 20; n++) {
        const request = randomRequest(), packed = await packInput({ ...request, keep: true, id: 'mine',
            apiKey: 'secret' });
        assert.match(packed, /^[\w-]+$/);
        assert.equal(readLink(`#input=${packed}`).input, packed);
        assert.deepEqual(await unpackInput(packed), request);
    }
});

test('an input that is too large for an address is not packed', async () => {
    assert.equal(await packInput({ query: tensor([64, 512]) }), null);
    assert.equal(await packInput({ query: tensor([4096, 512]) }), null);
});

test('a damaged input is refused in one sentence', async () => {
    const packed = await packInput(randomRequest());
    for (const text of ['AAAA', packed.slice(0, packed.length / 2), '!', '', 'A' + packed])
        await assert.rejects(unpackInput(text), /^Error: The input in the address is damaged or too large\.$/);
});

async function pack(value) {
    const stream = new Blob([JSON.stringify(value)]).stream().pipeThrough(new CompressionStream('deflate-raw'));
    return Buffer.from(await new Response(stream).arrayBuffer()).toString('base64url');
}

test('a hostile input is refused, however small it is packed', async () => {
    const hostile = [{ query: ['float32', [2 ** 24, 2 ** 24], ''] }, { query: ['float32', [-1], 'AAAA'] },
        { query: 'x' },
        { query: ['toString', [1], 'AAAAAA=='] }, { query_labels: [{ toString: 1 }] }, { is_causal: 'yes' }, null,
        { model: 'x'.repeat(5 << 20) }, { query: ['float32', [0.5, 2], 'AAAAAA=='] }];
    for (const value of hostile)
        await assert.rejects(unpackInput(await pack(value)), /damaged or too large/);
    assert.deepEqual(await unpackInput(await pack({ __proto__: 1, keep: true, id: 'x', other: 1 })), {});
});
