/* lines.js: two columns of tokens, and lines between them that are the stronger the larger the weight. */

import { cssColour, palette, place } from './colour.js';
import { onArrival } from './far.js';
import { directionOf, elide, make, shownLabels } from './labels.js';
import { largest } from './measure.js';
import { sharp, themeOf } from './screen.js';
import { chosen, selectByKey, selectByPointer } from './select.js';
import { scaleOf, shown } from './shown.js';

const HIGH = 20, LABEL = 130, EACH = 12, FAINT = 0.02;

class Lines {
    constructor(element, store) {
        this.store = store;
        this.canvas = make('canvas', { tabindex: 0, role: 'application', 'aria-roledescription': 'lines between tokens',
            'aria-label': 'Queries on the left, keys on the right' });
        this.space = make('div', {}, this.canvas);
        this.box = make('div', { class: 'lines' }, this.space);
        this.note = make('p', { class: 'note' });
        element.append(this.box, this.note);
        const ask = sharp(this.canvas, (...screen) => this.draw(...screen));
        store.subscribe(ask);
        onArrival(ask);
        this.box.addEventListener('scroll', ask);
        selectByPointer(store, this.canvas, (event) => this.cellAt(event));
        this.canvas.addEventListener('keydown', (event) => selectByKey(store, event));
    }

    /* The token under the pointer; with it its strongest partner, or the one locked. */
    cellAt(event) {
        const map = shown(this.store.get()), n = Math.floor((event.offsetY + this.box.scrollTop) / HIGH);
        if (!map)
            return null;
        const query = event.offsetX < this.canvas.clientWidth / 2, line = n < (query ? map.rows : map.cols)
            && (query ? map.row(n) : map.column(n));
        const other = line ? largest(line, 1)[0] ?? 0 : 0;
        return !line ? null : query ? { i: n, j: other } : { i: other, j: n };
    }

    draw(context, width, height) {
        const state = this.store.get(), map = shown(state), theme = this.theme = themeOf(this.canvas);
        context.fillStyle = theme.paper;
        context.fillRect(0, 0, width, height);
        if (!map)
            return;
        this.space.style.height = `${Math.max(map.rows, map.cols) * HIGH}px`;
        this.canvas.style.height = `${Math.min(520, Math.max(map.rows, map.cols) * HIGH)}px`;
        this.bringIntoSight(state, height);
        const first = Math.floor(this.box.scrollTop / HIGH),
            last = Math.min(map.rows, first + Math.ceil(height / HIGH) + 1);
        const cell = chosen(state), byKey = state.direction === 'key', scale = scaleOf(state);
        const y = (n) => (n + 0.5) * HIGH - this.box.scrollTop, left = Math.min(LABEL, width * 0.3),
            right = width - left;
        const line = (i, j, weight, strong) => this.line(context, map.signed, place(scale, weight), strong,
            strong ? 1 : cell ? 0.15 : 0.7, left, right, y(i), y(j));
        for (let i = first; i < last; i++) {
            const row = map.exact ? map.row(i) : null;
            if (row)
                for (const j of largest(row, EACH))
                    line(i, j, row[j], false);
        }
        const all = cell && (byKey ? map.column(cell.j) : map.row(cell.i));
        for (const n of all ? largest(all, 200) : [])
            line(byKey ? n : cell.i, byKey ? cell.j : n, all[n], true);
        context.globalAlpha = 1;
        this.write(context, shownLabels(state.result.queryLabels), first, left, y, cell?.i, true, width);
        this.write(context, shownLabels(state.result.keyLabels), first, left, y, cell?.j, false, width);
        const text = `The ${EACH} strongest lines of each query in sight; `
            + `all of the chosen ${byKey ? 'key' : 'query'}, up to 200.`;
        if (this.note.textContent !== text)
            this.note.textContent = text;
    }

    /* One line; `at` is the place of its weight along the scale. */
    line(context, signed, at, strong, alpha, left, right, from, to) {
        const share = signed ? Math.abs(2 * at - 1) : at, middle = (left + right) / 2;
        if (share < FAINT && !strong)
            return;
        Object.assign(context, { lineCap: 'round', lineWidth: 1 + 3 * share,
            globalAlpha: Math.min(1, (strong ? 0.15 : 0) + share) * alpha,
            strokeStyle: signed ? cssColour(palette('diverging'), at < 0.5 ? 20 : 235)
                : strong ? this.theme.accent : this.theme.ink });
        context.beginPath();
        context.moveTo(left, from);
        context.bezierCurveTo(middle, from, middle, to, right, to);
        context.stroke();
    }

    /* What was locked elsewhere is to be found here. */
    bringIntoSight({ cells, direction }, height) {
        const cell = cells.at(-1), y = cell && (direction === 'key' ? cell.j : cell.i) * HIGH, { scrollTop } = this.box;
        if (cell && cell !== this.locked && (y < scrollTop || y + HIGH > scrollTop + height))
            this.box.scrollTop = y - height / 2;
        this.locked = cell;
    }

    write(context, labels, first, left, y, at, query, width) {
        const { theme } = this;
        const last = Math.min(labels.length, first + Math.ceil(this.canvas.clientHeight / HIGH) + 1);
        Object.assign(context, { font: theme.font, textBaseline: 'middle', textAlign: query ? 'right' : 'left' });
        for (let n = first; n < last; n++) {
            const text = elide(labels[n], left - 10, (t) => context.measureText(t).width);
            Object.assign(context, { direction: directionOf(text), fillStyle: n === at ? theme.accent : theme.ink });
            context.fillText(text, query ? left - 6 : width - left + 6, y(n));
        }
    }
}

export function mount(element, store) {
    return new Lines(element, store);
}
