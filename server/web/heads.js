/* heads.js: all heads side by side, and what tells them apart. */

import { palette } from './colour.js';
import { make, wide } from './labels.js';
import { evenness, headFacts, likeness, NEAR_UNIFORM, sample, total } from './measure.js';
import { packedPalette, paintTile, TILE } from './paint.js';
import { pixelOf, themeOf, whileSeen } from './screen.js';
import { headName, paletteOf, scaleOf, shownOf } from './shown.js';

const SIDE = 96, ROWS_READ = 256, CELLS_ALIKE = 1 << 17, LISTED = 64, KEPT = 512, BUDGET = 12;

const kept = new Map();

function keep(name, find) {
    if (!kept.has(name))
        kept.set(name, find());
    if (kept.size > KEPT)
        kept.delete(kept.keys().next().value);
    return kept.get(name);
}

/* For results that are not here whole: from the statistics that the service made of all rows. */
function factsFromStats({ result: { stats, entropy, H, L }, batch, head }, allowed) {
    const mean = (tensor, each = (x) => x) => {
        const rows = tensor ? sample(L, ROWS_READ).map((i) => each(tensor.data[(batch * H + head) * L + i], i)) : [];
        return rows.length > 0 ? total(rows).mean : null;
    };
    return { even: mean(entropy, (e, i) => evenness(e, allowed(i))), first: mean(stats?.first), self: mean(stats?.self),
        previous: mean(stats?.previous), distance: null };
}

/** Evenness, first, self, previous, distance of a head, each as a mean over (at most 256) queries. */
export function factsFor(state, head) {
    const map = shownOf(state, head);
    if (!map || map.signed || typeof head !== 'number')
        return null;
    return keep(`facts|${map.key}`, () => {
        if (!map.exact)
            return factsFromStats(map, (i) => map.allowed([], i));
        const rows = sample(map.rows, ROWS_READ).map((i) =>
            ({ i, weights: map.row(i), allowed: map.allowed(map.row(i), i) }));
        const { query_offset: q, key_offset: k } = map.result.request ?? {};
        return headFacts(rows, (q ?? 0) - (k ?? 0), map.result.S);
    });
}

/** "near uniform, ..." or "". */
export function badgeOf(facts) {
    return facts?.even >= NEAR_UNIFORM ? `near uniform: entropy ${Math.round(facts.even * 100)} % of log(allowed keys)`
        : '';
}

function paintThumb(canvas, map, state) {
    const ratio = devicePixelRatio || 1, most = Math.min(TILE, SIDE * ratio) / Math.max(map.rows, map.cols);
    const size = most < 1 ? most : Math.floor(most), pixels = (cells) => Math.max(1, Math.round(cells * size));
    const image = new ImageData(TILE, TILE), theme = themeOf(canvas), grid = pixelOf(theme.paper);
    Object.assign(canvas, { width: pixels(map.cols), height: pixels(map.rows) });
    paintTile(new Uint32Array(image.data.buffer), { source: map, x: 0, y: 0, size, ratio, scale: scaleOf(state),
        colours: packedPalette(palette(paletteOf(state))), hatch: pixelOf(theme.hatch), ground: pixelOf(theme.ground),
        grid, mark: grid });
    canvas.getContext('2d').putImageData(image, 0, 0);
}

function percent(share) {
    return share === null || share === undefined ? '–' : `${(share * 100).toFixed(0)}\u00a0%`;
}

/* Likeness of two heads: the cosine of the angle between their weights, of as many rows as are quickly read. */
function alike(state, a, b) {
    const [p, q] = [shownOf(state, a), shownOf(state, b)];
    if (!p.exact || typeof b !== 'number')
        return null;
    return keep(`alike|${[p.key, q.key].sort()}`, () => {
        const rows = sample(p.rows, Math.max(1, Math.floor(CELLS_ALIKE / p.cols)));
        const values = (map) => Float32Array.from(rows.flatMap((i) => [...map.row(i)]));
        return likeness(values(p), values(q));
    });
}

const COLUMNS = [['head', 'Head', (h) => `${h}`], ['even', 'Entropy / log(allowed)', percent],
    ['first', 'On first key', percent],
    ['self', 'On itself', percent], ['previous', 'On previous', percent],
    ['distance', 'Mean distance', (d) => d === null ? '–' : d.toFixed(1)], ['alike', 'Like the chosen', percent]];

class Heads {
    constructor(element, store) {
        this.store = store;
        this.grid = make('div', { class: 'heads' });
        this.table = make('table');
        [this.note, this.pooled] = [make('p', { class: 'note' }), make('p', { class: 'note' })];
        this.sort = { by: 'head', down: false };
        element.append(this.grid, this.pooled, make('details', {}, make('summary', {}, 'Table of heads'),
            wide('Table of heads', this.table),
                this.note));
        this.table.addEventListener('click', (event) => this.click(event.target));
        this.grid.addEventListener('click', (event) => this.click(event.target));
        element.querySelector('details').addEventListener('toggle', () => this.ask());
        this.ask = whileSeen(element, store, (state) => this.render(state), () => this.table.replaceChildren());
    }

