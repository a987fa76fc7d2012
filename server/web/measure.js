/* measure.js: what is said about rows and heads. */

/**
 * The place of number j in its row: 1 is the largest, equal ones share the best place.
 * @returns {number}
 */
export function rank(row, j) {
    let before = 0;
    for (let n = 0; n < row.length; n++)
        before += row[n] > row[j] ? 1 : 0;
    return before + 1;
}

/** -sum w log w; a row whose sum is not 1 (after dropout) is measured as it is. */
export function entropy(row) {
    let sum = 0;
    for (let n = 0; n < row.length; n++)
        if (row[n] > 0)
            sum -= row[n] * Math.log(row[n]);
    return sum;
}

/** Entropy as a share of what it would be if all allowed keys had the same weight; null if there is but one. */
export function evenness(value, allowed) {
    return allowed > 1 ? value / Math.log(allowed) : null;
}

export const NEAR_UNIFORM = 0.9;

/** Sum, mean and count of the numbers that there are. */
export function total(numbers) {
    const there = numbers.filter((n) => n !== null && !Number.isNaN(n));
    const sum = there.reduce((a, b) => a + b, 0);
    return { count: there.length, sum, mean: there.length > 0 ? sum / there.length : 0 };
}

/** Keeps the best `most` indices of a row, largest first. */
export function largest(row, most) {
    const order = Array.from(row.keys()).filter((j) => row[j] > 0 || row[j] < 0);
    return order.sort((a, b) => Math.abs(row[b]) - Math.abs(row[a]) || a - b).slice(0, most);
}

/** Which rows to read of `count`, evenly spread, if it is not to be more than `most`. */
export function sample(count, most) {
    return Array.from({ length: Math.min(count, most) }, (_, n) => Math.floor(n * count / Math.min(count, most)));
}

/** Cosine of the angle between two heads' numbers. */
export function likeness(a, b) {
    let ab = 0, aa = 0, bb = 0;
    for (let n = 0; n < a.length; n++) {
        ab += a[n] * b[n];
        aa += a[n] * a[n];
        bb += b[n] * b[n];
    }
    return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : null;
}

/**
 * What tells heads apart, averaged over rows: evenness, weight on the first key, on the own and the previous position,
 * and how far away the weight lies. A row is {i, weights, allowed}; `offset` is the query position minus the key
 * position of query 0 and key 0; from key `keys` on they are extra ones without a position.
 */
export function headFacts(rows, offset, keys) {
    const sums = { even: 0, evenCount: 0, first: 0, self: 0, previous: 0, distance: 0, count: 0 };
    for (const { i, weights, allowed } of rows) {
        if (allowed === 0)
            continue;
        const even = evenness(entropy(weights), allowed), own = i + offset;
        if (even !== null) {
            sums.even += even;
            sums.evenCount++;
        }
        sums.first += weights[0];
        sums.self += weights[own] ?? 0;
        sums.previous += weights[own - 1] ?? 0;
        for (let j = 0; j < keys; j++)
            sums.distance += weights[j] * Math.abs(own - j);
        sums.count++;
    }
    const share = (sum) => sums.count > 0 ? sum / sums.count : null;
    return {
        even: sums.evenCount > 0 ? sums.even / sums.evenCount : null,
        first: share(sums.first), self: share(sums.self), previous: share(sums.previous),
            distance: share(sums.distance),
    };
}
