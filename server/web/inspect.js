/* inspect.js: the exact numbers of the cell under the pointer and of the locked ones, as text. */

import { onArrival } from './far.js';
import { bdi, button, make, shownLabels } from './labels.js';
import { rank, total } from './measure.js';
import { shortest } from './number.js';
import { REASONS } from './paint.js';
import { whileSeen } from './screen.js';
import { chosen, free, lock, stepHead } from './select.js';
import { shown } from './shown.js';

const SPOKEN = 400; /* milliseconds from one sentence of the live text to the next */

/** A number to about two digits, for where there is little room. */
export function shorter(number) {
    const size = Math.abs(number);
    return size > 0 && size < 0.0005 ? '≈0' : String(Number(number.toFixed(size < 0.0095 ? 3 : 2))).replace(/^(-?)0\./,
        '$1.');
}

/**
 * All that is known of a cell. `weight` is null while it is on its way.
 * @param {object} state
 * @param {{i: number, j: number}} cell
 */
export function factsOf(state, { i, j }) {
    const map = shown(state), { result } = state;
    if (!map || i >= map.rows || j >= map.cols)
        return null;
    const row = map.row(i), reason = map.reason(i, j), { scores, H, L, keys } = result,
        one = typeof map.head === 'number';
    return { i, j, query: shownLabels(result.queryLabels)[i], key: shownLabels(result.keyLabels)[j], what: map.signed
        ? 'difference' : 'weight',
        weight: row ? row[j] : null, text: row ? shortest(row[j]) : '…', reason: REASONS[reason] || null,
        score: scores && one ? scores.data[((map.batch * H + map.head) * L + i) * keys + j] : null,
        rank: row && reason === 0 ? rank(row, j) : null, of: row ? map.allowed(row, i) : map.cols };
}

/** The cell in one line, as it is copied and read out. */
export function sentence(facts) {
    return `${facts.query} (query ${facts.i}) → ${facts.key} (key ${facts.j}): ${facts.what} ${facts.text}`
        + (facts.score === null ? '' : `, score ${shortest(facts.score)}`)
        + (facts.reason ? `, masked: ${facts.reason}` : facts.rank ? `, rank ${facts.rank} of ${facts.of}` : '');
}

async function copyText(text) {
    if (navigator.clipboard)
        return navigator.clipboard.writeText(text);
    const area = make('textarea', { class: 'unseen' }); /* where there is no TLS, browsers have only the old way */
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
}

class Inspector {
    constructor(element, store) {
        this.store = store;
        this.head = make('h3');
        this.list = make('dl', { class: 'facts' });
        this.sums = make('p');
        this.live = make('p', { class: 'unseen', 'aria-live': 'polite' });
        this.buttons = [['Copy (c)', () => this.copy()], ['Free (Esc)', () => free(store)]].map(([text, does]) =>
            button(text, does));
        element.append(this.head, this.list, this.sums, make('p', { class: 'row' }, ...this.buttons), this.live);
        onArrival(whileSeen(element, store, (state) => this.render(state)));
        document.addEventListener('keydown', (event) => this.key(event));
    }

    /* Keys that work wherever nothing is typed. */
    key(event) {
        if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey
            || event.target.closest('input, textarea, select, dialog, [contenteditable]'))
            return;
        if (event.key === 'c')
            this.copy();
        else if (event.key === '[' || event.key === ']')
            stepHead(this.store, event.key === '[' ? -1 : 1);
        else if (event.key === 'Escape')
            free(this.store);
    }

    async copy() {
        const state = this.store.get(), facts = (state.hover ? [state.hover] : state.cells).map((cell) =>
            factsOf(state, cell));
        const text = facts.filter(Boolean).map(sentence).join('\n');
        if (!text)
            return;
        await copyText(text).then(() => this.say(`Copied: ${text}`), () =>
            this.say('The browser does not allow to copy.'));
        this.head.textContent = this.next;
    }

    render(state) {
        const cell = chosen(state), facts = cell && factsOf(state, cell), locked = state.cells.length;
        const title = !facts ? 'No cell chosen' : state.cells.some(({ i, j }) => i === cell.i && j === cell.j)
            ? 'Locked cell' : 'Preview';
        this.list.replaceChildren(...(facts ? [
            ['Query', bdi(facts.query), ` (${facts.i})`], ['Key', bdi(facts.key), ` (${facts.j})`],
            [facts.what === 'weight' ? 'Weight' : 'A − B', make('b', {}, facts.text)],
            ['Score', facts.score === null ? '–' : shortest(facts.score)],
            ['Rank in row', facts.rank ? `${facts.rank} of ${facts.of}` : '–'], ['Masked', facts.reason ?? 'no'],
        ] : [['Hover over a cell, or move with the arrow keys; click or Enter locks it.', '']])
            .map(([name, ...value]) => make('div', {}, make('dt', {}, name), make('dd', {}, ...value))));
        for (const button of this.buttons)
            button.disabled = !facts;
        this.sums.textContent = locked > 1 ? this.sumOf(state) : '';
        const text = facts ? `${title}: ${sentence(facts)}. ${this.sums.textContent}` : '';
        if (text === this.said) /* something else has changed: what was said since, as of a copy, stays */
            return;
        [this.said, this.head.textContent] = [text, title];
        this.say(text);
    }

    sumOf(state) {
        const { count, sum, mean } = total(state.cells.map((cell) => factsOf(state, cell)?.weight ?? null));
        const [all, each] = [sum, mean].map((number) => shortest(Math.fround(number)));
        return `${state.cells.length} cells locked: sum ${all}, mean ${each}`
            + (count < state.cells.length ? ` of the ${count} that are here` : '');
    }

    say(text) {
        this.next = text;
        this.speaking ??= setTimeout(() => {
            this.speaking = null;
            if (this.live.textContent !== this.next)
                this.live.textContent = this.next;
        }, SPOKEN);
    }
}

export function mount(element, store) {
    return new Inspector(element, store);
}
