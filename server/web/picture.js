/* picture.js: what is seen, as a drawing: the map's window, all heads, the lines, or one row as bars. */

import { cssColour, level, palette, place, ticks } from './colour.js';
import { badgeOf, factsFor } from './heads.js';
import { elide, every, shownLabels } from './labels.js';
import { notesOf, reasonsIn, scaleWords } from './legend.js';
import { largest } from './measure.js';
import { shortest } from './number.js';
import { packedPalette, paintTile, poolingAt, REASONS, TILE } from './paint.js';
import { pixelOf } from './screen.js';
import { paletteOf, scaleOf, shown, shownOf } from './shown.js';

const ACCENT = '#0b57d0', LABEL = 130, LINE = 16, LISTED = 100, PANEL = 180, MAP_MOST = 1200, CELL_MOST = 32;
const MARGIN = 20;

const widthOf = (words) => [...words].length * 7.5;

const text = (x, y, words, more) => ({ kind: 'text', x, y, text: words, ...more });

const label = (x, y, words, more) => text(x, y, elide(words, LABEL, widthOf), more);

/* The cells [i0, i1) x [j0, j1) of a map, `size` units a cell, as an image with `factor` pixels a unit. */
function mapImage(state, map, x, y, [i0, i1, j0, j1], size, factor) {
    const canvas = document.createElement('canvas'), context = canvas.getContext('2d');
    const pixels = new ImageData(TILE, TILE), words = new Uint32Array(pixels.data.buffer);
    const job = { source: map, size: size * factor, ratio: factor, scale: scaleOf(state), grid: pixelOf('#fff'),
        mark: pixelOf('#e8432e'), colours: packedPalette(palette(paletteOf(state))), hatch: pixelOf('#8a8d98'),
        ground: pixelOf('#eeeef0') };
    Object.assign(canvas, { width: Math.ceil((j1 - j0) * job.size), height: Math.ceil((i1 - i0) * job.size) });
    for (let top = 0; top < canvas.height; top += TILE)
        for (let left = 0; left < canvas.width; left += TILE) {
            paintTile(words, { ...job, x: Math.round(j0 * job.size) + left, y: Math.round(i0 * job.size) + top });
            context.putImageData(pixels, left, top);
        }
    return { kind: 'image', x, y, w: (j1 - j0) * size, h: (i1 - i0) * size, canvas };
}

/* What the matrix shows, or all of it if it has not been shown. */
function windowOf({ rows, cols }) {
    const seen = document.querySelector('#matrix canvas')?.dataset.seen, all = [0, rows, 0, cols];
    const [i0, i1, j0, j1] = seen?.split(' ').map(Number) ?? all;
    return i0 < rows && j0 < cols ? [i0, Math.min(i1, rows), j0, Math.min(j1, cols)] : all;
}

const labelsOf = ({ result }) => [shownLabels(result.queryLabels), shownLabels(result.keyLabels)];

const roomFor = (names) => Math.min(LABEL, names.reduce((most, name) => Math.max(most, widthOf(name)), 0)) + 8;

const range = (from, to, step = 1) => Array.from({ length: to - from }, (_, n) => from + n)
    .filter((n) => n % step === 0);

function ofMap(state, x, y, factor) {
    const map = shown(state), seen = windowOf(map), [i0, i1, j0, j1] = seen, [queries, keys] = labelsOf(state);
    const size = Math.min(CELL_MOST, MAP_MOST / Math.max(i1 - i0, j1 - j0)), step = every(size, LINE);
    const left = x + roomFor(queries.slice(i0, i1)), top = y + roomFor(keys.slice(j0, j1));
    const image = mapImage(state, map, left, top, seen, size, factor), k = 2 ** poolingAt(size * factor);
    const atY = (i) => top + (i - i0) * size, atX = (j) => left + (j - j0) * size;
    const marks = state.cells.filter(({ i, j }) => i >= i0 && i < i1 && j >= j0 && j < j1)
        .map(({ i, j }) => ({ kind: 'rect', x: atX(j), y: atY(i), w: size, h: size, stroke: ACCENT }));
    const part = i1 - i0 < map.rows || j1 - j0 < map.cols;
    return { width: left + image.w - x, height: top + image.h - y, shapes: [image, ...marks,
        ...range(i0, i1, step).map((i) => label(left - 5, atY(i + 0.5) + 4, queries[i], { anchor: 'end' })),
        ...range(j0, j1, step).map((j) => label(atX(j + 0.5) + 4, top - 5, keys[j], { turn: -90 }))],
    notes: [step > 1 && `One label of ${step} is shown.`, k > 1 && `Each cell drawn is the max of ${k} × ${k}.`,
        part && `Queries ${i0} to ${i1 - 1} of ${map.rows}, keys ${j0} to ${j1 - 1} of ${map.cols}.`] };
}

function ofHeads(state, x, y, factor) {
    const { H } = state.result, columns = Math.min(4, H), each = PANEL + 20;
    const shapes = range(0, H).flatMap((h) => {
        const map = shownOf(state, h), size = PANEL / Math.max(map.rows, map.cols);
        const left = x + h % columns * each, top = y + Math.floor(h / columns) * (each + 20);
        const name = `head ${h}${badgeOf(factsFor(state, h)) ? ' (near uniform)' : ''}`;
        return [text(left, top + 12, name, { bold: h === state.head }),
            mapImage(state, map, left, top + 18, [0, map.rows, 0, map.cols], size, factor)];
    });
    return { shapes, width: columns * each, height: Math.ceil(H / columns) * (each + 20), notes: [] };
}

