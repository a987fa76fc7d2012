/* near.js: the numbers of a map whose weights are all here. */

import { REASONS } from './paint.js';
import { Pyramid } from './pool.js';
import { matrixOf, rowOf } from './result.js';

const REASONS_MOST = 16;

const reasons = new WeakMap(); /* of results: of their batch entries, and heads if these differ */

/** Without the dropped keys; what is left of each row sums to what the row summed to before. */
export function dropKeys(row, dropped) {
    if (dropped.length === 0)
        return row;
    const out = Float32Array.from(row), gone = new Set(dropped);
    let before = 0, left = 0;
    for (let j = 0; j < row.length; j++) {
        before += row[j];
        if (gone.has(j))
            out[j] = 0;
        left += out[j];
    }
    for (let j = 0; left > 0 && j < row.length; j++)
        out[j] = out[j] * before / left;
    return out;
}

/** The smallest number above zero and the one farthest from zero; 0 if there is none. */
export function extentOf(numbers, extent = { smallest: 0, largest: 0 }) {
    let smallest = extent.smallest || Infinity, largest = extent.largest;
    for (let n = 0; n < numbers.length; n++) {
        const size = numbers[n] < 0 ? -numbers[n] : numbers[n];
        if (size > largest)
            largest = size;
        if (size > 0 && size < smallest)
            smallest = size;
    }
    return { smallest: smallest === Infinity ? 0 : smallest, largest };
}

/**
 * A map: `rows` x `cols` numbers; `signed` if it is a difference; `exact` if all of them are here; `byRow` if each row
 * has a scale of its own.
 */
export class Shown {
    constructor(what) {
        const { L: rows, keys: cols } = what.result, signed = what.other !== null;
        /* `what` has key, result, batch, head, dropped, other, byRow */
        Object.assign(this, what, { rows, cols, signed, rule: signed ? 'magnitude' : 'max', exact: true });
        this.heads = typeof what.head === 'number' ? [what.head] : [...Array(what.result.H).keys()];
    }

    /* A row as it is computed, when the whole map is not there. */
    computeRow(row, i) {
        const left = dropKeys(row, this.dropped);
        if (!this.signed)
            return left;
        const right = dropKeys(rowOf(this.other, this.batch, this.head, i), this.dropped);
        return left.map((weight, j) => weight - right[j]);
    }

    grid() {
        if (this.whole)
            return this.whole;
        const { rows, cols } = this;
        let data = matrixOf(this.result, this.batch, this.head).data;
        if (this.signed || this.dropped.length > 0) {
            const plain = data;
            data = new Float32Array(rows * cols);
            for (let i = 0; i < rows; i++)
                data.set(this.computeRow(plain.subarray(i * cols, (i + 1) * cols), i), i * cols);
        }
        return this.whole = { data, rows, cols };
    }

    row(i) {
        return this.whole ? this.whole.data.subarray(i * this.cols, (i + 1) * this.cols)
            : this.computeRow(rowOf(this.result, this.batch, this.head, i), i);
    }

    column(j) {
        const { data } = this.grid();
        return Float32Array.from({ length: this.rows }, (_, i) => data[i * this.cols + j]);
    }

    at(i, j) {
        return this.grid().data[i * this.cols + j];
    }

    /** Which of REASONS keeps query i from key j; 0: nothing does. For several heads: only what keeps all from it. */
    reason(i, j) {
        let reason = this.dropped.includes(j) ? 6 : -1;
        for (let n = 0; n < this.heads.length && reason !== 0 && reason !== 6; n++)
            reason = Math.max(0, REASONS.indexOf(this.result.reasonAt(this.batch, this.heads[n], i, j) ?? ''));
        return reason;
    }

    /** How many keys query i may attend to; `row` are its weights. */
    allowed(row, i) {
        let allowed = 0;
        for (let j = 0; j < this.cols; j++)
            allowed += row[j] > 0 || this.reason(i, j) === 0 ? 1 : 0;
        return allowed;
    }

    /** What numbers of a row are divided by before they get a colour. */
    topOf(row) {
        return this.byRow && extentOf(row).largest || 1;
    }

    /** The reasons of all cells, in all sizes. Most masks are the same for all heads: then they are looked up once. */
    get reasons() {
        const { rows, cols, result, dropped } = this, shape = result.request?.attn_mask?.shape ?? [];
        const name = [this.batch, shape.length > 2 && shape.at(-3) > 1 ? this.head : '', dropped,
            this.signed ? this.key : ''].join('|');
        if (!reasons.has(result))
            reasons.set(result, new Map());
        const known = reasons.get(result), there = known.get(name)
            ?? new Pyramid({ data: this.findReasons(), rows, cols }, 'min');
        known.set(name, there);
        if (known.size > REASONS_MOST)
            known.delete(known.keys().next().value);
        return there;
    }

    findReasons() {
        const { rows, cols } = this, { data } = this.grid(), found = new Uint8Array(rows * cols);
        for (let i = 0, n = 0; i < rows; i++)
            for (let j = 0; j < cols; j++, n++)
                if (data[n] === 0) /* what has a weight was not masked */
                    found[n] = this.reason(i, j);
        return found;
    }

    /* With a scale for each row, the map that is painted is that of the shares of the row's largest. */
    painted() {
        if (!this.byRow)
            return this.grid();
        const { rows, cols } = this, data = Float32Array.from(this.grid().data);
        for (let i = 0; i < rows; i++) {
            const row = data.subarray(i * cols, (i + 1) * cols), top = this.topOf(row);
            for (let j = 0; j < cols; j++)
                row[j] /= top;
        }
        return { data, rows, cols };
    }

    /** Numbers to paint: of pooled row r, columns from...to, each the best of 2^k x 2^k cells. */
    read(k, r, from, to, out) {
        this.pyramid ??= new Pyramid(this.painted(), this.rule);
        const { data, cols } = this.pyramid.level(k);
        out.set(data.subarray(r * cols + from, r * cols + to));
    }

    /** Likewise the reasons: 0 if any of the cells has a weight or may have one. */
    readReasons(k, r, from, to, out) {
        const { data, cols } = this.reasons.level(k);
        out.set(data.subarray(r * cols + from, r * cols + to));
    }

    extent() {
        return this.range ??= extentOf(this.grid().data);
    }
}
