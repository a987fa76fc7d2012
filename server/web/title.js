/* title.js: what is shown, in words. */

import { make } from './labels.js';

function sizesOf({ source, model, B, L, keys, H, Hkv, request }) {
    const parts = [source === 'file' ? 'from a file' : model, B > 1 && `${B} batch entries`,
        `${H} ${H === 1 ? 'head' : 'heads'}${Hkv < H ? ` in ${Hkv} groups` : ''}`, `${L} queries × ${keys} keys`,
        request?.is_causal && 'causal', source === 'kept' && 'kept'];
    return parts.filter(Boolean).join(' · ');
}

export function mount(element, store) {
    const sizes = document.getElementById('sizes');
    const show = ({ result }) => {
        if (!result)
            return;
        element.replaceChildren(make('bdi', {}, result.title || 'Untitled'));
        sizes.replaceChildren(sizesOf(result), ...(result.warnings ?? []).map((text) => make('span', { class: 'warning' }, ` · ${text}`)));
    };
    store.subscribe((state, before) => state.result !== before.result && show(state));
    show(store.get());
}
