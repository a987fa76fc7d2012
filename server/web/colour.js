/* colour.js: from weights to colours, and the numbers beside the colour bar. The scales and ticks follow the rules
 * of the service's own pictures (server/picture/colour_scale.c), so that both show the same. */

import { fromBase64 } from './base64.js';

/* 256 colours (sRGB) from dark to light, the table of matplotlib, in base64. Cividis looks the same to the colour-blind
 * (Nunez, Anderton and Renslow 2018). */
const CIVIDIS =
    'ACJOACNPACRRACVTACVUACZWACdYAChZAChbACldACpfACphACtiACxkACxmAC1oAC5qAC5sAC9tADBvADBwADFwADFxATJxBTNxCDNwDDRwDzVw' +
    'EjVwFDZwFjdwGDdvGjhvHDlvHjpvIDpvITtuIzxuJDxuJj1uJz5uKT9uKj9tK0BtLUFtLkFtL0JtMUNtMkNtM0RtNEVsNUVsNkZsOEdsOUhsOkhs' +
    'O0lsPEpsPUpsPktsP0xsQExsQU1sQk5sQ05sRE9sRVBsRlFsR1FsSFJsSVNsSlNsS1RsTFVsTVVsTlZsT1dsUFdsUVhtUlltU1ptVFptVVttVVxt' +
    'VlxtV11tWF5tWV5uWl9uW2BuXGFuXWFuXmJuXmNvX2NvYGRvYWVvYmVvY2ZwZGdwZWhwZWhwZmlwZ2pxaGpxaWtxamxxa21ybG1ybG5ybW9ybm9z' +
    'b3BzcHFzcXJ0cnJ0cnN0c3R1dHR1dXV1dnZ2d3d2d3d3eHh3eXl3enp4e3p4fHt4fXx4fnx4fn14f354gH94gX94goB5g4F5hIJ5hYJ5hoN5h4R4' +
    'iIV4iYV4ioZ4i4d4jIh4jYh4jol4j4p4kIt4kYt4kox4ko14k454lI53lY93lpB3l5F3mJJ3mZJ3mpN2m5R2nJV2nZV2npZ2n5d1oJh1oZl1opl1' +
    'o5p0pJt0pZx0ppx0p51zqJ5zqZ9zqqBzq6ByrKFyraJyrqNxr6RxsKVxsaVws6ZwtKdvtahvtqlvt6luuKpuuattuqxtu61tvK5sva5svq9rv7Br' +
    'wLFqwbJqwrNpw7NpxLRoxbVoxrZnx7dnyLhmyblly7llzLpkzbtjzrxjz71i0L5i0b9h0sBg08Bf1MFf1cJe1sNd18Rc2cVc2sZb28da3MhZ3chY' +
    '3slY38pX4MtW4cxV4s1U5M5T5c9S5tBR59FQ6NJP6dNO6tNM69RL7dVK7tZJ79dI8NhG8dlF8tpE89tC9dxB9t0/994++N88+eA6++E4/OI2/eM0' +
    '/uQ0/uU1/uY2/ug4';

/* Colours evenly spaced along a palette, the others lie between. Viridis so differs from matplotlib's by 2 of 255. */
const STOPS = {
    viridis: '440154470d60481a6c482576472f7d4439834144873d4e8a39568c355f8d31688e2d718e2a788e27808e23888e21918c' +
        '1f988b1fa08822a8842ab07f35b77942be7154c56867cc5c7ad1518ed645a5db36bddf26d2e21be7e419fde725',
    grey: '101010fafafa',
    diverging: '08306b2171b592c5def7f7f7fdb863cc66067f3b08', /* blue, white, orange: for differences */
};

const DECADES_MOST = 6; /* of a logarithmic scale: what is smaller is as good as nothing */
const TICKS_MOST = 64;

function fromStops(hex) {
    const stops = hex.match(/../g).map((pair) => parseInt(pair, 16)), last = stops.length / 3 - 1;
    return Uint8Array.from({ length: 256 * 3 }, (_, n) => {
        const at = Math.floor(n / 3) / 255 * last, from = Math.min(Math.floor(at), last - 1) * 3 + n % 3;
        return Math.round(stops[from] + (at - Math.floor(from / 3)) * (stops[from + 3] - stops[from]));
    });
}

const palettes = new Map();

