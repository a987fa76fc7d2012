/* bars.js: one row of weights as bars (or one column, when keys are looked at). Only the bars in sight are elements. */

import { cssColour, palette } from './colour.js';
import { onArrival } from './far.js';
import { bdi, make, shownLabels } from './labels.js';
import { largest } from './measure.js';
import { shortest } from './number.js';
import { REASONS } from './paint.js';
import { whileSeen } from './screen.js';
import { cursor, selectByKey, selectByPointer, TURNED } from './select.js';
import { paletteOf, scaleOf, shown } from './shown.js';
import { levelIn } from './strip.js';

const HIGH = 22;

class Bars {
    constructor(element, store) {
        this.store = store;
        this.title = make('h3');
        this.sorted = make('input', { type: 'checkbox' });
        this.list = make('div', { role: 'listbox', 'aria-label': 'Weights', tabindex: 0 });
        this.scroller = make('div', { class: 'bars' }, this.list);
        element.append(this.title, make('label', {}, this.sorted, ' Largest first'), this.scroller);
        const ask = whileSeen(element, store, (state) => this.render(state), () => this.list.replaceChildren());
        onArrival(ask);
        this.scroller.addEventListener('scroll', ask);
        this.sorted.addEventListener('change', ask);
        selectByPointer(store, this.list, (event) => this.cellOf(event));
        this.list.addEventListener('keydown', (event) => {
            this.follow = selectByKey(store, event, 10, this.ofRow ? TURNED.bars : {});
        });
    }

    get ofRow() {
        return this.store.get().direction !== 'key';
    }

    cellOf(event) {
        const n = event.target.closest('[data-n]')?.dataset.n, { i, j } = cursor(this.store.get());
        return n === undefined ? null : this.ofRow ? { i, j: Number(n) } : { i: Number(n), j };
    }

    render(state) {
        const map = shown(state), at = cursor(state), { result } = state;
        if (!map)
            return;
        const [queries, keys] = [shownLabels(result.queryLabels), shownLabels(result.keyLabels)];
        const [name, n, here, labels] = this.ofRow ? [queries[at.i], at.i, at.j, keys]
            : [keys[at.j], at.j, at.i, queries];
        const line = this.ofRow ? map.row(at.i) : map.column(at.j);
        this.title.replaceChildren(this.ofRow ? 'From query ' : 'To key ', bdi(name), ` (${n})`);
        if (!line)
            return;
        const order = this.sorted.checked ? largest(line, line.length) : line, place = this.sorted.checked
            ? order.indexOf(here) : here;
        this.list.style.height = `${order.length * HIGH}px`;
        const { scrollTop, clientHeight } = this.scroller, top = place * HIGH;
        if (this.follow || state.cells.at(-1) !== this.locked)
            this.scroller.scrollTop = Math.max(Math.min(scrollTop, top), top + HIGH - clientHeight);
        [this.follow, this.locked] = [false, state.cells.at(-1)];
        const first = Math.max(0, Math.floor(this.scroller.scrollTop / HIGH) - 2), bars = [];
        for (let p = first; p < Math.min(order.length, first + Math.ceil(clientHeight / HIGH) + 4); p++) {
            const m = this.sorted.checked ? order[p] : p, bar = this.bar(state, map, line, m, labels[m], this.ofRow
                ? map.reason(at.i, m) : map.reason(m, at.j));
            bar.setAttribute('aria-selected', String(m === here));
            bar.style.top = `${p * HIGH}px`;
            bars.push(bar);
        }
        this.list.replaceChildren(...bars);
    }

    bar(state, map, line, n, label, reason) {
        const fill = make('i'), scale = scaleOf(state), most = map.byRow ? Math.max(...line.map(Math.abs)) || 1
            : scale.most;
        fill.style.width = `${Math.min(1, Math.abs(line[n]) / most) * 100}%`;
        fill.style.background = cssColour(palette(paletteOf(state)), levelIn(state, map, line, n, scale));
        return make('div', { role: 'option', 'data-n': n, class: reason ? 'masked' : '' },
            bdi(label), make('span', {}, fill), make('b', {}, reason ? REASONS[reason] : shortest(line[n])));
    }
}

export function mount(element, store) {
    return new Bars(element, store);
}
