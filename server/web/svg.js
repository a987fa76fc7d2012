/* svg.js: a drawing as a list of shapes, which become an SVG file or pixels on a canvas. */

/**
 * @typedef {{kind: 'rect', x: number, y: number, w: number, h: number, fill?: string, stroke?: string}
 *         | {kind: 'text', x: number, y: number, text: string, bold?: boolean, anchor?: 'middle'|'end', turn?: number}
 *         | {kind: 'image', x: number, y: number, w: number, h: number, canvas: HTMLCanvasElement}
 *         | {kind: 'line', x: number, y: number, x2: number, y2: number, stroke: string, width: number,
 *            opacity: number}} Shape
 * @typedef {{width: number, height: number, title: string, about: string, shapes: Shape[]}} Drawing
 */

const FONT = 'system-ui, "DejaVu Sans", "Noto Sans", sans-serif', SIZE = 12, INK = '#1c1e24', PAPER = '#ffffff';

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', '\'': '&#39;' };

/** Any text as text of XML or HTML; what XML 1.0 cannot hold becomes the replacement character. */
export const escapeXml = (text) => String(text)
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"']/g, (sign) => ENTITIES[sign]);

const round = (number) => Math.round(number * 100) / 100;

function element(name, attributes, content = '') {
    const list = Object.entries(attributes).filter(([, value]) => value !== undefined)
        .map(([key, value]) => ` ${key}="${escapeXml(typeof value === 'number' ? round(value) : value)}"`);
    return `<${name}${list.join('')}>${content}</${name}>`;
}

const WRITERS = {
    rect: ({ x, y, w, h, fill = 'none', stroke }) => element('rect', { x, y, width: w, height: h, fill, stroke }),
    line: ({ x, y, x2, y2, stroke, width, opacity }) => element('line',
        { x1: x, y1: y, x2, y2, stroke, 'stroke-width': width, opacity }),
    image: ({ x, y, w, h, canvas }, href) => element('image', { x, y, width: w, height: h, preserveAspectRatio: 'none',
        style: 'image-rendering:pixelated', href: href(canvas) }),
    text: ({ x, y, text, bold, anchor, turn }) => element('text', { x, y,
        'font-weight': bold ? 'bold' : undefined, 'text-anchor': anchor,
        transform: turn && `rotate(${turn} ${round(x)} ${round(y)})`, 'xml:space': 'preserve' }, escapeXml(text)),
};

/**
 * The drawing as an SVG file: text is text, styles are inline, maps are images inside of it.
 * @param {Drawing} drawing
 * @param {(canvas: HTMLCanvasElement) => string} href a data: address of a canvas
 */
export function toSvg({ width, height, title, about, shapes }, href) {
    const parts = [element('title', {}, escapeXml(title)), element('desc', {}, escapeXml(about)),
        element('rect', { width, height, fill: PAPER }), ...shapes.map((shape) => WRITERS[shape.kind](shape, href))];
    const svg = element('svg', { xmlns: 'http://www.w3.org/2000/svg', width, height, viewBox: `0 0 ${width} ${height}`,
        'font-family': FONT, 'font-size': SIZE, fill: INK }, `\n${parts.join('\n')}\n`);
    return `<?xml version="1.0" encoding="UTF-8"?>\n${svg}\n`;
}

const PAINTERS = {
    rect(context, { w, h, fill, stroke }) {
        Object.assign(context, { fillStyle: fill ?? 'transparent', strokeStyle: stroke ?? 'transparent' });
        context.fillRect(0, 0, w, h);
        context.strokeRect(0, 0, w, h);
    },
    line(context, { x, y, x2, y2, stroke, width, opacity }) {
        Object.assign(context, { strokeStyle: stroke, lineWidth: width, globalAlpha: opacity });
        context.moveTo(0, 0);
        context.lineTo(x2 - x, y2 - y);
        context.stroke();
    },
    image(context, { w, h, canvas }) {
        context.imageSmoothingEnabled = false;
        context.drawImage(canvas, 0, 0, w, h);
    },
    text(context, { text, bold, anchor = 'start', turn = 0 }) {
        Object.assign(context, { font: `${bold ? 'bold ' : ''}${SIZE}px ${FONT}`, fillStyle: INK,
            textAlign: { start: 'left', middle: 'center', end: 'right' }[anchor] });
        context.rotate(turn * Math.PI / 180);
        context.fillText(text, 0, 0);
    },
};

/** Paints the drawing on a canvas that is `factor` times as large, each way. */
export function paintDrawing({ width, height, shapes }, factor) {
    const canvas = document.createElement('canvas'), context = canvas.getContext('2d');
    Object.assign(canvas, { width: width * factor, height: height * factor });
    for (const shape of [{ kind: 'rect', x: 0, y: 0, w: width, h: height, fill: PAPER }, ...shapes]) {
        context.setTransform(factor, 0, 0, factor, shape.x * factor, shape.y * factor);
        context.save();
        context.beginPath();
        PAINTERS[shape.kind](context, shape);
        context.restore();
    }
    return canvas;
}
