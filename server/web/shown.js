/* shown.js: the map that a state shows: one head, or the mean or largest of all, of one batch entry; with keys dropped,
 * or as the difference from another result. All views read from it, so that they cannot differ. */

import { colourScale } from './colour.js';
import { FarShown } from './far.js';
import { extentOf, Shown } from './near.js';

const CACHED = 64, CACHED_LARGE = 12, LARGE = 1 << 20;

const cache = new Map(), names = new WeakMap();
let named = 0;

function nameOf(object) {
    if (object === null)
        return '';
    if (!names.has(object))
        names.set(object, ++named);
    return names.get(object);
}

/** Can B be subtracted from A? */
export function comparable(a, b) {
    return Boolean(a && b && a !== b && a.L === b.L && a.keys === b.keys && a.H === b.H && a.B === b.B
        && !a.pooled && !b.pooled && a.weights && b.weights);
}

/**
 * The map of a result's head; the same object as long as nothing about it changes.
 * @param {object} state
 * @param {number|'mean'|'max'} head
 */
export function shownOf(state, head) {
    const { result } = state;
    if (!result || !result.weights || result.L === 0 || result.keys === 0)
        return null;
    const what = { result, batch: Math.min(state.batch, result.B - 1), head: typeof head === 'number'
        ? Math.min(head, result.H - 1) : head,
        dropped: result.pooled ? [] : state.dropped.filter((j) => j < result.keys),
        other: comparable(result, state.compare) ? state.compare : null, byRow: state.scope === 'row' };
    const key = [nameOf(result), what.batch, what.head, what.dropped, nameOf(what.other), what.byRow].join('|');
    const shown = cache.get(key) ?? (result.pooled ? new FarShown({ ...what, key }) : new Shown({ ...what, key }));
    cache.delete(key); /* to the end: the last one used is the last one to go */
    cache.set(key, shown);
    const most = result.L * result.keys > LARGE ? CACHED_LARGE : CACHED;
    for (const old of cache.keys())
        if (cache.size > most)
            cache.delete(old);
    return shown;
}

/** "head 3: first token", or "mean of heads". */
export function headName(result, head) {
    const name = result.description?.heads?.[head]?.name;
    return typeof head === 'number' ? `head ${head}${name ? `: ${name.replaceAll('_', ' ')}` : ''}`
        : `${head} of heads`;
}

/** The map that the state has chosen, or null if there is none. */
export function shown(state) {
    return shownOf(state, state.head);
}

function makeScale(state, map) {
    const kind = state.scale;
    if (state.scope === 'fixed')
        return colourScale(kind, 0, 1, map.signed);
    if (state.scope === 'row') {
        const { smallest, largest } = map.extent();
        return colourScale(kind, largest > 0 ? smallest / largest : 0, 1, map.signed);
    }
    let extent = map.extent();
    for (let h = 0; state.scope === 'all' && h < map.result.H; h++) {
        const { smallest, largest } = shownOf(state, h).extent();
        extent = extentOf([smallest, largest], extent);
    }
    return colourScale(kind, extent.smallest, extent.largest, map.signed);
}

let latest = {};

/** The scale for its colours. */
export function scaleOf(state) {
    const map = shown(state), name = [map?.key, state.scale, state.scope].join('|');
    if (name !== latest.name)
        latest = { name, scale: map ? makeScale(state, map) : colourScale(state.scale, 0, 1) };
    return latest.scale;
}

/** The palette for it. */
export function paletteOf(state) {
    return shown(state)?.signed ? 'diverging' : state.palette;
}
