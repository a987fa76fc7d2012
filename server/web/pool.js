/* pool.js: smaller maps for when cells are smaller than a pixel. A map is pooled by its largest number (the one
 * farthest from zero, if it has signs), so that a rare peak stays seen. */

/**
 * @typedef {{data: Float32Array|Uint8Array, rows: number, cols: number}} Grid
 */

function better(a, b, rule) {
    return rule === 'max' ? b > a : rule === 'min' ? b < a : Math.abs(b) > Math.abs(a);
}

/** Puts the best of each two numbers of the rows at `a` and `b` of `data` into `out` from `at` on. */
function poolRow(data, a, b, cols, out, at, rule) {
    const whole = cols & ~1;
    for (let c = 0; c < whole; c += 2) {
        const p = data[a + c], q = data[a + c + 1], r = data[b + c], s = data[b + c + 1];
        if (rule === 'max') { /* the common one, without a call a number */
            const x = p > q ? p : q, y = r > s ? r : s;
            out[at++] = x > y ? x : y;
        } else {
            const x = better(p, q, rule) ? q : p, y = better(r, s, rule) ? s : r;
            out[at++] = better(x, y, rule) ? y : x;
        }
    }
    if (whole < cols)
        out[at] = better(data[a + whole], data[b + whole], rule) ? data[b + whole] : data[a + whole];
}

/**
 * Half as many rows and columns: each number is the best of 2 x 2, at the edges of fewer.
 * @param {Grid} grid
 * @param {'max'|'min'|'magnitude'} rule
 * @returns {Grid}
 */
export function halve(grid, rule) {
    const { data, rows, cols } = grid;
    const half = { rows: (rows + 1) >> 1, cols: (cols + 1) >> 1, data: null };
    half.data = new data.constructor(half.rows * half.cols);
    for (let r = 0; r < half.rows; r++)
        poolRow(data, 2 * r * cols, Math.min(2 * r + 1, rows - 1) * cols, cols, half.data, r * half.cols, rule);
    return half;
}

/** The grid in all sizes, from itself down to 1 x 1; each is made when it is first asked for. */
export class Pyramid {
    constructor(grid, rule) {
        this.rule = rule;
        this.levels = [grid];
    }

    level(k) {
        while (this.levels.length <= k)
            this.levels.push(halve(this.levels[this.levels.length - 1], this.rule));
        return this.levels[k];
    }
}
