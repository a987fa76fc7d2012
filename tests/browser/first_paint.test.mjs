/* Point 1: an example has run as the page opens, there are more, and words become vectors by the model's rule. */

import assert from 'node:assert/strict';
import { coloursOf, example, readCell, runText, settle, tab, theMap, until } from './explorer.mjs';
import { origin, pageTest, setUp } from './harness.mjs';
import { requestOf } from './wire.mjs';

setUp();

pageTest('the page opens with a result that is drawn', {}, async (page) => {
    assert.match(await page.locator('#title').textContent(), /the cat sat on the mat/);
    assert.match(await page.locator('#sizes').textContent(), /patterns · 8 heads · 10 queries × 10 keys · causal/);
    await settle(page);
    assert.ok(await coloursOf(page) > 10, 'a map with several colours');
    assert.equal(await page.locator('#examples button[aria-pressed=true]').textContent(), 'Induction');
});

pageTest('every example runs, is drawn and says what there is to see', {}, async (page) => {
    const names = await page.locator('#examples button').allTextContents();
    assert.ok(names.length >= 8, `${names.length} examples`);
    const kinds = ['Causal', 'Padding', 'Cross-attention', 'Sink', 'Previous token', 'Induction', 'Local window',
        'Row without keys'];
    assert.deepEqual(kinds.filter((kind) => !names.includes(kind)), []);
    const sentences = new Set();
    for (const name of names) {
        await example(page, name);
        await tab(page, 'Matrix');
        await until(() => coloursOf(page), (count) => count > 5, `a drawing of ${name}`);
        const about = await page.locator('#about').textContent();
        assert.match(about, /^[A-Z0-9].{20,}\.$/, name);
        sentences.add(about);
        assert.equal(await page.locator('#wrong').textContent(), '');
    }
    assert.equal(sentences.size, names.length, 'each has a sentence of its own');
});

pageTest('examples show what they say', {}, async (page) => {
    const weightAt = async (i, j) => {
        await tab(page, 'Table');
        return Number(await page.locator(`#table tbody tr:nth-child(${i + 1}) td:nth-child(${j + 2})`).textContent());
    };
    await example(page, 'Previous token');
    assert.ok(await weightAt(5, 4) > 0.9);
    await example(page, 'Sink');
    assert.ok(await weightAt(7, 0) > 0.9);
    await example(page, 'Induction');
    assert.ok(await weightAt(4, 1) > 0.5, 'the second “the” looks at the “cat” after the first');
    await example(page, 'Row without keys');
    await tab(page, 'Table');
    assert.equal(await page.locator('#table tbody tr:nth-child(4) td').first().textContent(), 'row without keys');
    await example(page, 'Cross-attention');
    assert.match(await page.locator('#sizes').textContent(), /4 queries × 10 keys/);
});

/* The rule as GET /models/patterns words it, in plain integers. */
function vectorsBy(rule, tokens) {
    const { start, multiplier, modulus } = rule.hash, { length, below } = rule.code;
    const codeOf = (token) => {
        let x = BigInt(start);
        for (const byte of Buffer.from(token))
            x = (x + BigInt(byte)) * BigInt(multiplier) % BigInt(modulus);
        return Array.from({ length }, () => {
            x = x * BigInt(rule.code.multiplier) % BigInt(rule.code.modulus);
            return x < BigInt(below) ? 1 : -1;
        });
    };
    return tokens.map(codeOf);
}

pageTest('a typed sentence becomes vectors by the rule that the model states', {}, async (page) => {
    const { rule } = await (await fetch(`${origin()}/models/patterns`)).json();
    const answer = await runText(page, 'blue Blue größe blue');
    const { tensors: { query }, metadata } = requestOf(answer),
        codes = vectorsBy(rule, ['blue', 'Blue', 'größe', 'blue']);
    assert.equal(metadata.model, 'patterns');
    assert.deepEqual(query.shape.slice(-2), [4, rule.embed_dim]);
    const { from, to } = rule.vector.find((part) => part.kind === 'code' && part.of === 'token');
    codes.forEach((code, n) => assert.deepEqual([...query.data.subarray(n * rule.embed_dim + from, n * rule.embed_dim
        + to)],
        code, `token ${n}`));
    await theMap(page).focus();
    await page.keyboard.press('Control+End');
    await page.keyboard.press('Control+End');
    assert.equal((await readCell(page)).Query, 'blue #2 (3)');
});
