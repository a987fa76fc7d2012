/* commands.js: the request that made a result, as a command for a shell and as a program in Python; both give the same
 * bits again. Nothing of what a person typed can leave its quotes, and a key of the service is never in them. */

import { bytesOf, toBase64 } from './base64.js';

/* The model is in the path; the others are for a browser, or say how to answer. */
const LEFT_OUT = ['model', 'keep', 'id', 'encoding', 'return', 'view', 'need_weights', 'query_labels', 'key_labels'];

/** A word for a POSIX shell. */
export const shellWord = (text) => `'${text.replaceAll('\0', '').replaceAll('\'', '\'\\\'\'')}'`;

/** JSON in ASCII and without an apostrophe, so that it can stand in a here-document and in Python's r'''...'''. */
export const plainJson = (value) => JSON.stringify(value)
    .replace(/[^ -&(-~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** A request's body as JSON, its tensors in base64: one field a line. */
export function requestJson(request) {
    const write = (value) => plainJson(ArrayBuffer.isView(value?.data)
        ? { shape: value.shape, dtype: value.dtype, data: toBase64(bytesOf(value)) } : value);
    const fields = Object.entries({ ...request, need_weights: true }).filter(([name, value]) => value !== null
        && value !== undefined && (name === 'need_weights' || !LEFT_OUT.includes(name)));
    return `{${fields.map(([name, value]) => `${plainJson(name)}: ${write(value)}`).join(',\n ')}}`;
}

/**
 * A command for a POSIX shell. The body is a here-document, as a word of a command line may not be longer than 128 KiB;
 * no line of the JSON can be the word that ends it.
 * @param {string} origin of the service, like http://127.0.0.1:8080
 */
export const curlCommand = (origin, model, request) => `curl -sS \\
    ${shellWord(`${origin}/attend/${encodeURIComponent(model)}`)} \\
    -H 'Content-Type: application/json' --data-binary @- <<'END'
${requestJson(request)}
END
`;

/** A program for Python with the client of this project. */
export const pythonProgram = (origin, model, request) => `import base64
import json

import attend  # pip install ./clients/python
import numpy as np

fields = json.loads(r'''${requestJson(request)}''')
for name, value in fields.items():
    if isinstance(value, dict):
        data = np.frombuffer(base64.b64decode(value["data"]), value["dtype"])
        fields[name] = data.reshape(value["shape"])
answer = attend.Client(json.loads(r'''${plainJson(origin)}''')).attend(json.loads(r'''${plainJson(model)}'''), **fields)
print(answer.output, answer.attn_weights)
`;
