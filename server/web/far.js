/* far.js: the map of a result that is too large to be fetched whole. There is a pooled overview; what is looked at
 * closer is fetched block by block, and forgotten again. */

import { extentOf, Shown } from './near.js';
import { fetchWindow } from './service.js';

const BLOCK = 256, KEPT_MOST = 96, WANTED_MOST = 16, RUNNING_MOST = 2, SETTLED = 120, QUERIES = 64, QUERIES_LEAST = 8;

const listeners = new Set();

/** Calls back when something that was not there has come. */
export function onArrival(listener) {
    listeners.add(listener);
}

/* The mean or largest over heads of [heads, count] numbers. */
function merge(data, heads, head) {
    const count = data.length / heads;
    return heads === 1 ? data : Float32Array.from({ length: count }, (_, n) => {
        let all = 0;
        for (let h = 0; h < heads; h++)
            all = head === 'max' ? Math.max(all, data[h * count + n]) : all + data[h * count + n] / heads;
        return all;
    });
}

/* Rows [from, to) of a tensor [..., L, n]. */
function rowsOf(tensor, [from, to]) {
    const [L, n] = tensor.shape.slice(-2), { data, dtype } = tensor, count = data.length / (L * n);
    const out = new data.constructor(count * (to - from) * n);
    for (let b = 0; b < count; b++)
        out.set(data.subarray((b * L + from) * n, (b * L + to) * n), b * (to - from) * n);
    return { shape: [...tensor.shape.slice(0, -2), to - from, n], dtype, data: out };
}

/**
 * The same request of these queries alone, which costs the service only their share. Dropout counts the queries, so
 * that with it all are needed.
 */
export function onlyRows(request, rows) {
    const { query, attn_mask: mask, training } = request, key = request.key ?? query;
    return training ? null : { ...request, query: rowsOf(query, rows), key, value: request.value ?? key,
        attn_mask: mask ? rowsOf(mask, rows) : null, query_offset: (request.query_offset ?? 0) + rows[0] };
}

/**
 * Whole blocks of queries around [from, to): in a product of matrices the last bit of a row may hang on its place in a
 * block, and on whether the block at the end has very few rows.
 */
export function blocksAround([from, to], L) {
    const last = Math.ceil(to / QUERIES) * QUERIES, atEnd = last > L - QUERIES;
    if (last > L && L % QUERIES < QUERIES_LEAST)
        return [0, L];
    return [Math.max(0, Math.floor(from / QUERIES) * QUERIES - (atEnd ? QUERIES : 0)), Math.min(L, last)];
}

export class FarShown extends Shown {
    constructor(what) {
        super(what);
        const { weights: { shape: [, H, rows, cols], data } } = what.result, one = rows * cols, first = what.batch * H
            + this.heads[0];
        const mine = data.subarray(first * one, (first + this.heads.length) * one);
        this.base = { rows, cols, data: merge(mine, this.heads.length, this.head) };
        this.exact = false;
        this.kept = new Map(); /* blocks, rows and columns by name */
        this.wanted = new Map();
        this.running = 0;
    }

    get waiting() {
        return this.running + this.wanted.size > 0;
    }

    /** How many cells a number of the overview stands for. */
    get bins() {
        return `${Math.ceil(this.rows / this.base.rows)} × ${Math.ceil(this.cols / this.base.cols)}`;
    }

    /* What has that name, or null; then it will come. */
    want(name, rows, cols, size) {
        const there = this.kept.get(name);
        (there ? this.kept : this.wanted).delete(name); /* to the end: the last one used is the last one to go */
        (there ? this.kept : this.wanted).set(name, there ?? { rows, cols, size });
        if (!there) /* what is passed by quickly is not fetched */
            this.soon ??= setTimeout(() => {
                this.soon = null;
                this.fetchNext();
                this.fetchNext();
            }, SETTLED);
        return there?.data ?? null;
    }

