"""The service against torch.nn.MultiheadAttention on random set-ups.

Each set-up is a module with random widths, heads, biases and extra keys, saved by attend.save_model and served under
its own name, and one call with random shapes, masks and options; several set-ups share a module. torch takes its
slow path: the mask is given explicitly, and the weights are asked for. The measure is the error against the same module in double
precision: over all set-ups, the worst of the service may be twice the worst of torch in float32, or 1e-6 of the
largest number."""

import copy
import dataclasses
import json
import warnings
from typing import Optional

import attend
import numpy as np
import pytest
import torch
from attend_server import AttendServer
from conftest import REPORT, SEED
from make_vectors import EXAMPLES, ROOT, compute
from oracle import attention
from safetensors.torch import save_file

MODULES = 250
SETUPS = 1000
SANE = 2e-5  # of the largest number: what rounding alone can do where large scores meet softmax


@dataclasses.dataclass
class Setup:
    module: torch.nn.MultiheadAttention
    tensors: list  # query, or query and key, or query, key and value
    attn_mask: Optional[torch.Tensor]
    key_padding_mask: Optional[torch.Tensor]
    is_causal: bool
    average: bool
    need_weights: bool
    text: str


def make_setup(index: int) -> Setup:
    module = make_module(np.random.default_rng([SEED, index % MODULES]))
    rng = np.random.default_rng([SEED, 1, index])
    same = module.kdim == module.vdim == module.embed_dim
    kind = rng.choice(["self", "key", "key and value"]) if same else "key and value"
    batch, length, keys = (int(rng.integers(1, top)) for top in (5, 33, 41))
    keys = length if kind == "self" else keys
    size = float(rng.choice([0.3, 1.0, 4.0]))
    tensors = [draw(rng, size, batch, length, module.embed_dim)]
    tensors += [draw(rng, size, batch, keys, module.kdim)] if kind != "self" else []
    tensors += [draw(rng, size, batch, keys, module.vdim)] if kind == "key and value" else []

    mask_kind = rng.choice(["none", "bool 2-D", "float 2-D", "bool 3-D", "float 3-D"])
    shape = (length, keys) if mask_kind.endswith("2-D") else (batch * module.num_heads, length, keys)
    attn_mask = None if mask_kind == "none" else random_mask(rng, shape, mask_kind.startswith("bool"))
    padding_kind = rng.choice(["none", "bool", "float"])
    padding = None if padding_kind == "none" else random_mask(rng, (batch, keys), padding_kind == "bool")
    causal, average, need = (bool(rng.random() < chance) for chance in (0.3, 0.3, 0.75))
    text = (
        f"{module}, kdim {module.kdim} vdim {module.vdim} bias_kv {module.bias_k is not None} "
        f"zero_attn {module.add_zero_attn} B {batch} L {length} S {keys} {kind}, size {size}, "
        f"attn_mask {mask_kind}, padding {padding_kind}, causal {causal}"
    )
    return Setup(module, tensors, attn_mask, padding, causal, average, need, text)


