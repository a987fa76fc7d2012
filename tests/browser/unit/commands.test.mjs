import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { curlCommand, plainJson, pythonProgram, requestJson, shellWord } from '../../../server/web/commands.js';
import { booleans, tensor } from './random.mjs';

const HOSTILE = ['', '\'', '"', '\\', '\\\'', '$(touch hacked)', '`touch hacked`', '!!', '\'; touch hacked; \'', 'END',
    '\nEND\ntouch hacked\n',
    '\'\'\'', '"""', '\\u0027', '\\', '%s%n', '\r\n\t', '\u{1f600}', '\u2028', '*?[a]', '~', '-n', '#', '\u007f'];

const run = (program, args, input) => execFileSync(program, args, { input, encoding: 'utf8' });

/* The decoded text of what base64 the request has, in plain code that shares nothing with the page. */
const floats = (text) => new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer);

test('a shell reads back the word', () => {
    for (const text of HOSTILE)
        for (const shell of ['sh', 'bash'])
            assert.equal(run(shell, ['-c', `printf %s ${shellWord(text)}`]), text);
    assert.equal(shellWord('a\0b'), '\'ab\'');
});

test('JSON comes through a here-document and through Python as it was', () => {
    const json = plainJson(HOSTILE);
    assert.match(json, /^[ -&(-~]*$/);
    for (const shell of ['sh', 'bash'])
        assert.deepEqual(JSON.parse(run(shell, [], `cat <<'END'\n${json}\nEND\n`)), HOSTILE);
    const python = `import json, sys\nsys.stdout.write(json.dumps(json.loads(r'''${json}''')))`;
    assert.deepEqual(JSON.parse(run('python3', ['-'], python)), HOSTILE);
});

const request = { model: 'left out', query: tensor([2, 3]), attn_mask: { shape: [3], dtype: 'float32',
    data: Float32Array.of(-Infinity, -0, 1e-45) },
    key_padding_mask: booleans([3], 0.5), is_causal: true, query_offset: 0, key: null, id: HOSTILE[5], keep: true,
        query_labels: HOSTILE,
    view: {}, return: ['q'], encoding: 'base64' };

test('the body has all that counts, bit for bit, and nothing else', () => {
    const body = JSON.parse(requestJson(request));
    assert.deepEqual(Object.keys(body).sort(), ['attn_mask', 'is_causal', 'key_padding_mask', 'need_weights', 'query',
        'query_offset']);
    assert.deepEqual(floats(body.query.data), request.query.data);
    assert.deepEqual(floats(body.attn_mask.data), request.attn_mask.data);
    assert.deepEqual([body.query.shape, body.query.dtype, body.key_padding_mask.dtype], [[2, 3], 'float32', 'bool']);
});

/* A curl that only says what it was given. */
const SHIM = 'curl() { for a; do printf "%s\\n" "$a"; done; cat; }\n';

test('the shell command gives curl the address and the body, whatever the model is called', () => {
    for (const model of HOSTILE.slice(1)) {
        const out = run('sh', [], SHIM + curlCommand('http://127.0.0.1:1', model, request)).split('\n');
        assert.equal(out[1], `http://127.0.0.1:1/attend/${encodeURIComponent(model)}`);
        assert.deepEqual(JSON.parse(out.slice(6).join('\n')), JSON.parse(requestJson(request)));
    }
});

/* Stands in for the client and for numpy; says what it was given. */
const CLIENT = `import sys, types, json, base64
numpy = types.SimpleNamespace(frombuffer=lambda data, dtype: types.SimpleNamespace(reshape=lambda shape: [dtype, shape,
    base64.b64encode(data).decode()]))
class Client:
    def __init__(self, url): self.url = url
    def attend(self, model, **fields):
        sys.stdout.write(json.dumps([self.url, model, fields])); sys.exit(0)
sys.modules["numpy"] = numpy
sys.modules["attend"] = types.SimpleNamespace(Client=Client)
`;

test('the program gives the client the same', () => {
    for (const model of HOSTILE.slice(1)) {
        const [url, name, fields] = JSON.parse(run('python3', ['-'], CLIENT + pythonProgram('http://127.0.0.1:1',
            model, request)));
        const { query, ...body } = JSON.parse(requestJson(request));
        assert.deepEqual([url, name, fields.query, fields.is_causal], ['http://127.0.0.1:1', model, ['float32', [2, 3],
            query.data], body.is_causal]);
        assert.deepEqual(Object.keys(fields), Object.keys({ query, ...body }));
    }
});
