/* Numbers from a seed that is printed, so that a failure can be seen again (splitmix64). */
export function randomFrom(seed = BigInt(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32))) {
    console.log(`SEED=${seed}`);
    let state = BigInt.asUintN(64, seed);
    const next = () => {
        state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
        let z = state;
        z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
        z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
        return Number((z ^ (z >> 31n)) >> 11n) / 2 ** 53;
    };
    next.integer = (from, to) => from + Math.floor(next() * (to - from));
    return next;
}
