/* controls.js: which map is shown, and how. */

import { button, make, optionsOf } from './labels.js';
import { whileSeen } from './screen.js';
import { headName } from './shown.js';

const CHOICES = {
    direction: ['Read', [['query', 'query → key (a row)'], ['key', 'key → query (a column)']]],
    palette: ['Colours', [['cividis', 'cividis'], ['viridis', 'viridis'], ['grey', 'grey']]],
    scale: ['Scale', [['linear', 'linear'], ['sqrt', 'square root'], ['log', 'logarithmic']]],
    scope: ['Range', [['fixed', '0 to 1'], ['all', 'all heads'], ['head', 'this head'], ['row', 'each row']]],
};

export function mount(element, store) {
    const selects = {};
    for (const name of ['batch', 'head', ...Object.keys(CHOICES)]) {
        const [title, options] = CHOICES[name] ?? [name === 'head' ? 'Head' : 'Batch entry', []];
        const select = make('select', { name }, ...optionsOf(options));
        select.addEventListener('change', () => store.set({ [name]: /^\d+$/.test(select.value) ? Number(select.value)
            : select.value }));
        selects[name] = select;
        element.append(make('label', {}, `${title} `, select));
    }
    const drop = button('', () => {
        const { dropped, cells } = store.get(), j = cells.at(-1)?.j ?? 0;
        store.set({ dropped: dropped.includes(j) ? dropped.filter((other) => other !== j) : [...dropped, j] },
            { undo: true });
    }, { title: 'Leaves the key out, as of an attention sink, and renormalises the rows' });
    element.append(drop);
    let counts = '';
    whileSeen(element, store, (state) => {
        const { result } = state, next = `${result?.model} ${result?.H} ${result?.B}`;
        const fill = (name, options) => selects[name].replaceChildren(...optionsOf(options));
        if (next !== counts) {
            fill('head', result ? [...Array(result.H).keys(), 'mean', 'max'].map((head) =>
                [head, headName(result, head)]) : []);
            fill('batch', Array.from({ length: result?.B ?? 0 }, (_, n) => [n, `entry ${n}`]));
            counts = next;
        }
        for (const [name, select] of Object.entries(selects))
            select.value = String(state[name]);
        selects.batch.parentNode.hidden = (result?.B ?? 1) < 2;
        selects.head.parentNode.hidden = !result;
        const j = state.cells.at(-1)?.j ?? 0, text = state.dropped.includes(j) ? `Bring key ${j} back`
            : `Drop key ${j}`;
        if (drop.textContent !== text)
            drop.textContent = text;
        drop.disabled = !result || Boolean(result.pooled);
    });
}
