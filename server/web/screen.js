/* screen.js: what all canvases need: sharp pixels, the page's colours, one drawing a frame, and only when seen. */

import { packed } from './paint.js';

const AHEAD = { rootMargin: '300px' }; /* what is about to be scrolled into sight is drawn already */

const dot = typeof document === 'undefined' ? null : document.createElement('canvas').getContext('2d',
    { willReadFrequently: true });

/** A CSS colour as a packed pixel. */
export function pixelOf(colour) {
    dot.clearRect(0, 0, 1, 1);
    dot.fillStyle = colour;
    dot.fillRect(0, 0, 1, 1);
    return packed(...dot.getImageData(0, 0, 1, 1).data);
}

/** The page's colours and font, as they are now for this element. */
export function themeOf(element) {
    const style = getComputedStyle(element), read = (name, other) => style.getPropertyValue(name).trim() || other;
    return { ink: read('--ink', '#1c1e24'), paper: read('--paper', '#ffffff'), line: read('--line', '#d0d2d8'),
        hatch: read('--hatch', '#9a9ca6'), accent: read('--accent', '#0b57d0'), ground: read('--ground', '#eeeef0'),
        font: `12px ${style.fontFamily || 'sans-serif'}` };
}

/**
 * A canvas that calls `draw(context, width, height, ratio)` at most once a frame, with sizes in CSS pixels, and only
 * while it is on the screen. Returns the function that asks for a drawing.
 */
export function sharp(canvas, draw) {
    const context = canvas.getContext('2d', { alpha: false });
    let asked = 0, seen = false;
    const frame = () => {
        asked = 0;
        const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
        if (!seen || width === 0 || height === 0)
            return;
        const wide = Math.round(width * ratio), high = Math.round(height * ratio);
        if (canvas.width !== wide || canvas.height !== high)
            Object.assign(canvas, { width: wide, height: high });
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        draw(context, width, height, ratio);
    };
    const ask = () => {
        asked ||= requestAnimationFrame(frame);
    };
    new IntersectionObserver((entries) => {
        seen = entries.at(-1).isIntersecting;
        ask();
    }, AHEAD).observe(canvas);
    new ResizeObserver(ask).observe(canvas);
    for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)'])
        matchMedia(query).addEventListener('change', ask);
    return ask;
}

/**
 * Calls `render(state, previous)` after changes, once a frame, and only while the element can be seen; `clear` when it
 * is hidden, so that the page does not fill with what nobody looks at.
 */
export function whileSeen(element, store, render, clear = () => {}) {
    let asked = 0, seen = false, last = null;
    const frame = () => {
        asked = 0;
        const state = store.get();
        if (seen && element.checkVisibility()) {
            render(state, last);
            last = state;
        }
    };
    const ask = () => {
        asked ||= requestAnimationFrame(frame);
    };
    new IntersectionObserver((entries) => {
        seen = entries.at(-1).isIntersecting;
        if (!element.checkVisibility())
            clear();
        ask();
    }, AHEAD).observe(element);
    store.subscribe(ask);
    return ask;
}
