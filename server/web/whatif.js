/* whatif.js: the same request with tokens or pairs masked, with or without causality, or at another temperature. */

import { atTemperature, bestSink, maskedScores } from './arithmetic.js';
import { bdi, button, make, shownLabels } from './labels.js';
import { NOTHING } from './link.js';
import { latest } from './result.js';
import { product } from './tensors.js';

/* The mask with `places` of each of its maps of `size` hidden; a new one if there was none. */
function hide(mask, shape, size, places) {
    const out = mask ? { ...mask, data: mask.data.slice() } : { shape, dtype: 'bool', data: new Uint8Array(product(shape)) };
    for (let from = 0; from < out.data.length; from += size)
        places.forEach((place) => out.data[from + place] = out.dtype === 'bool' ? 1 : -Infinity);
    return out;
}

/** The request with the edits of `what` on top of its own masks; but for the temperature, which is made in the page. */
export function edited(request, { batched, B, L, S }, what) {
    const out = { ...request }, keys = what.maskedKeys.filter((j) => j < S);
    const edges = what.maskedEdges.filter(([i, j]) => i < L && j < S);
    if (what.causal !== null)
        out.is_causal = what.causal;
    if (keys.length > 0)
        out.key_padding_mask = hide(request.key_padding_mask, batched ? [B, S] : [S], S, keys);
    if (edges.length > 0)
        out.attn_mask = hide(request.attn_mask, [L, S], L * S, edges.map(([i, j]) => i * S + j));
    return out;
}

function inWords(what, names) {
    return [...what.maskedKeys.map((j) => `without ${names[j] ?? j}`),
        ...what.maskedEdges.map(([i, j]) => `without ${i}→${j}`),
        what.causal === null ? '' : what.causal ? 'causal' : 'not causal',
        what.temperature === 1 ? '' : `temperature ${what.temperature}`].filter(Boolean).join(', ');
}

/** The result at another temperature: weights made here from the service's scores; what hangs on them is left out. */
export function heated(result, temperature) {
    const { B, H, L, keys, lse } = result, data = new Float32Array(B * H * L * keys);
    for (let head = 0; head < B * H; head++) {
        const rows = Array.from({ length: L }, (_, i) => ({ lse: lse.data[head * L + i],
            scores: maskedScores(result, Math.floor(head / H), head % H, i) }));
        const sink = result.description.sinks && !result.request.omit_extra ? bestSink(rows) : -Infinity;
        rows.forEach(({ scores }, i) => data.set(atTemperature(scores, sink, temperature), (head * L + i) * keys));
    }
    return Object.assign(Object.create(Object.getPrototypeOf(result)), result, { base: result, lse: null, entropy: null,
        stats: null, head_output: null, output: null, weights: { ...result.weights, data },
        made: `temperature ${temperature}` });
}

/** Shows a result that has the edits `what`, and puts it in front of the list of runs. */
export function showRun(store, result, what = NOTHING) {
    result.what = what;
    store.set({ result, what, runs: latest([result, ...store.get().runs.filter((run) => run !== result)]) },
        { undo: true });
}

/** The result before all edits. */
export const plainOf = (result) => result.base?.plain ?? result.plain ?? result.base ?? result;

const same = (a, b, more) => JSON.stringify({ ...NOTHING, ...a, ...more })
    === JSON.stringify({ ...NOTHING, ...b, ...more });

/** Runs the edits `what` of a result's own request, by default of the shown one's, and shows what comes. */
export async function runEdits(store, service, what, signal, shown = store.get().result) {
    const cold = shown.base ?? shown, plain = plainOf(shown), words = inWords(what, shownLabels(plain.keyLabels));
    let result = [plain, ...store.get().runs].find((run) => plainOf(run) === plain && same(run.what, what));
    if (!result) {
        result = same(what, cold.what, { temperature: 1 }) ? cold
            : await service.attend({ ...edited(plain.request, plain, what), model: plain.model,
                query_labels: plain.queryLabels, key_labels: plain.keyLabels }, { signal });
        if (result !== plain)
            result.plain = plain;
        if (what.temperature !== 1)
            result = heated(result, what.temperature);
        Object.assign(result, { title: words ? `${plain.title}: ${words}` : plain.title });
    }
    showRun(store, result, what);
}

const toggled = (list, one) => {
    const left = list.filter((other) => String(other) !== String(one));
    return left.length === list.length ? [...list, one] : left;
};

/** Puts new children into an element; what had the focus has it again. */
export function replace(element, ...children) {
    const all = () => [...element.querySelectorAll('button, select, input')];
    const at = all().indexOf(document.activeElement);
    element.replaceChildren(...children);
    all()[at]?.focus();
}

