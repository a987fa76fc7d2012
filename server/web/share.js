/* share.js: keeps the address in step with what is looked at, so that it can be sent, and so that "back" goes back. */

import { packInput, readLink, unpackInput, VIEWED, writeLink } from './link.js';
import { plainOf, runEdits } from './whatif.js';

const WAIT = 250; /* milliseconds without a change before the address follows */
const STEPS = ['tab', 'batch', 'head', 'direction', 'cells', 'result']; /* "back" goes from one to the next of these */

const packs = new WeakMap(), results = new Map(); /* a request's packed text; a packed text's result */
let defaults = {}, follow = null;

async function inputOf({ result }) {
    const plain = result && plainOf(result);
    if (!plain?.request)
        return null;
    const { request, queryLabels, keyLabels, seed, model } = plain;
    if (!packs.has(request))
        packs.set(request, await packInput({ ...request, model, query_labels: queryLabels, key_labels: keyLabels,
            ...seed === null ? {} : { seed: Number(seed) } }));
    results.set(packs.get(request), plain);
    return packs.get(request);
}

/** The fragment for a state's view, without the input. */
export const viewFragment = (state) => writeLink(state, defaults);

/** The address to send, without the name of a kept result; `whole`: does it have the input? */
export async function address(state) {
    const input = await inputOf(state);
    return { link: `${location.origin}/#${writeLink(state, defaults, input)}`, whole: input !== null };
}

/* Shows what the address says; true if it has an input. Throws what the service or unpackInput() has against it. */
async function restore(store, service) {
    const { view, what, input } = readLink(location.hash), patch = { ...defaults, ...view };
    store.set(patch);
    let plain = input === null ? store.get().result : results.get(input);
    if (input !== null && !plain) {
        const request = await unpackInput(input), title = request.query_labels?.join(' ').slice(0, 60);
        plain = await service.attend(request, { title: title ?? 'The input of the address' });
    }
    if (plain?.request)
        await runEdits(store, service, what, undefined, plain);
    store.set(patch);
    return input !== null;
}

/**
 * Follows the address, and lets it follow. To be called before the first run.
 * @returns {Promise<boolean>} whether the address brought an input, which is shown then
 */
export async function start(store, service) {
    if (follow === null) {
        const state = store.get();
        defaults = Object.fromEntries(VIEWED.map((name) => [name, state[name]]));
        follow = listen(store, service);
    }
    return follow();
}

/* Lets the address follow the state; returns what makes the state follow the address. */
function listen(store, service) {
    let timer = 0, busy = true, before = store.get(), late = null;
    const go = async () => {
        busy = true;
        try {
            return await restore(store, service);
        } catch (problem) {
            late = problem.error ? problem : { error: problem.message, code: 'bad_link', status: 0 };
            store.set({ problem: late });
            return false;
        } finally {
            before = store.get();
            busy = false;
        }
    };
    const write = async () => {
        const now = store.get(), fragment = writeLink(now, defaults, await inputOf(now));
        if (busy || now !== store.get() || fragment === location.hash.slice(1))
            return;
        const step = before.result && STEPS.some((name) => now[name] !== before[name]);
        history[step ? 'pushState' : 'replaceState'](null, '', `#${fragment}`);
        before = now;
    };
    store.subscribe((now, old) => {
        clearTimeout(timer);
        if (late && now.result && !old.result) /* what is shown instead does not hide what was wrong */
            store.set({ problem: late });
        if (!busy && now.result)
            timer = setTimeout(write, WAIT);
    });
    addEventListener('popstate', go);
    return go;
}