    /* Rows and columns, which somebody points at, come before blocks, and what was asked for last before the others. */
    async fetchNext() {
        const names = [...this.wanted.keys()].reverse(), name = names.find((other) => /^[rc]/.test(other)) ?? names[0];
        if (name === undefined || this.running >= RUNNING_MOST)
            return;
        const part = this.wanted.get(name);
        this.wanted.delete(name);
        names.slice(WANTED_MOST).forEach((old) => this.wanted.delete(old)); /* no longer in sight */
        this.running++;
        let data = null; /* after an error the overview stays; when that has been forgotten, it is asked for again */
        try {
            data = merge((await this.fetchPart(part)).data, this.heads.length, this.head);
            this.problem = '';
        } catch (error) {
            this.problem = error.message;
        }
        this.running--;
        this.kept.set(name, { data });
        if (this.kept.size > KEPT_MOST)
            this.kept.delete(this.kept.keys().next().value);
        listeners.forEach((listener) => listener());
        this.fetchNext();
    }

    fetchPart({ rows, ...part }) {
        const all = blocksAround(rows, this.rows), request = onlyRows(this.result.request, all);
        const view = { batch: [this.batch], heads: this.heads, ...part };
        return request ? fetchWindow({ ...this.result, request }, { ...view, rows: rows.map((row) => row - all[0]) })
            : fetchWindow(this.result, { ...view, rows });
    }

    row(i) {
        return this.want(`r${i}`, [i, i + 1], [0, this.cols], [1, this.cols]);
    }

    column(j) {
        return this.want(`c${j}`, [0, this.rows], [j, j + 1], [this.rows, 1]);
    }

    /* Block (R, C) of at most BLOCK x BLOCK pooled cells. */
    block(k, R, C) {
        const part = (n, count) => [n * BLOCK * 2 ** k, Math.min(count, (n + 1) * BLOCK * 2 ** k)];
        for (const name of this.wanted.keys()) /* of a size that is no longer looked at */
            if (!/^[rc]/.test(name) && !name.startsWith(`${k}/`))
                this.wanted.delete(name);
        const rows = part(R, this.rows), cols = part(C, this.cols);
        const size = [rows, cols].map(([from, to]) => Math.ceil((to - from) / 2 ** k));
        return { width: size[1], data: this.want(`${k}/${R}/${C}`, rows, cols, size) };
    }

    /* The largest weight among the queries of a pooled row: from the statistics, or 1 if there are none. */
    topAt(k, r) {
        const { stats, H, L } = this.result, at = (this.batch * H + this.heads[0]) * L;
        return this.byRow && stats && extentOf(stats.max.data.subarray(at + r * 2 ** k, at
            + Math.min(L, (r + 1) * 2 ** k))).largest || 1;
    }

    read(k, r, from, to, out) {
        const { base } = this, step = 2 ** k, top = this.topAt(k, r);
        const known = step >= Math.min(this.rows / base.rows, this.cols / base.cols);
        const bin = (n, count, bins) => Math.min(bins - 1, Math.floor((n + 0.5) * step * bins / count));
        const overview = bin(r, this.rows, base.rows) * base.cols;
        for (let c = from, block = null; c < to; c++) {
            if (!known && (block === null || c % BLOCK === 0))
                block = this.block(k, Math.floor(r / BLOCK), Math.floor(c / BLOCK));
            out[c - from] = (block?.data ? block.data[(r % BLOCK) * block.width + c % BLOCK]
                : base.data[overview + bin(c, this.cols, base.cols)]) / top;
        }
    }

    /* A pooled cell is masked if it has no weight, and its corners are masked for the same reason. */
    readReasons(k, r, from, to, out, numbers) {
        const step = 2 ** k, last = Math.min((r + 1) * step, this.rows) - 1;
        for (let c = from; c < to; c++) {
            const j = c * step, end = Math.min(j + step, this.cols) - 1;
            const reason = numbers[c - from] === 0 ? this.reason(r * step, end) : 0;
            out[c - from] = reason && [this.reason(last, j), this.reason(r * step, j),
                this.reason(last, end)].every((other) => other === reason) ? reason : 0;
        }
    }

    extent() {
        return this.range ??= extentOf(this.base.data);
    }
}
