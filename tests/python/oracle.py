"""Multi-head attention in double precision, written from the paper (Vaswani et al. 2017, section 3.2.2) with numpy and
independent of the service: what its answers are held against."""

import numpy as np


def attention(
    weights,
    num_heads,
    query,
    key=None,
    value=None,
    attn_mask=None,
    key_padding_mask=None,
    is_causal=False,
    query_offset=0,
    key_offset=0,
    add_zero_attn=False,
    full=False,
):
    """Output [B, L, E] and weights [B, H, L, S+], float64, of arrays [B, L, E], [B, S, kdim], [B, S, vdim]; masks
    boolean or added. `weights` are named as in torch.nn.MultiheadAttention.state_dict(); with bias_k and bias_v in
    them, and with add_zero_attn, there is one key more each, which nothing masks. `full`: a dict of these two and of
    what is on the way to them, by the names that the service has for them."""
    key = query if key is None else key
    value = key if value is None else value
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    embed_dim = w["out_proj.weight"].shape[0]
    if "in_proj_weight" in w:
        wq, wk, wv = np.split(w["in_proj_weight"], 3)
    else:
        wq, wk, wv = (w[f"{name}_proj_weight"] for name in "qkv")
    bq, bk, bv = np.split(w.get("in_proj_bias", np.zeros(3 * embed_dim)), 3)

    def heads(x, weight, bias):  # [B, N, width] to [B, H, N, D]
        projected = x.astype(np.float64) @ weight.T + bias
        return projected.reshape(x.shape[0], x.shape[1], num_heads, -1).transpose(0, 2, 1, 3)

    q, k, v = heads(query, wq, bq), heads(key, wk, bk), heads(value, wv, bv)
    batch, _, length, head_dim = q.shape
    keys = k.shape[2]
    if "bias_k" in w:
        k, v = (_with_key(x, w[name].reshape(1, num_heads, 1, -1)) for x, name in ((k, "bias_k"), (v, "bias_v")))
    if add_zero_attn:
        k, v = (_with_key(x, np.zeros((1, num_heads, 1, head_dim))) for x in (k, v))
    raw = np.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(head_dim)
    scores, extra = raw[..., :keys], raw[..., keys:]
    if is_causal:
        seen = key_offset + np.arange(keys) <= query_offset + np.arange(length)[:, None]
        scores = np.where(seen, scores, -np.inf)
    if attn_mask is not None:
        mask = attn_mask.reshape(batch, num_heads, length, keys) if attn_mask.ndim == 3 else attn_mask
        scores = scores + _added(mask)
    if key_padding_mask is not None:
        scores = scores + _added(key_padding_mask)[:, None, None, :]

    scores = np.concatenate([scores, extra], axis=-1)
    top = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(np.isneginf(top), 0.0, top))
    sums = powers.sum(axis=-1, keepdims=True)
    attn = powers / np.where(sums == 0.0, 1.0, sums)  # a row that may attend to nothing has weights of zero
    mixed = np.einsum("bhij,bhjd->bhid", attn, v)
    side_by_side = mixed.transpose(0, 2, 1, 3).reshape(batch, length, embed_dim)
    output = side_by_side @ w["out_proj.weight"].T + w.get("out_proj.bias", 0.0)
    if not full:
        return output, attn
    with np.errstate(divide="ignore"):
        lse = np.where(sums == 0.0, -np.inf, top + np.log(sums))[..., 0]
    results = {"output": output, "attn_weights": attn, "head_output": mixed, "lse": lse, "scores": raw}
    return {**results, "q": q, "k": k, "v": v}


def _with_key(keys, extra):
    """Keys [B, H, S, D] and one more [1, H, 1, D]."""
    return np.concatenate([keys, np.broadcast_to(extra, (*keys.shape[:2], 1, keys.shape[3]))], axis=2)


def _added(mask):
    return np.where(mask, -np.inf, 0.0) if mask.dtype == np.bool_ else mask.astype(np.float64)
