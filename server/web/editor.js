/* editor.js: the panel in which a request is made: examples, text, numbers, files, masks and labels. */

import { compose, readFiles } from './compose.js';
import { examplesFor } from './examples.js';
import { button, make, optionsOf } from './labels.js';
import { cancel, run, showKept, showWeights } from './run.js';
import * as service from './service.js';
import { placeIn } from './text.js';

const FIELDS = ['query', 'key', 'padding', 'mask', 'query-labels', 'key-labels', 'offset', 'kind', 'causal'];
const PATHS = { query: 'query', key: 'key', key_padding_mask: 'padding', attn_mask: 'mask', query_labels: 'query-labels',
    key_labels: 'key-labels', query_offset: 'offset', is_causal: 'causal' };
const TEXT_MOST = 200000; /* characters of a file that are put into the text field */
const WAIT = 120;

const $ = (id) => document.getElementById(id);

class Editor {
    constructor(store) {
        Object.assign(this, { store, given: null, models: [], rules: null, model: null, picked: null, view: {}, timer: 0 });
        const on = (id, name, does) => $(id).addEventListener(name, does);
        for (const id of FIELDS)
            on(id, 'input', () => this.changed());
        on('model', 'change', () => {
            this.picked = $('model').value; /* and so it is, whatever a text or a file says */
            this.choose(this.picked).then(() => this.check());
        });
        on('run', 'click', () => this.run());
        on('keep', 'click', () => this.run(true));
        on('cancel', 'click', cancel);
        on('files', 'change', () => this.open([...$('files').files]));
        on('editor', 'keydown', (event) => {
            if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !event.repeat)
                this.run();
        });
        store.subscribe((state, before) => this.follow(state, before));
        this.catchFiles();
    }

    follow(state, before) {
        if (state.busy !== before.busy)
            $('cancel').hidden = !state.busy;
        if (state.problem !== before.problem && state.problem?.status === 400)
            this.show(state.problem.error, this.fieldOf(state.problem.path), this.placeOf(state.problem.path));
        else if (state.problem !== before.problem && state.problem?.code === 'page')
            this.show(state.problem.error, 'query', null);
        else if (before.problem && !state.problem)
            this.show(null);
    }

    fieldOf(path) {
        return PATHS[/^\w+/.exec(path ?? '')?.[0]] ?? 'query';
    }

    /* Where the service's path is in the text, if that has it: the element, or what holds it. */
    placeOf(path) {
        const places = this.made?.places ?? {};
        for (let left = path ?? ''; left; left = left.replace(/(\[\d+\]|\.?\w+)$/, ''))
            if (left in places)
                return places[left];
        return null;
    }

    form() {
        const number = $('offset').value;
        return { text: $('query').value, given: this.given, title: this.title, key: $('key').value, padding: $('padding').value, mask: $('mask').value,
            queryLabels: $('query-labels').value, keyLabels: $('key-labels').value, kind: $('kind').value,
            model: this.picked, causal: $('causal').value === '' ? null : $('causal').value === 'true', offset: number === '' ? null : Number(number) };
    }

    changed() {
        document.querySelectorAll('#examples [aria-pressed=true]').forEach((button) => button.setAttribute('aria-pressed', 'false'));
        [this.view, this.title, $('about').textContent] = [{}, null, ''];
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.check(), WAIT);
    }

    /* What is in the fields; says what is wrong with it, and where. */
    check() {
        clearTimeout(this.timer);
        const empty = !this.given && $('query').value.trim() === '';
        try {
            const made = empty || !this.model ? null : compose(this.form(), this.model, this.models, this.rules);
            this.made = made;
            this.show(null);
            $('badge').textContent = made?.says ?? '';
            return made;
        } catch (error) {
            this.show(error.message, error.field, error.at ?? null);
            return null;
        }
    }

    /* A sentence, the field that it is about, and the place in it. */
    show(sentence, field = 'query', at = null) {
        for (const id of FIELDS)
            $(id).toggleAttribute('aria-invalid', false);
        $('badge').classList.toggle('bad', sentence !== null);
        if (sentence === null)
            return $('wrong').replaceChildren();
        $('badge').textContent = 'does not fit';
        const input = $(field), parts = [make('p', {}, sentence)];
        input.setAttribute('aria-invalid', 'true');
        if (field !== 'query' && field !== 'causal')
            $('more').open = true;
        if (at !== null && !(field === 'query' && this.given))
            parts.push(...this.excerpt(input, at));
        (field === 'query' ? input : input.closest('label')).after($('wrong'));
        return $('wrong').replaceChildren(...parts);
    }

    excerpt(input, at) {
        const { line, column, source } = placeIn(input.value, at), from = Math.max(0, column - 1 - 24);
        const bad = /^(?:"[^"]*"?|[^\s,\]]+|.)/.exec(source.slice(column - 1))?.[0].slice(0, 24) ?? '';
        const go = button(`Go to line ${line}, column ${column}`, () => {
            input.focus();
            input.setSelectionRange(at, at + bad.length);
        });
        return [make('pre', {}, (from > 0 ? '…' : '') + source.slice(from, column - 1), make('mark', {}, bad || '⏎'),
            source.slice(column - 1 + bad.length, column + 40)), go];
    }

    async run(keep = false) {
        const made = this.check(), view = { tab: this.store.get().tab, ...this.view };
        $('kept').replaceChildren();
        if (!made)
            return;
        try {
            if (made.kept)
                return await showKept(this.store, made.kept);
            if (made.weights)
                return showWeights(this.store, made.weights, view);
        } catch (error) {
            return this.show(error.message);
        }
        if (made.model !== this.model.name)
            await this.choose(made.model);
        const result = await run(this.store, { title: made.title, view, request: keep ? { ...made.request, keep } : made.request });
        if (keep && result?.resultUrl)
            $('kept').replaceChildren('Kept for a while: ', make('a', { href: result.resultUrl }, new URL(result.resultUrl, location).href));
    }

    /* What a file, an address or a kept result brought stands in for the text. */
    give(given) {
        this.given = given;
        $('query').hidden = given !== null;
        $('given').hidden = given === null;
        if (given === null)
            return;
        const away = button('Remove', () => {
            this.give(null);
            this.changed();
            $('query').focus();
        });
        $('given').replaceChildren(make('bdi', {}, given.name), away);
    }

    clear(values = {}) {
        this.give(null);
        for (const id of FIELDS)
            $(id).value = values[id] ?? '';
        this.changed();
    }

    async open(files) {
        if (files.length === 0)
            return;
        this.clear();
        clearTimeout(this.timer);
        try {
            const { name, found, text } = await readFiles(files, this.model?.embed_dim ?? 1);
            if (text !== undefined && text.length <= TEXT_MOST)
                [$('query').value, this.title] = [text, name];
            else
                this.give({ name, found });
            $('about').textContent = `Opened ${name}.`;
            await this.run();
        } catch (error) {
            $('query').value = error.text?.length <= TEXT_MOST ? error.text : '';
            this.show(`${error.file}: ${error.message}`, 'query', $('query').value ? error.at : null);
        }
    }

    catchFiles() {
        const drop = $('drop'), hasFiles = (event) => event.dataTransfer?.types.includes('Files');
        document.addEventListener('dragover', (event) => {
            if (!hasFiles(event))
                return;
            event.preventDefault();
            drop.hidden = false;
        });
        document.addEventListener('dragleave', (event) => {
            if (!event.relatedTarget)
                drop.hidden = true;
        });
        document.addEventListener('drop', (event) => {
            drop.hidden = true;
            if (!hasFiles(event))
                return;
            event.preventDefault();
            this.open([...event.dataTransfer.files]);
        });
    }

    async choose(name) {
        this.model = await service.model(name);
        $('model').value = this.model.name;
        this.store.set({ model: this.model.name });
    }

    /* Which models there are, and the one with the rule for words. */
    async load() {
        const { models, default: first } = await service.models(), hand = models.find(({ layout }) => layout === 'patterns');
        this.models = models;
        this.store.set({ models });
        $('model').replaceChildren(...optionsOf(models.map(({ name }) => [name, name])));
        this.rules = hand ? await service.model(hand.name) : null;
        await this.choose(this.model?.name ?? hand?.name ?? first);
        this.examples = examplesFor(models);
        $('examples').replaceChildren(...this.examples.map((example) =>
            button(example.name, ({ currentTarget }) => this.example(example, currentTarget), { 'aria-pressed': 'false' })));
    }

    async example({ name, text, key, padding, mask, causal, about, model, head, tab = 'matrix' }, button) {
        this.clear({ query: text, key, padding, mask, causal });
        this.picked = null;
        button?.setAttribute('aria-pressed', 'true');
        $('about').textContent = about;
        await this.choose(model);
        [this.view, this.title] = [{ head, tab }, name];
        await this.run();
    }
}

