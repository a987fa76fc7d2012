/* Random inputs from a seed, which is printed: SEED=... runs the same test again. */
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
console.log(`SEED=${seed}`);

let state = seed >>> 0;

/** A number from 0 to 1 (mulberry32). */
export function uniform() {
    state = (state + 0x6D2B79F5) >>> 0;
    let t = Math.imul(state ^ state >>> 15, state | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
}

export const below = (n) => Math.floor(uniform() * n);

const filled = (Type, shape, make) => Type.from({ length: shape.reduce((a, b) => a * b, 1) }, make);

/** A tensor of float32 between -size and size. */
export const tensor = (shape, size = 1) => ({ shape, dtype: 'float32',
    data: filled(Float32Array, shape, () => (2 * uniform() - 1) * size) });

/** A tensor of booleans, of which about this share is true. */
export const booleans = (shape, share) => ({ shape, dtype: 'bool', data: filled(Uint8Array, shape,
    () => uniform() < share ? 1 : 0) });