def make_module(rng) -> torch.nn.MultiheadAttention:
    heads = int(rng.choice([1, 2, 3, 4, 5, 8]))
    embed_dim = heads * int(rng.integers(-(-8 // heads), 256 // heads + 1))  # 8 to 256
    other_widths = rng.random() < 0.3
    widths = [int(rng.integers(1, 130)) if other_widths and rng.random() < 0.6 else None for _ in "kv"]
    bias, bias_kv, zero_attn = (bool(rng.random() < chance) for chance in (0.7, 0.3, 0.3))
    torch.manual_seed(int(rng.integers(2**31)))
    module = torch.nn.MultiheadAttention(
        embed_dim,
        heads,
        0.1,
        bias,
        add_bias_kv=bias_kv,
        add_zero_attn=zero_attn,
        kdim=widths[0],
        vdim=widths[1],
        batch_first=True,
    )
    if bias:  # torch begins with zeros
        torch.nn.init.normal_(module.in_proj_bias, std=0.3)
        torch.nn.init.normal_(module.out_proj.bias, std=0.3)
    return module.eval()


def draw(rng, size: float, *shape: int) -> torch.Tensor:
    return torch.from_numpy((size * rng.standard_normal(shape)).astype(np.float32))


def random_mask(rng, shape: tuple, boolean: bool) -> torch.Tensor:
    excluded = torch.from_numpy(rng.random(shape) < rng.choice([0.0, 0.3, 0.8]))
    if boolean:
        return excluded
    numbers = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
    return numbers.masked_fill(excluded, -torch.inf)


def merged_mask(setup: Setup, dtype) -> Optional[torch.Tensor]:
    """torch wants causality as part of attn_mask, and masks of one type."""
    length, keys = setup.tensors[0].shape[1], setup.tensors[-1].shape[1]
    mask = torch.zeros(length, keys, dtype=dtype)
    if setup.attn_mask is not None:
        mask = added(setup.attn_mask, dtype)
    if setup.is_causal:
        mask = mask.masked_fill(torch.ones(length, keys, dtype=torch.bool).triu(1), -torch.inf)
    return mask


def added(mask: torch.Tensor, dtype) -> torch.Tensor:
    if mask.dtype == torch.bool:
        return torch.zeros(mask.shape, dtype=dtype).masked_fill(mask, -torch.inf)
    return mask.to(dtype)


def run_torch(setup: Setup, dtype) -> tuple:
    """Output [B, L, E] and weights [B, H, L, S] as torch computes them, NaN where a query has no key."""
    module = copy.deepcopy(setup.module).to(dtype)
    query = setup.tensors[0].to(dtype)
    key = setup.tensors[1].to(dtype) if len(setup.tensors) > 1 else query
    value = setup.tensors[2].to(dtype) if len(setup.tensors) > 2 else key
    padding = None if setup.key_padding_mask is None else added(setup.key_padding_mask, dtype)
    with torch.inference_mode():
        output, weights = module(
            query,
            key,
            value,
            key_padding_mask=padding,
            attn_mask=merged_mask(setup, dtype),
            need_weights=True,
            average_attn_weights=False,
        )
    return output.numpy(), weights.numpy()


def run_oracle(setup: Setup) -> tuple:
    arrays = [tensor.numpy() for tensor in setup.tensors]
    masks = {"attn_mask": merged_mask(setup, torch.float32).numpy()}
    if setup.key_padding_mask is not None:
        masks["key_padding_mask"] = setup.key_padding_mask.numpy()
    weights = {name: tensor.numpy() for name, tensor in setup.module.state_dict().items()}
    masks["add_zero_attn"] = setup.module.add_zero_attn
    return attention(weights, setup.module.num_heads, *arrays, **masks)


@pytest.fixture(scope="module")
def setups(tmp_path_factory):
    return [make_setup(index) for index in range(SETUPS)]


@pytest.fixture(scope="module")
def url(setups, tmp_path_factory):
    root = tmp_path_factory.mktemp("layers")
    arguments = ["--model", "builtin:demo"]
    for index, setup in enumerate(setups[:MODULES]):
        arguments += ["--model", f"s{index}={attend.save_model(setup.module, root / str(index))}"]
    with AttendServer(*arguments) as server:
        yield server.url


@pytest.fixture(scope="module")
def errors():
    """{("output" or "weights", index): (the service's error, torch's, has a query no key?)}, the errors as fractions of
    the set-up's largest number."""
    return {}


@pytest.mark.parametrize("index", range(SETUPS))
def test_random_setup(url, setups, errors, index):
    setup = setups[index]
    mha = attend.MultiHeadAttention(url, f"s{index % MODULES}")
    options = dict(
        attn_mask=setup.attn_mask, key_padding_mask=setup.key_padding_mask, is_causal=setup.is_causal
    )
    output, weights = mha(*setup.tensors, need_weights=True, **options)
    assert isinstance(output, torch.Tensor) and output.dtype == weights.dtype == torch.float32
    output, weights = output.numpy(), weights.numpy()

    double, single = run_torch(setup, torch.float64), run_torch(setup, torch.float32)
    empty = np.isnan(double[1]).any(axis=-1)  # [B, H, L]
    some_empty = empty.any(axis=1)  # [B, L]: torch has no number for these outputs
    want_output, want_weights = run_oracle(setup)
    np.testing.assert_allclose(want_output[~some_empty], double[0][~some_empty], rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(weights[empty], 0.0)
    bias = setup.module.out_proj.bias
    bias = np.zeros(output.shape[-1], np.float32) if bias is None else bias.detach().numpy()
    alone = empty.all(axis=1)
    np.testing.assert_array_equal(output[alone], np.broadcast_to(bias, output[alone].shape))

    for what, service, peer, want in (
        ("output", output, np.where(some_empty[..., None], want_output, single[0]), want_output),
        ("weights", weights, np.where(empty[..., None], 0.0, single[1]), want_weights),
    ):
        largest = np.abs(want).max() or 1.0  # 0 where no query has a key
        error, peers_error = np.abs(service - want).max() / largest, np.abs(peer - want).max() / largest
        errors[what, index] = error, peers_error, empty.any()
        assert error <= SANE, setup.text

    if setup.average:
        _, mean = mha(*setup.tensors, need_weights=True, average_attn_weights=True, **options)
        np.testing.assert_allclose(mean.numpy(), weights.mean(axis=1), rtol=0, atol=2e-7)
    if not setup.need_weights:
        np.testing.assert_array_equal(mha(*setup.tensors, **options).numpy(), output)
    if len(output) == 1:  # the same without B: the same bits, without B
        options["key_padding_mask"] = None if setup.key_padding_mask is None else setup.key_padding_mask[0]
        unbatched = mha(*(tensor[0] for tensor in setup.tensors), need_weights=True, **options)
        for found, want in zip(unbatched, (output, weights)):
            np.testing.assert_array_equal(found.numpy(), want[0])


@pytest.mark.parametrize("what", ["output", "weights"])
def test_worst_error(errors, setups, what):
    """Over all set-ups, the service's worst error is at most twice torch's worst, or 1e-6 of the largest number."""
    of_all = np.array([found for (kind, _), found in errors.items() if kind == what])
    service, peer, _ = of_all.max(axis=0)
    better, worse = (of_all[:, 0] < of_all[:, 1]).sum(), (of_all[:, 0] > of_all[:, 1]).sum()
    beyond = [(of_all[:, a] > np.maximum(2 * of_all[:, b], 1e-6)).sum() for a, b in ((0, 1), (1, 0))]
    REPORT.append(
        f"{len(of_all)} set-ups ({of_all[:, 2].sum():.0f} with a query without keys), {what}, "
        f"errors against double precision over the largest number: worst {service:.2e} "
        f"(torch {peer:.2e}); the service is nearer in {better}, torch in {worse}; "
        f"beyond twice the other's error and 1e-6: service in {beyond[0]}, torch in {beyond[1]}"
    )
    assert service <= max(2 * peer, 1e-6)


@pytest.mark.parametrize("name", EXAMPLES)
def test_vectors_are_torchs(name):
    """The numbers in the tree are what torch computes today."""
    _, output, weights = compute(name)
    np.testing.assert_allclose(np.load(ROOT / f"tests/vectors/{name}.output.npy"), output, rtol=0, atol=2e-6)
    np.testing.assert_allclose(
        np.load(ROOT / f"tests/vectors/{name}.weights.npy"), weights, rtol=0, atol=2e-6
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float32])
def test_torch_kinds(url, dtype):
    x = torch.randn(2, 3, 512, generator=torch.Generator().manual_seed(SEED)).to(dtype).requires_grad_()
    mha = attend.MultiHeadAttention(url, "demo")
    with pytest.warns(attend.AttendWarning, match="query with requires_grad: no gradient"):
        output, weights = mha(x, need_weights=True, attn_mask=torch.ones(3, 3, dtype=torch.bool).triu(1))
    for result in (output, weights):
        assert isinstance(result, torch.Tensor) and result.dtype == torch.float32 and not result.requires_grad
    plain = mha(x.detach().float().numpy(), attn_mask=np.triu(np.ones((3, 3), bool), 1))
    assert isinstance(plain, np.ndarray)
    np.testing.assert_array_equal(output.numpy(), plain)


@pytest.mark.parametrize("name", ["query", "key", "value", "attn_mask", "key_padding_mask", "head_output"])
@pytest.mark.parametrize("kind", ["leaf", "parameter", "computed"])
def test_gradients_do_not_vanish_in_silence(url, name, kind):
    """Only where there would be one: not of a constant, not under no_grad or in inference mode, not once detached."""
    mha, x = attend.MultiHeadAttention(url, "demo"), torch.randn(1, 3, 512)
    shape = {"attn_mask": (3, 3), "key_padding_mask": (1, 3), "head_output": (1, 8, 3, 64)}.get(name, (1, 3, 512))
    leaf = torch.full(shape, 0.25, requires_grad=True)
    tensor = {"leaf": leaf, "parameter": torch.nn.Parameter(leaf.detach()), "computed": 2 * leaf}[kind]
    fields = {name: tensor} if name == "head_output" else {"query": x, name: tensor}
    with pytest.warns(attend.AttendWarning, match=f"^{name} with requires_grad: .* {name}.detach()") as caught:
        with_gradient = mha(**fields)
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.no_grad():
            assert torch.equal(mha(**fields), with_gradient)
        with torch.inference_mode():
            assert torch.equal(mha(**fields), with_gradient)
        assert torch.equal(mha(**{**fields, name: tensor.detach()}), with_gradient)


def test_gradients_of_what_is_merged():
    parts = [(torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2)) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attend.merge(parts)
    parts[0][1].requires_grad_()
    with pytest.warns(attend.AttendWarning, match=r"^parts\[0\]\[1\] with requires_grad"):
        attend.merge(parts)


def test_tensors_taken_apart(url):
    mha, x = attend.MultiHeadAttention(url, "demo"), torch.randn(2, 3, 512)
    with pytest.warns(attend.AttendWarning, match="needs need_weights=True"):
        output, _ = mha(x, x, x)


def test_tensors_with_gaps(url):
    x = torch.randn(512, 3, 2, generator=torch.Generator().manual_seed(SEED)).permute(2, 1, 0)
    mha = attend.MultiHeadAttention(url, "demo")
    assert torch.equal(mha(x), mha(x.contiguous()))


@pytest.mark.parametrize("kind, prefixes", [
    (lambda: torch.nn.TransformerEncoderLayer(24, 4, 16, batch_first=True), ["self_attn."]),
    (lambda: torch.nn.TransformerDecoderLayer(24, 4, 16, batch_first=True), ["self_attn.", "multihead_attn."]),
    (lambda: torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(24, 4, 16, batch_first=True), 2),
     ["layers.0.self_attn.", "layers.1.self_attn."]),
    (lambda: torch.nn.Transformer(24, 4, 1, 1, 16, batch_first=True),
     ["encoder.layers.0.self_attn.", "decoder.layers.0.self_attn.", "decoder.layers.0.multihead_attn."]),
], ids=["encoder layer", "decoder layer", "encoder", "transformer"])  # fmt: skip
def test_layers_of_larger_modules(kind, prefixes, tmp_path):
    """The state_dict as torch has it: each attention module under its prefix; the only one is found by itself."""
    torch.manual_seed(SEED)
    module = kind().eval()
    (tmp_path / "config.json").write_text(json.dumps(dict(embed_dim=24, num_heads=4)))
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    models = [part for n, prefix in enumerate(prefixes) for part in ("--model", f"m{n}={tmp_path}#{prefix}")]
    models += ["--model", f"alone={tmp_path}"] if len(prefixes) == 1 else []
    query, key = torch.randn(2, 5, 24), torch.randn(2, 7, 24)
    with AttendServer(*models) as server, attend.Client(server.url) as client:
        for n, prefix in enumerate(prefixes):
            want = module.get_submodule(prefix[:-1])(query, key, key)[0].detach().numpy()
            for name in [f"m{n}"] + (["alone"] if len(prefixes) == 1 else []):
                found = client.attend(name, query=query.numpy(), key=key.numpy(), value=key.numpy()).output
                assert np.abs(found - want).max() < 1e-5 * np.abs(want).max()


def test_save_model_refuses(tmp_path):
    with pytest.raises(TypeError, match="not a Linear"):
        attend.save_model(torch.nn.Linear(8, 8), tmp_path / "layer")


def test_bench_measures_torch_and_compares(url, tmp_path, capsys):
    from attend.cli import main

    path = tmp_path / "bench.json"
    code = main(
        ["bench", "--url", url, "--requests", "16", "--warmup", "2", "--need-weights", "--json", str(path)]
    )
    report = json.loads(path.read_text())
    assert code == 0 and report["torch"]["calls"] == report["service"]["calls"] == 16
    assert report["numbers"]["agree"] and report["numbers"]["weights_max_difference"] < 2e-6
    assert "service and torch agree" in capsys.readouterr().out
    code = main(["bench", "--url", url, "--requests", "8", "--warmup", "0", "--init-seed", "1"])
    assert code == 1 and "DO NOT agree" in capsys.readouterr().out
