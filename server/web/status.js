/* status.js: where the time of the last request went, and what to do when one failed. */

import { button, make } from './labels.js';
import { again } from './run.js';

const STAGES = ['parse', 'queue', 'compute', 'encode'];
const LOOK_FIRST = 1000, LOOK_LAST = 15000; /* milliseconds between two looks for a service that is away */

const ms = (time) => `${time < 10 ? time.toFixed(2) : time < 1000 ? time.toFixed(1) : Math.round(time)} ms`;

/* The parts of the last request as a bar, and as numbers. */
function drawing({ timing, total, bytes }) {
    const parts = [...STAGES.map((name) => [name, timing[name]])], inside = parts.reduce((sum, [, time]) => sum + time, 0);
    parts.push(['way', Math.max(0, total - inside)]);
    const bar = make('div', { class: 'bar', 'aria-hidden': 'true' }, ...parts.map(([name]) => make('span', { class: name })));
    parts.forEach(([, time], n) => bar.children[n].style.flex = `${time} 0 0`);
    const words = { way: 'network and page', compute: `compute (${timing.kernels || 'kernels not named'})` };
    const size = bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
    return [bar, make('p', { class: 'timing' }, make('b', {}, `Last request ${ms(total)}, ${size}`), ...parts.map(([name, time]) =>
        make('span', {}, make('i', { class: name, 'aria-hidden': 'true' }), `${words[name] ?? name} ${ms(time)}`)))];
}

class Status {
    constructor(element, store, service) {
        Object.assign(this, { store, service, timer: 0 });
        this.times = make('div', {});
        this.problem = make('div', { role: 'status' });
        element.append(this.times, this.problem);
        this.times.replaceChildren(make('div', { class: 'bar' }), make('p', { class: 'timing' }, 'No request yet'));
        service.follow((last) => this.follow(last));
        store.subscribe((state, before) => {
            if (state.problem !== before.problem)
                this.show(state.problem);
        });
    }

    follow({ problem, ...last }) {
        if (last.timing)
            this.times.replaceChildren(...drawing(last));
        if (problem?.code === 'away' && this.store.get().problem?.code !== 'away')
            this.store.set({ problem });
        else if (last.timing && this.store.get().problem?.code === 'away')
            this.store.set({ problem: null });
    }

    say(...parts) {
        this.problem.replaceChildren(make('div', { class: 'problem' }, ...parts));
    }

    show(problem) {
        clearTimeout(this.timer);
        if (!problem || problem.status === 400 || problem.code === 'page') /* the editor says these */
            return this.problem.replaceChildren();
        const { status, code, error } = problem, text = make('p', {}, error);
        if (code === 'away')
            return this.look(LOOK_FIRST);
        if (status === 429 || status === 503)
            return this.count(text, problem.retryAfter ?? 1);
        if (status === 401)
            return this.askKey(text);
        const flag = /--[a-z-]+/.exec(error)?.[0];
        this.say(text, status === 413 ? make('p', { class: 'note' }, flag ? `Whoever runs the service can raise ${flag}.`
            : 'The request is too large for this service.') : status === 504 || code === 'start' ? button('Try again', () => again(this.store) || location.reload()) : '');
    }

    /* Seconds until it may be asked again. */
    count(text, seconds) {
        const go = button('', () => again(this.store) || location.reload()), end = Date.now() + seconds * 1000;
        const tick = () => {
            const left = Math.ceil((end - Date.now()) / 1000);
            go.disabled = left > 0;
            go.textContent = left > 0 ? `Try again in ${left} s` : 'Try again';
            if (left > 0)
                this.timer = setTimeout(tick, 250);
        };
        this.say(text, go);
        tick();
    }

    askKey(text) {
        const input = make('input', { type: 'password', autocomplete: 'off', 'aria-label': 'Key of the service' });
        const form = make('form', { class: 'row' }, input, make('button', {}, 'Use this key'));
        form.addEventListener('submit', (event) => {
            event.preventDefault();
            this.service.useKey(input.value.trim());
            this.store.set({ problem: null });
            if (this.store.get().result?.source === 'run')
                again(this.store);
            else
                document.dispatchEvent(new Event('begin'));
        });
        this.say(text, form, make('p', { class: 'note' }, 'It stays in this page, and goes nowhere but to the service.'));
    }

    /* Looks for the service again and again, more and more seldom. */
    async look(wait) {
        this.say(make('p', {}, 'The service does not answer. This page looks for it again, and says so when it is back.'));
        this.timer = setTimeout(async () => {
            if (await this.service.healthy())
                this.isBack();
            else if (this.store.get().problem?.code === 'away')
                this.look(Math.min(wait * 1.5, LOOK_LAST));
        }, wait);
    }

    isBack() {
        this.service.forget();
        if (!this.store.get().result)
            return location.reload();
        return this.say(make('p', {}, 'The service is back.'), button('Run again', () => again(this.store)));
    }
}

export function mount(element, store, service) {
    return new Status(element, store, service);
}
