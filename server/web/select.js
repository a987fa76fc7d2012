/* select.js: the one selection that all views share. Hovering previews a cell, locking keeps it. */

const CELLS_MOST = 400;

const same = (a, b) => a && b && a.i === b.i && a.j === b.j;

/** The cell that is spoken of: the one under the pointer, else the one locked last; null if there is none. */
export function chosen({ hover, cells, result }) {
    const cell = hover ?? cells.at(-1); /* it may be one of the result before, which was larger */
    return cell && result && cell.i < result.L && cell.j < result.keys ? cell : null;
}

/** The same for views that always show a row: without a cell the last query, which sees most keys. */
export function cursor(state) {
    return chosen(state) ?? { i: Math.max(0, (state.result?.L ?? 0) - 1), j: 0 };
}

/** Previews a cell, or none. */
export function preview(store, cell) {
    const { hover } = store.get();
    if (hover !== cell && !same(hover, cell))
        store.set({ hover: cell });
}

function rectangle(from, to) {
    const cells = [];
    for (let i = Math.min(from.i, to.i); i <= Math.max(from.i, to.i); i++)
        for (let j = Math.min(from.j, to.j); j <= Math.max(from.j, to.j) && cells.length < CELLS_MOST; j++)
            if (i !== to.i || j !== to.j)
                cells.push({ i, j });
    return [...cells, to];
}

/**
 * What a click on a cell does, or Enter. If clicks are for masking, "What if" is told. Else it locks the cell; with
 * `event.shiftKey` all up to it from the one before, with Ctrl it as well as the others, or no more.
 */
export function lock(store, cell, event = {}) {
    const { cells, clicks } = store.get(), last = cells.at(-1), there = cells.find((c) => same(c, cell));
    if (clicks !== 'choose')
        store.set({ clicked: { ...cell } });
    else if (event.shiftKey && last)
        store.set({ cells: event.type === 'keydown' ? [...cells.filter((c) => c !== there), cell]
            : rectangle(last, cell) });
    else if (event.ctrlKey || event.metaKey)
        store.set({ cells: there ? cells.filter((c) => c !== there) : [...cells, cell].slice(-CELLS_MOST) });
    else
        store.set({ cells: there && cells.length === 1 ? [] : [cell] });
}

/** Nothing is locked or previewed any more. */
export function free(store) {
    store.set({ hover: null, cells: [] });
}

/** What the pointer does in a view; `cellOf(event)` is the cell under it, or null. */
export function selectByPointer(store, element, cellOf) {
    element.addEventListener('click', (event) => cellOf(event) && lock(store, cellOf(event), event));
    element.addEventListener('pointermove', (event) => preview(store, cellOf(event)));
    element.addEventListener('pointerleave', () => preview(store, null));
}

/** The head after or before this one: 0 ... H - 1, mean, max, and again. */
export function stepHead(store, step) {
    const { result, head } = store.get();
    if (!result)
        return;
    const all = [...Array(result.H).keys(), 'mean', 'max'];
    store.set({ head: all[(Math.max(0, all.indexOf(head)) + step + all.length) % all.length] });
}

function moved(key, event, { i, j }, result, page) {
    const rows = result.L - 1, cols = result.keys - 1, far = event.ctrlKey || event.metaKey;
    switch (key) {
    case 'ArrowUp': return { i: far ? 0 : i - 1, j };
    case 'ArrowDown': return { i: far ? rows : i + 1, j };
    case 'ArrowLeft': return { i, j: far ? 0 : j - 1 };
    case 'ArrowRight': return { i, j: far ? cols : j + 1 };
    case 'PageUp': return { i: i - page, j };
    case 'PageDown': return { i: i + page, j };
    case 'Home': return { i: far ? 0 : i, j: 0 };
    case 'End': return { i: far ? rows : i, j: cols };
    default: return null;
    }
}

/** For which arrow the others stand where tokens are written in a line of their own. */
export const TURNED = {
    query: { ArrowLeft: 'ArrowUp', ArrowRight: 'ArrowDown' },
    key: { ArrowUp: 'ArrowLeft', ArrowDown: 'ArrowRight' },
    bars: { ArrowUp: 'ArrowLeft', ArrowDown: 'ArrowRight', ArrowLeft: 'ArrowUp', ArrowRight: 'ArrowDown' },
};

/**
 * What keys do to the selection in any view. True if this key did something. `turned` says for which key one stands.
 * @param {KeyboardEvent} event
 */
export function selectByKey(store, event, page = 10, turned = {}) {
    const state = store.get(), { result } = state;
    if (!result || event.altKey)
        return false;
    const limit = (n, count) => Math.max(0, Math.min(count - 1, n)), at = chosen(state) ?? { i: 0, j: 0 };
    const next = moved(turned[event.key] ?? event.key, event, at, result, page);
    const to = next && (chosen(state) ? next : at);
    if (to)
        preview(store, { i: limit(to.i, result.L), j: limit(to.j, result.keys) });
    else if (event.key === 'Enter' || event.key === ' ')
        lock(store, at, event);
    else if (event.key === 'Escape')
        free(store);
    else
        return false;
    event.preventDefault();
    return true;
}