function choice(label, options, value, act) {
    const select = make('select', {}, ...options.map(([name, text]) =>
        make('option', { value: name, selected: name === value }, text)));
    select.addEventListener('change', () => act(select.value));
    return make('label', {}, `${label} `, select);
}

class Panel {
    constructor(element, store, service) {
        Object.assign(this, { store, service, wanted: null, running: null });
        this.body = make('div');
        this.live = make('p', { role: 'status' });
        element.append(make('h2', {}, 'What if'), this.body, this.live);
    }

    get what() {
        return this.wanted ?? this.store.get().what;
    }

    async edit(patch) {
        const running = new AbortController(), began = performance.now();
        this.running?.abort();
        [this.running, this.wanted] = [running, { ...this.what, ...patch }];
        try {
            await runEdits(this.store, this.service, this.wanted, running.signal);
            this.live.textContent = `Done in ${Math.round(performance.now() - began)} ms.`;
        } catch (problem) {
            if (running.signal.aborted)
                return;
            this.live.textContent = problem.message;
        }
        this.wanted = this.running = null;
        this.render(this.store.get());
    }

    toggle({ i, j }, kind) {
        this.edit(kind === 'key' ? { maskedKeys: toggled(this.what.maskedKeys, j) }
            : { maskedEdges: toggled(this.what.maskedEdges, [i, j]) });
    }

    follow(state, before) {
        const { clicked, clicks, result } = state;
        if (result !== before.result && result && !same(state.what, result.what))
            this.store.set({ what: result.what ?? NOTHING }); /* the edits are always those of the shown result */
        else if (clicked !== before.clicked) {
            if (clicked.j < result.S)
                this.toggle(clicked, clicks);
            else
                this.live.textContent = 'Nothing masks this key.';
        } else if (['result', 'what', 'cells'].some((name) => state[name] !== before[name]))
            this.render(state);
    }

    temperature({ result, what }) {
        const { scores, lse, pooled, request, description } = result.base ?? result;
        const off = !scores || !lse || !description || Boolean(pooled || (request.training && description.dropout));
        const input = make('input', { type: 'number', min: 0.05, max: 20, step: 0.05, disabled: off,
            value: what.temperature });
        input.addEventListener('change', () => input.value !== '' && input.checkValidity()
            && this.edit({ temperature: Number(input.value) }));
        return make('label', { title: off && 'It needs the scores of the whole map, without dropout' },
            'Temperature ', input);
    }

    render(state) {
        const { result, what, clicks } = state, cell = state.cells.at(-1);
        if (!result?.request || !this.service)
            return replace(this.body, make('p', {}, result ? 'Nothing can be run again here.' : ''));
        const key = (j) => ['key ', bdi(shownLabels(result.keyLabels)[j] ?? ''), ` (${j})`];
        const pair = (i, j) => `pair ${i} → ${j}`, row = (...children) => make('p', { class: 'row' }, ...children);
        const click = choice('A click', [['choose', 'chooses a cell'], ['key', 'masks the key'],
            ['pair', 'masks the pair']], clicks, (value) => this.store.set({ clicks: value }));
        const here = cell && cell.j < result.S ? [button(['Mask ', ...key(cell.j)], () => this.toggle(cell, 'key')),
            button(`Mask ${pair(cell.i, cell.j)}`, () => this.toggle(cell, 'pair'))] : [];
        const causal = choice('Causal', [['null', 'as in the request'], ['true', 'yes'], ['false', 'no']],
            String(what.causal), (value) => this.edit({ causal: JSON.parse(value) }));
        const masked = [...what.maskedKeys.map((j) => button(['Unmask ', ...key(j)], () => this.toggle({ j }, 'key'))),
            ...what.maskedEdges.map(([i, j]) => button(`Unmask ${pair(i, j)}`, () => this.toggle({ i, j }, 'pair')))];
        replace(this.body, row(click, ...here), row(causal, this.temperature(state)), row(...masked),
            row(button('Undo', () => this.store.undo(), { disabled: !this.store.canUndo() }),
                button('Back to the request', () => this.edit(NOTHING), { disabled: same(what, NOTHING) })),
            result.made ? make('p', { class: 'badge' },
                `Made in this page: ${result.made}. Weights are softmax((score + mask) / temperature) of`
                + ' the service\'s scores; there is no output.') : '');
    }
}

/** @param {object|null} service null in an exported page */
export function mount(element, store, service) {
    const panel = new Panel(element, store, service);
    store.subscribe((state, before) => panel.follow(state, before));
    panel.render(store.get());
}