let editor;

export function mount(_, store) {
    editor = new Editor(store);
}

/* The fields for a result that came from elsewhere. */
function show(result, name) {
    editor.clear();
    editor.give({ name, title: result.title, found: { fields: { ...result.request, query_labels: result.queryLabels, key_labels: result.keyLabels.slice(0, result.S) },
        places: {} } });
    editor.check();
}

/**
 * Shows what the address names: a kept result, or the input in its fragment, which `follow` runs; else the first example.
 * @param {() => Promise<boolean>} follow
 */
export async function begin(follow) {
    document.addEventListener('begin', () => begin(follow), { once: true }); /* when it could not, and now can */
    const { store } = editor, id = /^\/results\/([^/]+)$/.exec(location.pathname)?.[1], linked = location.hash.length > 1;
    try {
        const loading = editor.load(), json = id ? await service.kept(id).finally(() => loading.catch(() => {})) : null;
        if (json)
            await showKept(store, json); /* which needs no key */
        await loading;
        if (json && store.get().result.request)
            show(store.get().result, 'The input of the kept result');
        if (await follow())
            show(store.get().result, 'The input of the address');
        else if (!json && editor.examples.length > 0) {
            const [first] = editor.examples, { tab, head } = store.get();
            await editor.example(linked ? { ...first, tab, head } : first, $('examples').firstChild);
        }
    } catch (error) {
        store.set({ problem: error.error ? error : { error: error.message, code: 'start', status: null } });
    }
}
