/* matrix.js: the map of one head, to be panned and zoomed. One canvas of the window's size, whatever the map's. */

import { inkOn, level, palette } from './colour.js';
import { onArrival } from './far.js';
import { directionOf, elide, every, make, shownLabels } from './labels.js';
import { shorter } from './inspect.js';
import { packedPalette, poolingAt } from './paint.js';
import { pixelOf, sharp, themeOf } from './screen.js';
import { chosen, lock, preview, selectByKey } from './select.js';
import { headName, paletteOf, scaleOf, shown } from './shown.js';
import { Tiles } from './tiles.js';

/* CSS pixels: of a cell at most, comfortably, of a very thin map, of the labels' room, of a line of text. */
const MOST = 64, COMFORTABLE = 40, SLENDER = 24, GUTTER = 110, LINE = 15;

const HINT = 'Hover to preview, click or Enter to lock, Esc to free; Ctrl or Shift for several. '
    + 'Drag to move, wheel to zoom (once the map is clicked; Ctrl + wheel always).';

const clamp = (n, low, high) => Math.max(low, Math.min(high, n));

/* The widest of the labels, near enough: that of the 40 longest which is widest. */
function widest(context, labels) {
    const longest = labels.length > 40 ? [...labels].sort((a, b) => b.length - a.length).slice(0, 40) : labels;
    return Math.min(GUTTER, Math.ceil(Math.max(12, ...longest.map((label) => context.measureText(label).width))) + 10);
}

class MatrixView {
    constructor(element, store) {
        this.store = store;
        this.canvas = make('canvas', { tabindex: 0, role: 'application', 'aria-roledescription': 'heat map',
            'aria-describedby': 'matrix-note', class: 'map' });
        this.note = make('p', { id: 'matrix-note', class: 'note' });
        element.append(this.canvas, this.note);
        this.tiles = new Tiles();
        this.view = { row: 0, col: 0, zoom: 0 };
        this.left = this.top = 20;
        this.pointers = new Map();
        this.ask = sharp(this.canvas, (...screen) => this.draw(...screen));
        store.subscribe(this.ask);
        onArrival(() => {
            this.tiles.refresh();
            this.ask();
        });
        for (const name of ['pointerdown', 'pointermove', 'pointerup', 'pointercancel', 'pointerleave', 'wheel',
            'dblclick', 'keydown', 'blur'])
            this.canvas.addEventListener(name, (event) => this.map && this[name](event), { passive: false });
    }

    /* ---- Where it is ---- */

    get room() {
        return clamp(innerHeight * 0.7, 160, 540);
    }

    /* Pixels a cell when all of the map is seen. */
    get least() {
        return Math.min(COMFORTABLE, (this.canvas.clientWidth - this.left - 2) / this.map.cols,
            (this.room - this.top - 2) / this.map.rows);
    }

    fit() {
        const slender = SLENDER / Math.min(this.map.rows, this.map.cols);
        this.view = { row: 0, col: 0, zoom: Math.max(this.least, Math.min(COMFORTABLE, slender)) };
        this.move({});
    }

    /* Not beyond the map's edges. */
    hold() {
        const { view, map, canvas } = this, zoom = clamp(view.zoom, this.least, Math.max(MOST, this.least));
        this.view = { zoom, row: clamp(view.row, 0, Math.max(0,
            map.rows - (canvas.clientHeight - this.top - 1) / zoom)),
            col: clamp(view.col, 0, Math.max(0, map.cols - (canvas.clientWidth - this.left - 1) / zoom)) };
    }

    move(view) {
        this.view = { ...this.view, ...view };
        this.hold();
        this.ask();
        clearTimeout(this.telling); /* the others hear of it when the movement has ended */
        this.telling = setTimeout(() => this.store.set({ window: this.told = this.view }), 120);
    }

    /* What is at (x, y) stays there. False if it cannot become smaller or larger. */
    zoomAt(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
        const { view } = this, zoom = clamp(view.zoom * factor, this.least, Math.max(MOST, this.least)),
            shift = 1 / view.zoom - 1 / zoom;
        this.move({ zoom, row: view.row + (y - this.top) * shift, col: view.col + (x - this.left) * shift });
        return shift !== 0;
    }

    cellAt(event) {
        const box = this.canvas.getBoundingClientRect(), { view, map } = this;
        const y = event.clientY - box.top - this.top, x = event.clientX - box.left - this.left;
        const i = Math.floor(y / view.zoom + view.row), j = Math.floor(x / view.zoom + view.col);
        return y >= 0 && x >= 0 && i < map.rows && j < map.cols ? { i, j } : null;
    }

    bringIntoSight({ i, j }) {
        const { view, canvas } = this;
        this.move({ row: clamp(view.row, i + 1 - (canvas.clientHeight - this.top) / view.zoom, i),
            col: clamp(view.col, j + 1 - (canvas.clientWidth - this.left) / view.zoom, j) });
    }

    /* ---- What people do ---- */

