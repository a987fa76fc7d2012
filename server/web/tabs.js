/* tabs.js: which view is open. */

import { make } from './labels.js';

const TABS = { matrix: 'Matrix', heads: 'All heads', lines: 'Lines', text: 'Text', row: 'One row', table: 'Table', steps: 'Steps' };
const MOVES = { ArrowRight: 1, ArrowLeft: -1 };

export function mount(element, store) {
    const names = Object.keys(TABS), tabs = names.map((name) => make('button', { type: 'button', role: 'tab', id: `tab-${name}`,
        'aria-controls': name }, TABS[name]));
    const open = (name) => store.set({ tab: name });
    tabs.forEach((tab, n) => tab.addEventListener('click', () => open(names[n])));
    element.append(...tabs);
    element.addEventListener('keydown', (event) => {
        const at = names.indexOf(store.get().tab), last = names.length - 1;
        const to = event.key === 'Home' ? 0 : event.key === 'End' ? last : at + MOVES[event.key];
        if (Number.isNaN(to))
            return;
        event.preventDefault();
        const next = (to + names.length) % names.length;
        open(names[next]);
        tabs[next].focus();
    });
    const show = ({ tab }) => names.forEach((name, n) => {
        tabs[n].setAttribute('aria-selected', String(name === tab));
        tabs[n].tabIndex = name === tab ? 0 : -1;
        document.getElementById(name).hidden = name !== tab;
    });
    store.subscribe((state, before) => state.tab !== before.tab && show(state));
    show(store.get());
}