/**
 * The 256 colours of a palette, dark to light: [256 * 3] red, green, blue.
 * @param {'cividis'|'viridis'|'grey'|'diverging'} name
 * @returns {Uint8Array}
 */
export function palette(name) {
    if (!palettes.has(name))
        palettes.set(name, STOPS[name] ? fromStops(STOPS[name])
            : fromBase64(CIVIDIS));
    return palettes.get(name);
}

/**
 * @typedef {{kind: 'linear'|'sqrt'|'log', least: number, most: number, signed: boolean}} Scale
 * `least` is what the darkest colour stands for (0 unless logarithmic; -most if signed), `most` the lightest.
 */

/**
 * The scale for numbers of which `smallest` is the smallest above zero and `largest` the largest (0 if there is none).
 * A signed one goes from -largest to largest; it is never logarithmic.
 * @returns {Scale}
 */
export function colourScale(kind, smallest, largest, signed = false) {
    const most = largest > 0 ? largest : 1;
    if (signed)
        return { kind: kind === 'log' ? 'linear' : kind, least: -most, most, signed };
    const least = kind === 'log' ? Math.min(Math.max(smallest, most * 10 ** -DECADES_MOST), most / 10) : 0;
    return { kind, least, most, signed };
}

/** How far along the scale a number is, from 0 to 1. */
export function place(scale, number) {
    let at = number / scale.most;
    if (scale.signed)
        at = (1 + (scale.kind === 'sqrt' ? Math.sign(at) * Math.sqrt(Math.abs(at)) : at)) / 2;
    else if (scale.kind === 'log')
        at = number <= scale.least ? 0 : Math.log(number / scale.least) / Math.log(scale.most / scale.least);
    else if (scale.kind === 'sqrt')
        at = Math.sqrt(at);
    return at > 0 ? Math.min(at, 1) : 0;
}

/** Which of the 256 colours a number gets. */
export function level(scale, number) {
    return Math.floor(place(scale, number) * 255 + 0.5);
}

/** A number's colour for CSS. */
export function cssColour(rgb, n) {
    return `rgb(${rgb[3 * n]}, ${rgb[3 * n + 1]}, ${rgb[3 * n + 2]})`;
}

/** Black or white: what is read better on that colour (relative luminance, WCAG 2). */
export function inkOn(rgb, n) {
    const [r, g, b] = [0, 1, 2].map((c) => {
        const v = rgb[3 * n + c] / 255;
        return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? '#000' : '#fff';
}

/* The next smaller one of ..., 1, 2, 5, 10, 20, ... below `number`, or with `tens` of ..., 1, 10, 100, ... */
function roundNumberBelow(number, tens) {
    const below = number * (1 - 1e-9), power = 10 ** Math.floor(Math.log10(below));
    return !tens && 5 * power <= below ? 5 * power : !tens && 2 * power <= below ? 2 * power : power;
}

function curvedTicks(scale, add) {
    const tens = scale.kind === 'log' && scale.most > scale.least * 1e3;
    const end = scale.kind === 'log' ? scale.least : scale.most * 1e-4;
    for (let number = scale.most; number > end; number = roundNumberBelow(number, tens))
        add(number);
}

function evenTicks(scale, gap, add) {
    let step = scale.most; /* the smallest round step that leaves the gap, and at most about 5 numbers */
    for (let next = roundNumberBelow(step, false); next / scale.most >= Math.max(gap, 0.17);
        next = roundNumberBelow(next, false))
        step = next;
    for (let n = 1; step < scale.most && n * step < scale.most; n++)
        add(n * step);
}

/**
 * Numbers to write beside the bar: round ones but for the two ends, none closer to another than `gap` in places.
 * @returns {number[]}
 */
export function ticks(scale, gap) {
    const list = [];
    let least = gap;
    const add = (number) => {
        const at = place(scale, number);
        if (list.length < TICKS_MOST && list.every((other) => Math.abs(place(scale, other) - at) >= least))
            list.push(number);
    };
    if (scale.signed) {
        [scale.most, -scale.most, 0, scale.most / 2, -scale.most / 2].forEach(add);
        return list;
    }
    add(scale.most);
    add(scale.least);
    if (scale.kind !== 'linear') {
        least = Math.max(gap, 0.06);
        curvedTicks(scale, add);
    } else {
        evenTicks(scale, gap, add);
    }
    return list;
}
