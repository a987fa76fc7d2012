/* base64.js: bytes as text and back. */

/** The bytes of a tensor. */
export const bytesOf = ({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** @param {Uint8Array} bytes */
export function toBase64(bytes) {
    let text = '';
    for (let n = 0; n < bytes.length; n += 0x8000)
        text += String.fromCharCode(...bytes.subarray(n, n + 0x8000));
    return btoa(text);
}

/** @returns {Uint8Array} throws if the text is none */
export const fromBase64 = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
