/* store.js: the one state of the page. Who changes it calls set(); who shows it subscribes. */

const UNDO_MOST = 50;

let state = {
    models: [], model: '', result: null, runs: [], compare: null,
    batch: 0, head: 0, direction: 'query', hover: null, cells: [], clicks: 'choose', clicked: null,
    palette: 'cividis', scale: 'linear', scope: 'head', dropped: [], tab: 'matrix',
    window: { row: 0, col: 0, zoom: 0 },
    what: { maskedKeys: [], maskedEdges: [], causal: null, temperature: 1 },
    busy: false, problem: null,
};

const listeners = new Set(), waiting = [];
let undone = [], telling = false;

/* The head and the batch entry may come from a link, or belong to the result before: what is not there is the first. */
function fit(next) {
    const { result, head, batch } = next;
    return result ? { ...next, head: head >= result.H ? 0 : head, batch: batch >= result.B ? 0 : batch } : next;
}

/* A change made by a listener is told after the one that it listened to, so that all hear them in their order. */
function tell(before) {
    waiting.push([state, before]);
    if (telling)
        return;
    telling = true;
    try {
        for (let change = waiting.shift(); change; change = waiting.shift())
            listeners.forEach((listener) => listener(...change));
    } finally {
        telling = false;
        waiting.length = 0;
    }
}

export const store = {
    get: () => state,

    /** Merges `patch` into the state. With `undo` it can be taken back; but runs that happened stay in their list. */
    set(patch, { undo = false } = {}) {
        const before = state;
        state = fit({ ...before, ...patch });
        if (undo)
            undone.push(Object.fromEntries(Object.keys(patch).filter((name) => name !== 'runs').map((name) => [name, before[name]])));
        if (undo || patch.runs) /* results are large: those that are forgotten are not held here either */
            undone = undone.filter(({ result }) => !result || state.runs.includes(result)).slice(-UNDO_MOST);
        tell(before);
    },

    /** Calls `listener(state, before)` after each change. Returns a function that ends it. */
    subscribe(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
    },

    undo() {
        if (undone.length > 0)
            this.set(undone.pop());
    },

    canUndo: () => undone.length > 0,
};