function ofLines(state, x, y) {
    const map = shown(state), scale = scaleOf(state), chosen = state.cells.at(-1), [queries, keys] = labelsOf(state);
    const count = Math.min(LISTED, Math.max(map.rows, map.cols)), [left, right] = [x + 140, x + 360];
    const at = (n) => y + LINE * n + 12;
    const line = (i, j, weight) => {
        const strength = place({ ...scale, signed: false, least: Math.max(0, scale.least) }, Math.abs(weight));
        const mine = chosen?.i === i, opacity = chosen && !mine ? strength / 5 : strength;
        return { kind: 'line', x: left, y: at(i) - 4, x2: right, y2: at(j) - 4, width: 1 + 2 * strength, opacity,
            stroke: mine ? ACCENT : '#1c1e24' };
    };
    const lines = range(0, map.exact ? Math.min(LISTED, map.rows) : 0).flatMap((i) => largest(map.row(i), 12)
        .filter((j) => j < LISTED).map((j) => line(i, j, map.row(i)[j])));
    const names = [...queries.slice(0, LISTED).map((name, n) => label(left - 6, at(n), name, { anchor: 'end' })),
        ...keys.slice(0, LISTED).map((name, n) => label(right + 6, at(n), name))];
    return { shapes: [...lines, ...names], width: 500, height: LINE * count + 10,
        notes: [count === LISTED && `The first ${LISTED}.`] };
}

function ofRow(state, x, y) {
    const map = shown(state), byKey = state.direction === 'key', { i, j } = state.cells.at(-1) ?? { i: 0, j: 0 };
    const [queries, keys] = labelsOf(state), rgb = palette(paletteOf(state)), scale = scaleOf(state);
    const all = (byKey ? map.column(j) : map.row(i)) ?? [], line = all.slice(0, LISTED), top = map.topOf?.(all) ?? 1;
    const most = line.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-30);
    const bar = (weight, n) => {
        const reason = byKey ? map.reason(n, j) : map.reason(i, n), at = y + 22 + 18 * n;
        return [label(x + 130, at + 12, (byKey ? queries : keys)[n], { anchor: 'end' }),
            { kind: 'rect', x: x + 138, y: at + 1, w: Math.max(1, Math.abs(weight) / most * 220), h: 14,
                stroke: '#c4c7cf', fill: cssColour(rgb, level(scale, weight / top)) },
            text(x + 366, at + 12, reason ? REASONS[reason] : shortest(weight))];
    };
    const title = byKey ? `Weights on key ${keys[j]}` : `Weights of query ${queries[i]}`;
    return { shapes: [text(x, y + 12, title, { bold: true }), ...Array.from(line, bar).flat()], width: 480,
        height: 30 + 18 * line.length, notes: [all.length > LISTED && `The first ${LISTED} of ${all.length}.`] };
}

function legend(state, x, y) {
    const rgb = palette(paletteOf(state)), scale = scaleOf(state);
    const colours = range(0, 64).map((n) => ({ kind: 'rect', x: x + 4 * n, y, w: 4.5, h: 12,
        fill: cssColour(rgb, 4 * n + 2) }));
    return [...colours, ...ticks(scale, 0.16).map((tick) => text(x + 256 * place(scale, tick), y + 26,
        String(Number(tick.toPrecision(3))), { anchor: 'middle' }))];
}

/* What the picture is of. */
function aboutOf({ result, head, batch, tab }, map) {
    return [result.model && `model ${result.model}`,
        tab !== 'heads' && (typeof head === 'number' ? `head ${head}` : `${head} of heads`),
        result.B > 1 && `batch entry ${batch}`, result.made && `made in the page: ${result.made}`,
        map.dropped.length > 0 && `without keys ${map.dropped.join(', ')}, rows renormalised`]
        .filter(Boolean).join('; ');
}

const DRAWN = { heads: ofHeads, lines: ofLines, row: ofRow, text: ofRow };

/**
 * @param {object} state with a map that can be shown
 * @param {number} factor how many pixels of a picture a unit of the drawing will have
 * @returns {import('./svg.js').Drawing}
 */
export function drawingOf(state, factor) {
    const map = shown(state), { result, compare, tab } = state, about = aboutOf(state, map);
    const { shapes, notes, width, height } = (DRAWN[tab] ?? ofMap)(state, MARGIN, 70, factor), below = 90 + height;
    const reasons = reasonsIn(map).map((reason) => REASONS[reason]).join(', ');
    const foot = [`Colours: ${scaleWords(state)}.`, ...notes, ...notesOf(state),
        reasons && `Hatched: ${reasons}.`].filter(Boolean);
    const title = map.signed ? `${result.title} − ${compare.title}` : result.title;
    return { title, about: [about, ...foot].join(' '), height: Math.ceil(below + 50 + LINE * foot.length),
        width: Math.ceil(Math.max(width, 300, ...[title, about, ...foot].map(widthOf)) + 2 * MARGIN),
        shapes: [text(MARGIN, 28, title, { bold: true }), text(MARGIN, 48, about), ...shapes,
            ...legend(state, MARGIN + 8, below), ...foot.map((words, n) => text(MARGIN, below + 50 + LINE * n,
                words))] };
}
