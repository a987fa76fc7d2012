/* history.js: the last runs: one shows again, or is subtracted from the one that is shown. */

import { bdi, button, make } from './labels.js';
import { comparable } from './shown.js';
import { replace } from './whatif.js';

/* Shows a run; what was chosen in one of another size is not chosen any more. */
function show(store, run) {
    const { result, compare, head, batch } = store.get(), fits = run.L === result?.L && run.keys === result?.keys;
    store.set({ result: run, compare: comparable(run, compare) ? compare : null, batch: Math.min(batch, run.B - 1),
        head: typeof head === 'number' ? Math.min(head, run.H - 1) : head,
        ...fits ? {} : { cells: [], hover: null, dropped: [], window: { row: 0, col: 0, zoom: 0 } } });
}

function item(store, run, { result, compare }) {
    const sizes = `${run.model ?? 'file'}, ${run.B > 1 ? `${run.B} × ` : ''}${run.H} heads, ${run.L} × ${run.keys}`;
    const title = button([bdi(run.title), ` (${sizes})`], () => show(store, run),
        { class: 'run', 'aria-current': run === result && 'true' });
    const minus = button('− this', () => store.set({ compare: compare === run ? null : run }), {
        'aria-label': `− this: subtract ${run.title}`, 'aria-pressed': String(compare === run),
        disabled: !comparable(result, run), title: 'Shows A − B, if both are of the same size' });
    return make('li', {}, title, minus);
}

function difference(store, { result, compare }) {
    return make('p', { class: 'badge' }, 'Shown is A − B: A is ', bdi(result.title), ', B is ', bdi(compare.title),
        '. Orange: more weight than in B; blue: less. ',
        button('Stop comparing', () => store.set({ compare: null })));
}

export function mount(element, store) {
    const render = (state) => replace(element, make('h2', {}, 'Runs'),
        comparable(state.result, state.compare) ? difference(store, state) : '',
        make('ol', { class: 'runs' }, ...state.runs.map((run) => item(store, run, state))));
    store.subscribe((state, before) => {
        if (['runs', 'result', 'compare'].some((name) => state[name] !== before[name]))
            render(state);
    });
    render(store.get());
}