    click(target) {
        const { by, head } = target.closest('button')?.dataset ?? {};
        if (by)
            this.sort = { by, down: this.sort.by === by ? !this.sort.down : by !== 'head' };
        else if (head)
            this.store.set({ head: Number(head) || (head === '0' ? 0 : head) });
        this.ask();
    }

    /* The panels: heads that share their keys and values are framed together. */
    build(result) {
        const panels = [...Array(result.H).keys()].map((h) => make('button', { type: 'button', 'data-head': h },
            make('canvas', { 'aria-hidden': 'true' }), make('b', {}, headName(result, h)), make('span')));
        const each = result.H / (result.Hkv || result.H), grouped = each > 1 && Number.isInteger(each);
        const boxes = grouped ? [...Array(result.Hkv).keys()].map((g) =>
            make('div', { class: 'group', role: 'group', 'aria-label': `Keys ${g}` },
            make('small', {}, `keys and values ${g}`), ...panels.slice(g * each, (g + 1) * each))) : panels;
        const k = Math.ceil(Math.max(result.L, result.keys) / SIDE);
        this.pooled.textContent = k > 1 ? `A point of these panels is the max of about ${k} × ${k} cells. ` : '';
        this.pooled.textContent += 'Entropy: 0 % looks at one key, 100 % at all allowed keys alike; '
            + `from ${NEAR_UNIFORM * 100} % on a head is near uniform.`;
        this.grid.replaceChildren(...boxes, ...['mean', 'max'].map((head) =>
            make('button', { type: 'button', 'data-head': head },
            make('canvas', { 'aria-hidden': 'true' }), make('b', {}, head), make('span', {}, 'of all heads'))));
        this.result = result;
    }

    render(state) {
        const { result } = state;
        if (!shownOf(state, 0))
            return;
        if (result !== this.result)
            this.build(result);
        const look = JSON.stringify([state.batch, state.palette, state.scale, state.scope, state.dropped,
            scaleOf(state),
            matchMedia('(prefers-color-scheme: dark)').matches]) + shownOf(state, 0).key, begin = performance.now();
        let late = false;
        for (const panel of this.grid.querySelectorAll('button')) {
            const name = panel.dataset.head, head = Number.isNaN(Number(name)) ? name : Number(name);
            panel.setAttribute('aria-pressed', String(head === state.head));
            if (panel.dataset.look === look)
                continue;
            if ((late = performance.now() - begin > BUDGET)) /* the rest in the next frame */
                break;
            paintThumb(panel.querySelector('canvas'), shownOf(state, head), state);
            const facts = factsFor(state, head);
            if (typeof head === 'number')
                panel.querySelector('span').textContent = facts?.even == null ? ''
                    : `${badgeOf(facts) ? 'near uniform, ' : ''}entropy ${percent(facts.even)}`;
            panel.classList.toggle('uniform', badgeOf(facts) !== '');
            panel.dataset.look = look;
        }
        if (late)
            this.ask();
        else if (this.table.parentNode.parentNode.open)
            this.list(state);
    }

    list(state) {
        const { by, down } = this.sort, { result } = state;
        const rows = [...Array(result.H).keys()].map((head) =>
            ({ ...factsFor(state, head), head, alike: alike(state, head, state.head) }));
        rows.sort((a, b) => ((a[by] ?? -1) - (b[by] ?? -1)) * (down ? -1 : 1) || a.head - b.head);
        const heads = COLUMNS.map(([name, title]) => make('th',
            { scope: 'col', 'aria-sort': by === name ? (down ? 'descending' : 'ascending') : 'none' },
            make('button', { type: 'button', 'data-by': name }, title)));
        this.table.replaceChildren(make('caption', {}, 'What tells heads apart'),
            make('thead', {}, make('tr', {}, ...heads)),
            make('tbody', {}, ...rows.slice(0, LISTED).map((row) =>
                make('tr', { 'aria-selected': row.head === state.head ? 'true' : null },
                make('th', { scope: 'row' }, make('button', { type: 'button', 'data-head': row.head },
                    String(row.head))),
                ...COLUMNS.slice(1).map(([name, , format]) => make('td', {}, format(row[name] ?? null)))))));
        this.note.textContent = `Means over ${Math.min(result.L, ROWS_READ)} of ${result.L} queries.`
            + (result.H > LISTED ? ` The first ${LISTED} of ${result.H} heads in this order.` : '');
    }
}

export function mount(element, store) {
    return new Heads(element, store);
}
