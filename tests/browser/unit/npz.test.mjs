/* .npz files, as NumPy writes them. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { readFiles } from '../../../server/web/compose.js';
import { readNpz } from '../../../server/web/npz.js';

const PYTHON = resolve(process.env.BUILD ?? 'build', 'browser/venv/bin/python'), FOLDER = mkdtempSync(join(tmpdir(), 'npz-'));
after(() => rmSync(FOLDER, { recursive: true }));

/* What Python writes to `path`, with numpy as np and a zip file's module; its arrays are then read as JSON. */
function numpy(program) {
    const path = join(FOLDER, 'x.npz'), head = 'import io, json, sys, zipfile\nimport numpy as np\npath = sys.argv[1]\n';
    execFileSync(PYTHON, ['-c', head + program, path]);
    return new Uint8Array(readFileSync(path));
}

const ARRAYS = `
x = np.arange(24, dtype="f4").reshape(2, 3, 4) / 7
arrays = dict(query=x, key=np.asfortranarray(x.astype("f8")), half=x.astype("f2"), mask=x > 1, big=x.astype(">f4"), empty=x[:0],
              one=np.float32(0.1), yes=np.bool_(True), no=np.bool_(False), name=np.str_("minilm.3"),
              words=np.array(["a", "", "\\u6771\\U0001f600"]), batch=np.array([["p", "q"]]), table=np.array([["p"], ["q"]]), big_words=np.array(["xy"]).astype(">U2"))
`;

for (const save of ['savez', 'savez_compressed'])
    test(`np.${save}: every array and its numbers`, async () => {
        const { words, batch, table, one, yes, no, name, big_words: big, ...tensors } = await readNpz(numpy(`${ARRAYS}np.${save}(path, **arrays)`));
        const want = Float32Array.from({ length: 24 }, (_, n) => n / 7);
        assert.deepEqual(tensors.query, { shape: [2, 3, 4], dtype: 'float32', data: want });
        assert.deepEqual(tensors.big, tensors.query);
        assert.deepEqual(tensors.key.shape, [2, 3, 4]);
        assert.deepEqual(tensors.key.data, want, 'float64 in Fortran order');
        assert.ok(tensors.half.data.every((x, n) => Math.abs(x - want[n]) < 2e-3));
        assert.deepEqual(tensors.mask, { shape: [2, 3, 4], dtype: 'bool', data: Uint8Array.from(want, (x) => x > 1 ? 1 : 0) });
        assert.deepEqual(tensors.empty.shape, [0, 3, 4]);
        assert.deepEqual({ one, yes, no, name }, { one: Math.fround(0.1), yes: true, no: false, name: 'minilm.3' });
        assert.deepEqual({ words, batch, table, big }, { words: ['a', '', '\u6771\u{1f600}'], batch: ['p', 'q'], table: undefined, big: ['xy'] });
    });

test('what ZIP allows beside: a comment, other files, folders, bytes anywhere in a buffer', async () => {
    const bytes = numpy(`
one = io.BytesIO()
np.save(one, np.arange(3, dtype="f4"))
with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("read me.txt", "PK\\x05\\x06 is no end")
    archive.writestr("inner/a.npy", one.getvalue(), zipfile.ZIP_DEFLATED)
    archive.comment = b"x" * 300
`), moved = new Uint8Array(bytes.length + 9);
    moved.set(bytes, 3);
    assert.deepEqual(await readNpz(moved.subarray(3, 3 + bytes.length)), { 'inner/a': { shape: [3], dtype: 'float32', data: Float32Array.of(0, 1, 2) } });
});

test('files that cannot be read are refused with a sentence', async () => {
    const refused = (bytes, pattern) => assert.rejects(readNpz(bytes), pattern);
    const good = numpy('np.savez_compressed(path, a=np.arange(50, dtype="f4"), b=np.zeros(3))');
    for (let length = 0; length < good.length; length++)
        await refused(good.subarray(0, length), /^Error: This .npz file is damaged, or none\.$/);
    for (let at = 60; at < 200; at += 7) { /* within the bytes of the first array */
        const bad = good.slice();
        bad[at] ^= 16;
        await refused(bad, /^Error: In this .npz file a.npy cannot be read: its bytes are damaged or packed in an unusual way\.$/);
    }
    const stored = numpy('np.savez(path, a=np.arange(50, dtype="f4"))'), place = stored.findIndex((_, n) => n > 180 && stored[n] !== 0);
    stored[place] ^= 1;
    await refused(stored, /a.npy cannot be read: its bytes are damaged/);
    await refused(numpy('np.savez(path, a=np.array([{}], dtype=object))'), /a.npy cannot be read: This .npy file holds '\|O', not numbers/);
    await refused(numpy('np.savez(path, a=np.ones(2, complex))'), /holds '<c16', not numbers/);
    await refused(numpy('np.savez(path)'), /^Error: This archive holds no arrays of NumPy, but nothing\.$/);
    await refused(numpy('zipfile.ZipFile(path, "w").writestr("archive/data.pkl", "x")'), /no arrays of NumPy, but archive\/data.pkl\.$/);
    await refused(numpy('zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA).writestr("a.npy", b"x" * 99)'), /packed in an unusual way/);
    for (const junk of ['', 'junk', 'PK\x03\x04junk'])
        await refused(new TextEncoder().encode(junk), /damaged, or none/);
});

/* A file that is dropped. */
const file = (name, bytes) => new File([bytes], name);

test('a dropped file is told by its bytes or its name, and is never text', async () => {
    const bytes = numpy('np.savez(path, query=np.ones((2, 3)), labels=np.array(["a", "b"]), is_causal=True)');
    for (const name of ['x.npz', 'x.zip', 'x', 'x.txt']) {
        const { text, found } = await readFiles([file(name, bytes)], 3);
        assert.equal(text, undefined);
        assert.deepEqual(found.fields.query.shape, [2, 3]);
        assert.deepEqual([found.fields.query_labels, found.fields.is_causal, 'labels' in found.fields], [['a', 'b'], true, false]);
    }
    await assert.rejects(readFiles([file('x.npz', 'words and words')], 3), { message: 'This .npz file is damaged, or none.', file: 'x.npz' });
    await assert.rejects(readFiles([file('x.bin', Uint8Array.of(72, 0, 105, 0))], 3), /This is no text, and no file of tensors/);
    const { text } = await readFiles([file('x.txt', 'PK is a word')], 3);
    assert.equal(text, 'PK is a word');
});
