/* paint.js: one tile of a map, pixel by pixel. A cell is never smaller than a pixel: below that, pooled cells are
 * painted, each of which stands for k x k cells. */

import { level } from './colour.js';

export const TILE = 256;

/** Why a cell has no colour; the numbers are those in a Shown's reasons. 0 is a cell that has one. */
export const REASONS = ['', 'causal', 'window', 'padding', 'mask', 'row without keys', 'dropped', 'not a number'];

/** Does the hatching of a reason have a line at this pixel? Each reason has a pattern of its own. */
export function hatched(reason, x, y, gap) {
    const up = (x + y) % gap < 1, down = (x - y + gap * 65536) % gap < 1;
    switch (reason) {
    case 1: return up;
    case 2: return down;
    case 3: return y % gap < 1;
    case 4: return up || down;
    case 5: return x % gap < 2 && y % gap < 2;
    case 6: return x % gap < 1;
    default: return x % gap < 1 || y % gap < 1;
    }
}

/** How often cells are halved so that one is at least a pixel wide and high: 2^k x 2^k cells become one. */
export function poolingAt(size) {
    return size >= 1 ? 0 : Math.ceil(Math.log2(1 / size) - 1e-9);
}

/** Red, green, blue as one number of an Uint32Array over the bytes of an ImageData. */
export function packed(r, g, b) {
    return (255 << 24 | b << 16 | g << 8 | r) >>> 0;
}

/** The palette's 256 colours, packed. */
export function packedPalette(rgb) {
    return Uint32Array.from({ length: 256 }, (_, n) => packed(rgb[3 * n], rgb[3 * n + 1], rgb[3 * n + 2]));
}

/* For each pixel of the tile's side: which cell it is in; -1 beyond the map. */
function cellsOf(first, size, count) {
    return Int32Array.from({ length: TILE }, (_, p) => {
        const cell = Math.floor((first + p + 0.5) / size);
        return cell < count ? cell : -1;
    });
}

/* ... and is it the cell's last one? */
function edgesOf(first, size) {
    return Uint8Array.from({ length: TILE },
        (_, p) => Math.floor((first + p + 1.5) / size) !== Math.floor((first + p + 0.5) / size) ? 1 : 0);
}

/* A number beyond the scale's ends is drawn like the end: -1 below, 1 above, else 0. */
export function clipped(scale, number) {
    return number > scale.most * (1 + 1e-6) ? 1
        : number < scale.least - Math.abs(scale.least) * 1e-6 && (number < 0 || (scale.kind === 'log' && number > 0)) ? -1 : 0;
}

/* Marks the corners of clipped cells in a row of cells: a triangle above for what is too large, below for too small. */
function markClipped(pixels, at, job, cells, clips, row, size) {
    const inY = (job.y + row + 0.5) % size, corner = Math.min(size * 0.35, 9 * job.ratio);
    for (let p = 0; p < TILE; p++) {
        const clip = cells[p] < 0 ? 0 : clips[cells[p] - cells[0]];
        const inX = (job.x + p + 0.5) % size;
        if (clip !== 0 && size - inX + (clip > 0 ? inY : size - inY) < corner)
            pixels[at + p] = job.mark;
    }
}

function paintRow(pixels, at, job, cells, line, row, gap) {
    for (let p = 0; p < TILE; p++) {
        const cell = cells[p];
        if (cell < 0) {
            pixels[at + p] = 0;
            continue;
        }
        const reason = line.reasons[cell - cells[0]];
        pixels[at + p] = reason === 0 ? line.colours[cell - cells[0]]
            : hatched(reason, job.x + p, job.y + row, gap) ? job.hatch : job.ground;
    }
}

function readLine(line, job, k, r, from, to) {
    job.source.read(k, r, from, to, line.numbers);
    job.source.readReasons(k, r, from, to, line.reasons, line.numbers);
    for (let c = 0; c < to - from; c++) {
        const number = line.numbers[c];
        if (Number.isNaN(number))
            line.reasons[c] = line.reasons[c] || 7;
        line.colours[c] = job.colours[level(job.scale, number)];
        line.clips[c] = line.reasons[c] === 0 ? clipped(job.scale, number) : 0;
    }
}

/**
 * Paints the tile whose first pixel is pixel (x, y) of the whole map.
 * @param {Uint32Array} pixels [TILE * TILE]
 * @param {{source: object, x: number, y: number, size: number, scale: object, colours: Uint32Array, hatch: number,
 *          ground: number, grid: number, mark: number, ratio: number}} job `source` has rows, cols, read, readReasons
 *         (shown.js); `size` is pixels a cell; `ratio` is device pixels a CSS pixel; colours are packed
 */
export function paintTile(pixels, job) {
    const k = poolingAt(job.size), size = job.size * 2 ** k, gap = Math.round(6 * job.ratio);
    const rows = Math.ceil(job.source.rows / 2 ** k), cols = Math.ceil(job.source.cols / 2 ** k);
    const across = cellsOf(job.x, size, cols), down = cellsOf(job.y, size, rows);
    const edgeX = edgesOf(job.x, size), edgeY = edgesOf(job.y, size), lined = size >= 10 * job.ratio;
    const from = across[0], to = Math.min(cols, Math.floor((job.x + TILE - 0.5) / size) + 1);
    pixels.fill(0);
    if (from < 0)
        return;
    const line = { numbers: new Float32Array(to - from), reasons: new Uint8Array(to - from),
        colours: new Uint32Array(to - from), clips: new Int8Array(to - from) };
    for (let row = 0, last = -1; row < TILE && down[row] >= 0; row++) {
        if (down[row] !== last)
            readLine(line, job, k, last = down[row], from, to);
        const at = row * TILE;
        paintRow(pixels, at, job, across, line, row, gap);
        if (size >= 8 * job.ratio)
            markClipped(pixels, at, job, across, line.clips, row, size);
        for (let p = 0; lined && p < TILE; p++)
            if (across[p] >= 0 && (edgeX[p] || edgeY[row]))
                pixels[at + p] = job.grid;
    }
}
