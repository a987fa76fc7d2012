/* strip.js: the tokens as text, coloured by their weights in the chosen row or column. */

import { cssColour, inkOn, level, palette } from './colour.js';
import { onArrival } from './far.js';
import { bdi, make, shownLabels } from './labels.js';
import { REASONS } from './paint.js';
import { whileSeen } from './screen.js';
import { cursor, selectByKey, selectByPointer, TURNED } from './select.js';
import { paletteOf, scaleOf, shown } from './shown.js';

const MOST = 150; /* tokens of each kind, in the page at a time */

/** Which colour number n of the chosen row (or column) has. */
export function levelIn(state, map, line, n, scale) {
    return level(scale, line[n] / map.topOf(state.direction === 'key' ? map.row(n) ?? [] : line));
}

class Strip {
    constructor(element, store, kind) {
        Object.assign(this, { store, kind, ofQueries: kind === 'query', title: make('h3') });
        this.box = make('div', { role: 'listbox', tabindex: 0, class: 'strip', 'aria-label': this.ofQueries ? 'Queries'
            : 'Keys' });
        element.append(this.title, this.box);
        const cellOf = (event) => {
            const n = event.target.closest('.token')?.id.split('-')[1], { i, j } = cursor(store.get());
            return n === undefined ? null : this.ofQueries ? { i: Number(n), j } : { i, j: Number(n) };
        };
        selectByPointer(store, this.box, cellOf);
        this.box.addEventListener('keydown', (event) => selectByKey(store, event, 10, TURNED[kind]));
    }

    render(state, map) {
        const at = cursor(state), { result } = state, labels = shownLabels(this.ofQueries ? result.queryLabels
            : result.keyLabels);
        const coloured = (state.direction === 'key') === this.ofQueries, here = this.ofQueries ? at.i : at.j;
        const line = !coloured ? null : this.ofQueries ? map.column(at.j) : map.row(at.i), tokens = [];
        const from = Math.max(0, Math.min(here - MOST / 2, labels.length - MOST)),
            to = Math.min(labels.length, from + MOST);
        for (let n = from; n < to; n++) {
            const span = make('span', { role: 'option', class: 'token', 'aria-selected': String(n === here),
                id: `${this.kind}-${n}` }, bdi(labels[n]));
            if (line)
                this.colour(span, state, map, line, n, this.ofQueries ? map.reason(n, at.j) : map.reason(at.i, n));
            tokens.push(span);
        }
        this.box.replaceChildren(...tokens);
        this.box.setAttribute('aria-activedescendant', `${this.kind}-${here}`);
        const part = to - from < labels.length ? `${from} to ${to - 1} of ` : '';
        this.title.textContent = `${this.ofQueries ? 'Queries' : 'Keys'} (${part}${labels.length}): `
            + (!coloured ? 'choose one' : this.ofQueries ? 'which attend to it' : 'what it attends to');
    }

    colour(span, state, map, line, n, reason) {
        if (reason !== 0) {
            span.classList.add('masked', `why${reason}`);
            span.title = REASONS[reason];
            return;
        }
        const rgb = palette(paletteOf(state)), l = levelIn(state, map, line, n, scaleOf(state));
        Object.assign(span.style, { background: cssColour(rgb, l), color: inkOn(rgb, l) });
        span.title = String(line[n]);
    }
}

export function mount(element, store) {
    const strips = [new Strip(element, store, 'query'), new Strip(element, store, 'key')];
    onArrival(whileSeen(element, store, (state) => {
        const map = shown(state);
        if (map)
            strips.forEach((strip) => strip.render(state, map));
    }, () => strips.forEach((strip) => strip.box.replaceChildren())));
}