    pointerdown(event) {
        this.canvas.setPointerCapture(event.pointerId);
        this.pointers.set(event.pointerId, event);
        this.dragged = this.pointers.size > 1 ? Infinity : 0;
    }

    /* Where the one or two pointers are, and how far from each other. */
    spread() {
        const [a, b = a] = [...this.pointers.values()], box = this.canvas.getBoundingClientRect();
        return { size: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1,
            x: (a.clientX + b.clientX) / 2 - box.left, y: (a.clientY + b.clientY) / 2 - box.top };
    }

    pointermove(event) {
        if (!this.pointers.has(event.pointerId)) {
            preview(this.store, this.cellAt(event));
            return;
        }
        const before = this.spread();
        this.pointers.set(event.pointerId, event);
        const after = this.spread();
        this.dragged += Math.hypot(after.x - before.x, after.y - before.y);
        if (this.dragged < 4)
            return;
        this.zoomAt(after.size / before.size, before.x, before.y);
        this.move({ row: this.view.row - (after.y - before.y) / this.view.zoom,
            col: this.view.col - (after.x - before.x) / this.view.zoom });
    }

    pointerup(event) {
        const cell = this.cellAt(event);
        if (this.pointers.delete(event.pointerId) && this.dragged < 4 && cell)
            lock(this.store, cell, event);
    }

    pointercancel(event) {
        this.pointers.delete(event.pointerId);
    }

    pointerleave() {
        if (this.pointers.size === 0)
            preview(this.store, null);
    }

