/* number.js: float32 as decimal text, as the service writes it: the fewest digits that read back to the same float32, of
 * those the nearest, plain or with an exponent, whichever has fewer characters (plain on a tie). */

const reads = (text, x) => Math.fround(Number(text)) === x;

/* x > 0 with p significant digits, as 1.25e-7, if that reads back; else null. The gap below a power of two is half of
 * the one above: there the nearest decimal may be too far below, while the next one above reads back. */
function withDigits(x, p) {
    const text = x.toExponential(p - 1);
    if (reads(text, x))
        return text;
    const [digits, exponent] = text.split('e');
    const above = `${Number(digits.replace('.', '')) + 1}e${Number(exponent) - p + 1}`;
    return Number(text) < x && reads(above, x) ? Number(above).toExponential(p - 1) : null;
}

function fewestDigits(x) {
    let p = 8, text = withDigits(x, p);
    if (text === null)
        return even(x, withDigits(x, 9), 9);
    for (let shorter = text; shorter !== null; shorter = --p > 0 ? withDigits(x, p) : null)
        text = shorter;
    return even(x, text, p + 1);
}

/* Of two decimals equally near, toExponential() takes the larger; the service takes the one whose last digit is even. */
function even(x, text, p) {
    const [digits, exponent] = text.split('e');
    if (!/[13579]$/.test(digits) || !/^50*$/.test(x.toExponential(p + 30).replace('.', '').slice(p, p + 31)))
        return text;
    const below = `${digits.slice(0, -1)}${digits.at(-1) - 1}e${exponent}`;
    return reads(below, x) ? below : text;
}

/* Digits d1 d2 d3... of which the first counts 10^x. */
function plain(digits, x) {
    if (x < 0)
        return '0.' + '0'.repeat(-x - 1) + digits;
    return digits.length <= x + 1 ? digits.padEnd(x + 1, '0') : digits.slice(0, x + 1) + '.' + digits.slice(x + 1);
}

/**
 * The shortest decimal of a float32. What JSON has no number for is written as Infinity, -Infinity or NaN.
 * @param {number} number is rounded to float32 first
 */
export function shortest(number) {
    const x = Math.fround(number);
    if (x === 0)
        return Object.is(x, -0) ? '-0.0' : '0';
    if (!Number.isFinite(x))
        return String(x);
    const [mantissa, exponent] = fewestDigits(Math.abs(x)).split('e'), power = Number(exponent);
    const digits = mantissa.replace('.', '').replace(/0+$/, ''), usual = plain(digits, power);
    const short = `${digits[0]}${digits.length > 1 ? '.' + digits.slice(1) : ''}e${power}`;
    return (x < 0 ? '-' : '') + (usual.length <= short.length ? usual : short);
}
