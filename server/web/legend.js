/* legend.js: what the colours mean, in numbers, and what is not coloured. */

import { cssColour, palette, place, ticks } from './colour.js';
import { badgeOf, factsFor } from './heads.js';
import { bdi, button, make, shownLabels } from './labels.js';
import { clipped, REASONS } from './paint.js';
import { whileSeen } from './screen.js';
import { paletteOf, scaleOf, shown } from './shown.js';

const SCOPES = { fixed: 'from 0 to 1', all: 'up to the largest of all heads', head: 'up to the largest of this head',
    row: 'as shares of the largest in each row' };

/** The words for a state's scale, as they stand in legend and pictures: "linear, up to the largest of this head". */
export function scaleWords(state) {
    const words = { linear: 'linear', sqrt: 'square root', log: 'logarithmic' }[scaleOf(state).kind];
    return `${words}, ${SCOPES[state.scope] ?? SCOPES.head}`;
}

function tickText(number) {
    return String(Number(number.toPrecision(3))).replace('e-', 'e−');
}

function bar(state, scale) {
    const rgb = palette(paletteOf(state)), stops = [];
    for (let n = 0; n < 256; n += 15)
        stops.push(cssColour(rgb, n));
    const ends = `Colours from ${tickText(scale.least)} to ${tickText(scale.most)}, ${scaleWords(state)}`;
    const box = make('div', { class: 'scale', role: 'img', 'aria-label': ends });
    const strip = make('i');
    strip.style.background = `linear-gradient(to right, ${stops.join(', ')})`;
    box.append(strip);
    for (const number of ticks({ ...scale }, 0.13)) {
        const tick = make('span', {}, tickText(number));
        tick.style.left = `${place(scale, number) * 100}%`;
        box.append(tick);
    }
    return box;
}

/* How many numbers of the map lie beyond the scale's ends, and are drawn like the ends. */
function beyond(map, scale) {
    const { smallest, largest } = map.extent(), count = { above: 0, below: 0 };
    if (!map.exact || map.byRow || (largest <= scale.most && smallest >= scale.least && !scale.signed))
        return count;
    for (const number of map.grid().data) {
        const clip = clipped(scale, number);
        count.above += clip > 0 ? 1 : 0;
        count.below += clip < 0 ? 1 : 0;
    }
    return count;
}

/** What the legend says in sentences. */
export function notesOf(state) {
    const map = shown(state), scale = scaleOf(state), { above, below } = beyond(map, scale), notes = [];
    if (map.signed)
        notes.push('Difference of two runs: A − B.');
    if (above > 0)
        notes.push(`${above} cells above ${tickText(scale.most)} are drawn like it, with a mark at the top.`);
    if (below > 0)
        notes.push(`${below} cells below ${tickText(scale.least)} are drawn like it, with a mark at the bottom.`);
    const badge = badgeOf(factsFor(state, map.head));
    if (badge)
        notes.push(`This head is ${badge}.`);
    if (!map.exact)
        notes.push('Too long to be fetched whole: the overview shows the largest weight of each block; '
            + 'single cells come when you zoom in.');
    return notes;
}

/** Which of the reasons for hatching there are in the map. */
export function reasonsIn(map) {
    if (!map.exact) {
        const some = [0, Math.floor(map.rows / 2), map.rows - 1].flatMap((i) =>
            [0, Math.floor(map.cols / 2), map.cols - 1].map((j) => map.reason(i, j)));
        return [...new Set(some)].filter(Boolean);
    }
    return map.kinds ??= [...new Set(map.reasons.level(0).data)].filter(Boolean);
}

export function mount(element, store) {
    whileSeen(element, store, (state, last) => {
        const map = shown(state);
        if (last && ['result', 'batch', 'head', 'palette', 'scale', 'scope', 'dropped', 'compare'].every((name) =>
            state[name] === last[name]))
            return;
        if (!map) {
            element.replaceChildren();
            return;
        }
        const swatches = reasonsIn(map).map((reason) => make('span', { class: 'swatch' },
            make('i', { class: `masked why${reason}` }), ` ${REASONS[reason]}`));
        const dropped = map.dropped.map((j) => button(['key ', bdi(shownLabels(state.result.keyLabels)[j]),
            ` (${j}) dropped, rows renormalised: bring back`], () => store.set({ dropped: store.get().dropped
            .filter((other) => other !== j) }, { undo: true })));
        element.replaceChildren(bar(state, scaleOf(state)),
            make('p', { class: 'note' }, `Weights: ${scaleWords(state)}. `, ...notesOf(state).join(' ')),
            ...swatches.length ? [make('p', {}, 'Not coloured: ', ...swatches)] : [], ...dropped);
    });
}
