/* table.js: what the map shows in its window, as a table that can be read out. */

import { onArrival } from './far.js';
import { bdi, button, make, shownLabels, wide } from './labels.js';
import { shortest } from './number.js';
import { REASONS } from './paint.js';
import { whileSeen } from './screen.js';
import { shown } from './shown.js';

const ROWS = 16, COLS = 10;

function render(state, table) {
    const map = shown(state), { result, window: view, cells } = state;
    if (!map)
        return;
    const i0 = Math.min(Math.floor(view.row), map.rows - 1), i1 = Math.min(map.rows, i0 + ROWS);
    const j0 = Math.min(Math.floor(view.col), map.cols - 1), j1 = Math.min(map.cols, j0 + COLS);
    const [queries, keys] = [shownLabels(result.queryLabels), shownLabels(result.keyLabels)];
    const th = (scope, label, n) => make('th', { scope }, bdi(label), label === String(n) ? '' : ` (${n})`);
    const head = make('tr', {}, make('td', {}, 'query \\ key')), body = make('tbody');
    for (let j = j0; j < j1; j++)
        head.append(th('col', keys[j], j));
    for (let i = i0; i < i1; i++) {
        const row = map.row(i), line = make('tr', {}, th('row', queries[i], i));
        for (let j = j0; j < j1; j++) {
            const reason = map.reason(i, j), locked = cells.some((cell) => cell.i === i && cell.j === j);
            line.append(make('td', { class: reason ? 'masked' : locked ? 'locked' : false },
                reason ? REASONS[reason] : row ? shortest(row[j]) : '…'));
        }
        body.append(line);
    }
    const part = `Queries ${i0} to ${i1 - 1} of ${map.rows}, keys ${j0} to ${j1 - 1} of ${map.cols}`;
    table.replaceChildren(make('caption', {}, part), make('thead', {}, head), body);
}

/** Puts the table into the element, with buttons that move its window, which is the map's. */
export function mount(element, store) {
    const table = make('table', { class: 'weights' }), buttons = make('p', { class: 'row' });
    const go = (rows, cols) => {
        const { window: view, result } = store.get(), limit = (n, most) => Math.max(0, Math.min(n, most - 1));
        store.set({ window: { zoom: view.zoom, row: limit(Math.floor(view.row + rows), result.L),
            col: limit(Math.floor(view.col + cols), result.keys) } });
    };
    for (const [text, rows, cols] of [['Rows above', -ROWS, 0], ['Rows below', ROWS, 0], ['Columns before', 0, -COLS],
        ['Columns after', 0, COLS]])
        buttons.append(button(text, () => go(rows, cols)));
    element.append(buttons, wide('Table of weights', table));
    onArrival(whileSeen(element, store, (state) => render(state, table), () => table.replaceChildren()));
}
