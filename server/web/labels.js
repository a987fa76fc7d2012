/* labels.js: names of tokens, ready to be drawn. They are text and never HTML. */

const NAMED = new Map([[' ', '␣'], ['\u0120', '␣'], ['\u2581', '␣'], ['\t', '⇥'], ['\n', '↵'], ['\u010a', '↵'],
    ['\r', '␍'], ['\u00a0', '⍽']]);

/* Control characters, halves of surrogate pairs, marks that turn the direction of text, and what has no width. */
const UNSEEN = new RegExp('[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u200b-\\u200f\\u2028-\\u202e'
    + '\\u2060-\\u206f\\ufeff\\ufff9-\\ufffd]|\\p{Cs}', 'u');
const RTL = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const LTR = /\p{L}/u;

/**
 * A label with its spaces and bytes made visible: " the" is "␣the", a zero byte "\x00".
 * @param {string} text
 */
export function visible(text) {
    if (text === '')
        return '(empty)';
    let out = '';
    for (const sign of String(text)) {
        if (NAMED.has(sign))
            out += NAMED.get(sign);
        else if (UNSEEN.test(sign)) {
            const code = sign.codePointAt(0);
            out += code < 256 ? '\\x' + code.toString(16).padStart(2, '0') : '\\u' + code.toString(16).padStart(4, '0');
        } else
            out += sign;
    }
    return out;
}

/**
 * All labels made visible; one that occurs again gets its number: "the", "the #2".
 * @param {string[]} labels
 * @returns {string[]}
 */
export function numbered(labels) {
    const seen = new Map();
    return labels.map((label) => {
        const text = visible(label), count = (seen.get(text) ?? 0) + 1;
        seen.set(text, count);
        return count === 1 ? text : `${text} #${count}`;
    });
}

const known = new WeakMap();

/** The same, kept for the list: a result's labels do not change. */
export function shownLabels(labels) {
    if (!known.has(labels))
        known.set(labels, numbered(labels));
    return known.get(labels);
}

/**
 * Every how many labels one can be shown if they are `pitch` apart and one needs `room`: 1, 2, 5, 10, 20, 50, ...
 */
export function every(pitch, room) {
    for (let power = 1; ; power *= 10)
        for (const step of [1, 2, 5])
            if (power * step * pitch >= room || power > 1e8)
                return power * step;
}

/** The text, or as much of it as `measure` says has room, with three points at its end. */
export function elide(text, room, measure) {
    if (measure(text) <= room)
        return text;
    const signs = [...text];
    let fits = 0;
    for (let step = 1 << Math.floor(Math.log2(signs.length)); step > 0; step >>= 1)
        if (fits + step < signs.length && measure(signs.slice(0, fits + step).join('') + '…') <= room)
            fits += step;
    return signs.slice(0, fits).join('') + '…';
}

/** 'rtl' if the first letter is one of a script that is written from right to left. */
export function directionOf(text) {
    for (const sign of text) {
        if (RTL.test(sign))
            return 'rtl';
        if (LTR.test(sign))
            return 'ltr';
    }
    return 'ltr';
}

/** An element; the rest are its children, a string is text. */
export function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes))
        if (value !== false && value !== null && value !== undefined)
            element.setAttribute(key, value === true ? '' : value);
    element.append(...children);
    return element;
}

/** A button that does something. */
export function button(content, act, more = {}) {
    const element = make('button', { type: 'button', ...more }, ...[content].flat());
    element.addEventListener('click', act);
    return element;
}

/** What may be wider than its place, and is moved within it. */
export function wide(label, content) {
    return make('div', { class: 'wide', tabindex: 0, role: 'region', 'aria-label': label }, content);
}

/** Options of a select, from pairs of value and text. */
export const optionsOf = (pairs) => pairs.map(([value, text]) => make('option', { value }, text));

/** A label as an element that keeps its direction to itself. */
export function bdi(text) {
    return make('bdi', {}, text);
}
