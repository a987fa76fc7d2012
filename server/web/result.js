/* result.js: what is shown: the weights and all that is known about how they came about. It is made of a run's answer,
 * of a file that holds weights, or of what the service kept. */

import { maskAt } from './arithmetic.js';

let made = 0;

export class Result {
    /** @param {object} plain all fields of a result */
    constructor(plain) {
        Object.assign(this, plain);
    }

    weightAt(b, h, i, j) {
        return this.weights.data[((b * this.H + h) * this.L + i) * this.keys + j];
    }

    /** Why query i may not look at key j; null if it may. */
    reasonAt(b, h, i, j) {
        if (this.lse?.data[(b * this.H + h) * this.L + i] === -Infinity)
            return 'row without keys';
        return this.request ? maskAt(this.request, this.description, this, b, h, i, j).reason : null;
    }
}

/** Row i of the weights: of a head, or the mean or largest of all. */
export function rowOf(result, b, head, i) {
    const { H, L, keys, weights: { data } } = result;
    const of = (h) => data.subarray(((b * H + h) * L + i) * keys, ((b * H + h) * L + i + 1) * keys);
    return typeof head === 'number' ? of(head) : merge(head, H, keys, of);
}

/** The map of weights of a head, or the mean or largest of all. */
export function matrixOf(result, b, head) {
    const { H, L, keys, weights: { data } } = result, size = L * keys;
    const of = (h) => data.subarray((b * H + h) * size, (b * H + h + 1) * size);
    return { data: typeof head === 'number' ? of(head) : merge(head, H, size, of), rows: L, cols: keys };
}

function merge(how, H, size, of) {
    const out = new Float32Array(size);
    for (let h = 0; h < H; h++) {
        const one = of(h);
        for (let n = 0; n < size; n++)
            out[n] = how === 'max' ? Math.max(out[n], one[n]) : out[n] + one[n] / H;
    }
    return out;
}

/** `count` labels: those given, and numbers where there are none. */
function labelsFor(count, given) {
    return Array.from({ length: count }, (_, n) => String(given?.[n] ?? n));
}

function keyLabels(S, keys, description, given) {
    const extra = [description?.add_bias_kv && 'bias_k', description?.add_zero_attn && 'zero key'].filter(Boolean);
    const names = labelsFor(S, given);
    for (let n = S; n < keys; n++)
        names.push(given?.[n] ?? extra[n - S] ?? 'extra key');
    return names;
}

/* All results get a batch axis, of one entry if the request had none. */
function withBatch(tensor, batched) {
    return tensor && !batched ? { ...tensor, shape: [1, ...tensor.shape] } : tensor ?? null;
}

const NAMES = ['scores', 'lse', 'entropy', 'q', 'k', 'v', 'head_output', 'output'];

/**
 * @param {object} from request, description (the model's entry of /models), answer (its tensors by name, with `stats`),
 *        pooled, titles and labels
 */
export function fromAnswer({ request, description, answer, source = 'run', title = '', queryLabels, keyLabels: given,
    pooled = null, ...more }) {
    const query = request.query.shape, batched = query.length === 3, [L, E] = query.slice(-2);
    const S = (request.key ?? request.query).shape.at(-2);
    const weights = withBatch(answer.attn_weights, batched), stats = { ...answer.stats };
    for (const name of Object.keys(stats))
        stats[name] = withBatch(stats[name], batched);
    const keys = (pooled ? stats.received : weights).shape.at(-1);
    const plain = { id: `result-${++made}`, source, title, model: description?.name ?? request.model ?? null, description,
        request, batched, B: batched ? query[0] : 1, L, S, keys, H: weights.shape[1],
        Hkv: description?.num_kv_heads ?? weights.shape[1], D: description?.head_dim ?? answer.q?.shape.at(-1) ?? 0, E,
        queryLabels: labelsFor(L, queryLabels), keyLabels: keyLabels(S, keys, description, given ?? (request.key ? null
            : queryLabels)), weights, stats: answer.stats ? stats : null, pooled, timing: null, warnings: [], seed: null,
        resultUrl: null, ...more };
    for (const name of NAMES)
        plain[name] = withBatch(answer[name], batched);
    return new Result(plain);
}

/** A result of weights alone: [L,S], [H,L,S] or [B,H,L,S]. Throws an Error with a sentence. */
export function fromWeights({ weights, title, queryLabels, keyLabels: given, source = 'file', ...more }) {
    const { shape } = weights;
    if (shape.length < 2 || shape.length > 4 || shape.includes(0))
        throw new Error(`Weights have the shape [L, S], [H, L, S] or [B, H, L, S], not [${shape.join(', ')}].`);
    const [B, H, L, S] = [...Array(4 - shape.length).fill(1), ...shape];
    const none = Object.fromEntries(NAMES.map((name) => [name, null]));
    return new Result({ ...none, id: `result-${++made}`, source, title, model: null, description: null, request: null,
        batched: shape.length === 4, B, L, S, keys: S, H, Hkv: H, D: 0, E: 0, queryLabels: labelsFor(L, queryLabels),
        keyLabels: labelsFor(S, given ?? (L === S ? queryLabels : null)), stats: null, pooled: null, timing: null,
        warnings: [], seed: null, resultUrl: null, weights: { ...weights, shape: [B, H, L, S] }, ...more });
}

const RUNS_MOST = 20, CELLS_MOST = 1 << 27;

/** The newest of these runs: 20, or fewer if they are large. */
export function latest(runs) {
    let cells = 0;
    return runs.filter((run, n) => n === 0 || (n < RUNS_MOST && (cells += run.weights.data.length) + runs[0].weights.data.length < CELLS_MOST));
}
