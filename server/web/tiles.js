/* tiles.js: the painted tiles of a map. They are made a few at a time, so that a frame is never late; until they are
 * there, those of the last look or size stand in, stretched. */

import { paintTile, TILE } from './paint.js';

const TILES_MOST = 120, BUDGET = 7; /* milliseconds of a frame */

export class Tiles {
    constructor() {
        this.there = new Map();
        this.stale = new Map();
        this.size = this.staleSize = 1;
        this.look = '';
        this.pixels = new ImageData(TILE, TILE);
        this.words = new Uint32Array(this.pixels.data.buffer);
    }

    /** Everything is to be painted anew; if only the size changed, the old tiles are shown meanwhile. */
    setLook(look, size) {
        if (look === this.look && size === this.size)
            return;
        if (look !== this.look)
            this.stale.clear();
        else if (this.there.size > 0)
            [this.stale, this.staleSize] = [this.there, this.size];
        this.there = new Map();
        [this.look, this.size] = [look, size];
    }

    /** What came late is painted again, the old stays until then. */
    refresh() {
        if (this.there.size > 0)
            [this.stale, this.staleSize] = [this.there, this.size];
        this.there = new Map();
    }

    paint(name, job) {
        paintTile(this.words, job);
        const oldest = this.there.size >= TILES_MOST ? this.there.keys().next().value : null;
        const tile = oldest === null ? new OffscreenCanvas(TILE, TILE) : this.there.get(oldest);
        this.there.delete(oldest);
        tile.getContext('2d').putImageData(this.pixels, 0, 0);
        this.there.set(name, tile);
        return tile;
    }

    /* All stale tiles that touch the window, in the new size. */
    drawStale(context, x, y, width, height) {
        const grow = this.size / this.staleSize, side = TILE * grow;
        for (const [name, tile] of this.stale) {
            const [across, down] = name.split('/').map(Number);
            const left = across * side - x, top = down * side - y;
            if (left < width && top < height && left + side > 0 && top + side > 0)
                context.drawImage(tile, left, top, side, side);
        }
    }

    /**
     * Draws the window of width x height pixels from pixel (x, y) of the map on, at the context's origin.
     * @returns {boolean} whether all of it was there
     */
    draw(context, job, x, y, width, height) {
        const begin = performance.now(), missing = [], present = [];
        const right = Math.min(x + width, job.source.cols * job.size),
            low = Math.min(y + height, job.source.rows * job.size);
        for (let down = Math.max(0, Math.floor(y / TILE)); down * TILE < low; down++)
            for (let across = Math.max(0, Math.floor(x / TILE)); across * TILE < right; across++) {
                const name = `${across}/${down}`;
                (this.there.has(name) ? present : missing).push([name, across * TILE, down * TILE]);
            }
        context.imageSmoothingEnabled = false;
        if (missing.length > 0)
            this.drawStale(context, x, y, width, height);
        while (missing.length > 0 && performance.now() - begin < BUDGET) {
            const [name, left, top] = missing[0];
            this.paint(name, { ...job, x: left, y: top });
            present.push(missing.shift());
        }
        for (const [name, left, top] of present) {
            const tile = this.there.get(name);
            if (tile)
                context.drawImage(tile, left - x, top - y);
        }
        if (missing.length === 0)
            this.stale.clear();
        return missing.length === 0;
    }
}