    /* The wheel zooms when the map has been clicked or tabbed into; else the page scrolls. With Ctrl, which is also
     * what pinching on a touchpad sends, it always zooms. */
    wheel(event) {
        if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.canvas)
            return;
        const pixels = clamp(event.deltaY * (event.deltaMode === 1 ? 16 : 1), -150, 150), { offsetX, offsetY } = event;
        if (this.zoomAt(Math.exp(-pixels * (event.ctrlKey ? 0.006 : 0.003)), offsetX, offsetY) || event.ctrlKey)
            event.preventDefault();
    }

    dblclick(event) {
        this.zoomAt(event.shiftKey ? 0.5 : 2, event.offsetX, event.offsetY);
    }

    keydown(event) {
        const factor = { '+': 1.5, '=': 1.5, '-': 1 / 1.5 }[event.key], cell = () => chosen(this.store.get());
        if (event.ctrlKey || event.metaKey || !(factor || event.key === '0')) {
            if (selectByKey(this.store, event, Math.floor(this.canvas.clientHeight / this.view.zoom) - 2) && cell())
                this.bringIntoSight(cell());
        } else if (factor) {
            this.zoomAt(factor);
        } else {
            this.fit();
        }
    }

    blur() {
        preview(this.store, null);
    }

    /* ---- What they see ---- */

    /* Takes over what the state says; true if there is a map. */
    update(context) {
        const state = this.state = this.store.get(), map = this.map = shown(state), shape = map
            && `${map.rows} x ${map.cols}`;
        this.canvas.hidden = this.note.hidden = map === null;
        if (!map)
            return false;
        [this.queries, this.keys] = [shownLabels(state.result.queryLabels), shownLabels(state.result.keyLabels)];
        [this.left, this.top] = [widest(context, this.queries), widest(context, this.keys)];
        if (state.window !== this.told && state.window?.zoom > 0)
            this.view = this.told = state.window;
        else if (shape !== this.shape || !(this.view.zoom > 0))
            this.fit();
        this.shape = shape;
        this.hold();
        this.canvas.style.height = `${Math.round(this.top + Math.min(map.rows * this.view.zoom, this.room)) + 2}px`;
        return true;
    }

    draw(context, width, height, ratio) {
        const theme = this.theme = themeOf(this.canvas);
        context.font = theme.font;
        if (!this.update(context))
            return;
        const { state, map, view } = this, scale = this.scale = scaleOf(state), size = view.zoom * ratio;
        const look = [paletteOf(state), ...Object.values(scale), ...Object.values(theme), ratio].join();
        if (look !== this.look || map !== this.drawn) {
            this.tiles.setLook('', 0);
            this.rgb = palette(paletteOf(state));
            this.job = { source: map, scale, ratio, colours: packedPalette(this.rgb), hatch: pixelOf(theme.hatch),
                ground: pixelOf(theme.ground), grid: pixelOf(theme.paper), mark: pixelOf('#e8432e') };
            [this.look, this.drawn] = [look, map];
        }
        this.tiles.setLook(look, size);
        context.fillStyle = theme.paper;
        context.fillRect(0, 0, width, height);
        const i0 = Math.floor(view.row), i1 = Math.min(map.rows, Math.ceil(view.row + (height - this.top) / view.zoom));
        const j0 = Math.floor(view.col), j1 = Math.min(map.cols, Math.ceil(view.col + (width - this.left) / view.zoom));
        this.canvas.dataset.seen = [i0, i1, j0, j1].join(' ');
        this.drawMap(context, width, height, ratio, size, [i0, i1, j0, j1]);
        this.drawLabels(context, this.queries, i0, i1, false);
        this.drawLabels(context, this.keys, j0, j1, true);
        this.tell();
    }

    drawMap(context, width, height, ratio, size, seen) {
        const left = Math.round(this.left * ratio), top = Math.round(this.top * ratio);
        const [wide, high] = [width * ratio - left, height * ratio - top];
        context.save();
        context.beginPath();
        context.rect(this.left, this.top, width, height);
        context.clip();
        context.setTransform(1, 0, 0, 1, left, top);
        if (!this.tiles.draw(context, { ...this.job, size }, Math.round(this.view.col * size),
            Math.round(this.view.row * size), wide, high))
            this.ask();
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        if (this.view.zoom >= COMFORTABLE - 4 && this.map.exact)
            this.drawNumbers(context, ...seen);
        this.drawMarks(context);
        context.restore();
    }

    x(j) {
        return this.left + (j - this.view.col) * this.view.zoom;
    }

    y(i) {
        return this.top + (i - this.view.row) * this.view.zoom;
    }

    /* Where cells are large, their numbers are written in them, to two digits. */
    drawNumbers(context, i0, i1, j0, j1) {
        const { map, scale, rgb } = this;
        Object.assign(context, { textAlign: 'center', textBaseline: 'middle',
            font: this.theme.font.replace('12px', '11px') });
        for (let i = i0; i < i1; i++) {
            const row = map.row(i), top = map.topOf(row);
            for (let j = j0; j < j1; j++)
                if (row[j] !== 0 || map.reason(i, j) === 0) {
                    context.fillStyle = inkOn(rgb, level(scale, row[j] / top));
                    context.fillText(shorter(row[j]), this.x(j + 0.5), this.y(i + 0.5));
                }
        }
    }

    /* The chosen row or column, the locked cells, the one that is previewed. */
    drawMarks(context) {
        const { state, theme, map } = this, cell = chosen(state), { zoom } = this.view,
            grown = Math.max(0, 5 - zoom) / 2;
        const box = (i, j, rows, cols, more, colour, thick) => {
            Object.assign(context, { strokeStyle: colour, lineWidth: thick });
            context.strokeRect(this.x(j) - more, this.y(i) - more, cols * zoom + 2 * more, rows * zoom + 2 * more);
        };
        if (cell && state.direction === 'key')
            box(0, cell.j, map.rows, 1, 1, theme.accent, 1);
        else if (cell)
            box(cell.i, 0, 1, map.cols, 1, theme.accent, 1);
        for (const { i, j } of state.hover ? [...state.cells, state.hover] : state.cells) {
            box(i, j, 1, 1, grown, theme.paper, 4);
            box(i, j, 1, 1, grown, theme.accent, 2);
        }
    }

    /* The labels of rows or, turned, of columns: as many as have room, and that of the chosen cell in any case. */
    drawLabels(context, labels, from, to, turned) {
        const cell = chosen(this.state), at = cell && (turned ? cell.j : cell.i),
            room = (turned ? this.top : this.left) - 6;
        const step = this.step = every(this.view.zoom, LINE), near = (n) => at !== null
            && Math.abs(n - at) * this.view.zoom < LINE;
        const edge = turned ? this.left : this.top;
        Object.assign(context, { textBaseline: 'middle', font: this.theme.font, textAlign: turned ? 'left' : 'right' });
        for (let n = from; n < to; n++) {
            const middle = turned ? this.x(n + 0.5) : this.y(n + 0.5);
            if (n !== at && (n % step !== 0 || near(n) || middle < edge))
                continue;
            const text = elide(labels[n], room, (part) => context.measureText(part).width);
            context.save();
            context.translate(turned ? middle : this.left - 5, turned ? this.top - 5 : middle);
            context.rotate(turned ? -Math.PI / 2 : 0);
            Object.assign(context, { direction: directionOf(text), fillStyle: n === at ? this.theme.accent
                : this.theme.ink });
            context.fillText(text, 0, 0);
            context.restore();
        }
    }

    /* What cannot be seen from the picture alone. */
    tell() {
        const { map, state } = this, k = 2 ** poolingAt(this.view.zoom * (devicePixelRatio || 1)), said = [];
        if (k > 1)
            said.push(`Each cell drawn is the max of ${k} × ${k}: zoom in for single ones.`);
        if (map.waiting)
            said.push(`Cells are being fetched; until then the max of ${map.bins} stands in their place.`);
        if (map.problem)
            said.push(`Some cells could not be fetched. ${map.problem}`);
        if (this.step > 1)
            said.push(`Every ${this.step}${this.step === 2 ? 'nd' : 'th'} label shown.`);
        const text = [...said, HINT].join(' ');
        if (this.note.textContent !== text)
            this.note.textContent = text;
        const name = headName(state.result, map.head);
        this.canvas.setAttribute('aria-label', `Attention weights of ${name}, ${map.rows} queries by ${map.cols} keys`);
    }
}

/** Puts the map into the element. */
export function mount(element, store) {
    return new MatrixView(element, store);
}
