"""Stacks of layers of PyTorch in towers that run as one scan: the same outputs, both ways."""

from functools import partial

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.tolerance import assert_close, assert_exact  # noqa: E402

from ramie import linen as nn  # noqa: E402
from ramie import nnx  # noqa: E402
from ramie.interop.torch import from_state_dict, to_state_dict  # noqa: E402

WIDTH, HEADS, HIDDEN, DEPTH = 8, 2, 16, 4
X = np.random.default_rng(0).normal(size=(2, 5, WIDTH)).astype(np.float32)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


class EncoderLayer(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = x + nn.MultiHeadDotProductAttention(HEADS, name="self_attn")(x)
        x = nn.LayerNorm(epsilon=1e-5, name="norm1")(x)
        y = nn.relu(nn.Dense(HIDDEN, name="linear1")(x))
        return nn.LayerNorm(epsilon=1e-5, name="norm2")(x + nn.Dense(WIDTH, name="linear2")(y))


class NNXEncoderLayer(nnx.Module):
    def __init__(self, *, rngs):
        self.self_attn = nnx.MultiHeadAttention(HEADS, WIDTH, decode=False, rngs=rngs)
        self.norm1 = nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs)
        self.norm2 = nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs)
        self.linear1 = nnx.Linear(WIDTH, HIDDEN, rngs=rngs)
        self.linear2 = nnx.Linear(HIDDEN, WIDTH, rngs=rngs)

    def __call__(self, x):
        x = self.norm1(x + self.self_attn(x))
        return self.norm2(x + self.linear2(nnx.relu(self.linear1(x))))


def encoder():
    layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, batch_first=True)
    network = torch.nn.TransformerEncoder(layer, DEPTH, enable_nested_tensor=False).eval()
    for tensor in network.state_dict().values():  # else all layers begin alike
        tensor.copy_(torch.rand_like(tensor) - 0.3)
    return network


def outputs(network, x=X):
    return network(torch.from_numpy(x)).detach().numpy()


def assert_written(network, tensors):
    """Load tensors into a network whose own are gone, and compare its outputs."""
    expected, before = outputs(network), dict(network.state_dict())
    for name, tensor in tensors.items():
        assert_exact(tensor.numpy(), before[name].numpy())
    for tensor in before.values():
        tensor.zero_()
    network.load_state_dict(tensors)
    assert_exact(outputs(network), expected)


@pytest.mark.parametrize("scan", [True, False])
def test_encoders_of_linen(scan):
    network, tower = encoder(), nn.Repeat(EncoderLayer, DEPTH, scan=scan)
    variables = from_state_dict(network.state_dict(), tower, X)
    assert_close(jax.jit(tower.apply)(variables, X), outputs(network), "model")
    assert_written(network, to_state_dict(variables, tower, X, form="torch"))


@pytest.mark.parametrize("scan", [True, False])
def test_encoders_of_nnx(scan):
    network = encoder()
    tower = nnx.Repeat(NNXEncoderLayer, DEPTH, rngs=nnx.Rngs(0), scan=scan)
    nnx.update(tower, from_state_dict(network.state_dict(), tower))
    assert_close(nnx.jit(lambda model, x: model(x))(tower, X), outputs(network), "model")
    assert_written(network, to_state_dict(tower, form="torch"))


class Blocks(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.h = torch.nn.ModuleList(
            torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.LayerNorm(WIDTH))
            for _ in range(DEPTH)
        )
        self.head = torch.nn.Linear(WIDTH, 3)

    def forward(self, x):
        for block in self.h:
            x = torch.tanh(block(x))
        return self.head(x)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.tanh(nn.LayerNorm(epsilon=1e-5, name="norm")(nn.Dense(WIDTH, name="dense")(x)))


class ByRepeat(nn.Module):
    scan: bool = True

    @nn.compact
    def __call__(self, x):
        x = nn.Repeat(partial(Block), DEPTH, scan=self.scan, name="tower")(x)
        return nn.Dense(3, name="head")(x)


class ByScan(nn.Module):
    @nn.compact
    def __call__(self, x):
        options = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
        run = nn.scan(lambda block, x: (block(x), None), length=DEPTH, **options)
        return nn.Dense(3, name="head")(run(Block(name="blocks"), x)[0])


class NNXBlock(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.norm = nnx.LayerNorm(WIDTH, epsilon=1e-5, rngs=rngs)

    def __call__(self, x):
        return nnx.tanh(self.norm(self.dense(x)))


class ByNNXScan(nnx.Module):
    def __init__(self, rngs):
        make = nnx.vmap(lambda rngs: NNXBlock(rngs), in_axes=(0,), out_axes=0)
        self.blocks = make(rngs.fork(split=DEPTH))
        self.head = nnx.Linear(WIDTH, 3, rngs=rngs)

    def __call__(self, x):
        run = nnx.scan(
            lambda block, x: block(x), in_axes=(0, nnx.Carry), out_axes=nnx.Carry, length=DEPTH
        )
        return self.head(run(self.blocks, x))


def names_below(path):
    inner = {f"{path}/{i}/{name}": f"h.{i}.{n}" for i in range(DEPTH) for n, name in INNER}
    return {path: "h", **inner}


INNER = ((0, "dense"), (1, "norm"))
MODELS = {
    "repeat": lambda: (ByRepeat(), {"names": names_below("tower/layers")}),
    "written out": lambda: (ByRepeat(scan=False), {"names": names_below("tower/layers")}),
    "scan": lambda: (ByScan(), {"names": names_below("blocks"), "stacked": ["blocks"]}),
    "nnx": lambda: (
        ByNNXScan(nnx.Rngs(0)),
        {"names": names_below("blocks"), "stacked": ["blocks"]},
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_lists_of_blocks_with_names_of_their_own(kind):
    network = Blocks().eval()
    for tensor in network.state_dict().values():
        tensor.copy_(torch.rand_like(tensor) - 0.3)
    model, options = MODELS[kind]()
    args = () if kind == "nnx" else (X,)
    variables = from_state_dict(network.state_dict(), model, *args, **options)
    if kind == "nnx":
        nnx.update(model, variables)
        ours = model(X)
    else:
        ours = jax.jit(model.apply)(variables, X)
    assert_close(ours, outputs(network), "model")
    assert_written(network, to_state_dict(variables, model, *args, form="torch", **options))


@pytest.mark.parametrize("scan", [True, False])
def test_recurrent_networks_of_several_layers(scan):
    network = torch.nn.LSTM(WIDTH, WIDTH, num_layers=3, batch_first=True)
    tower = nn.Repeat(partial(nn.RNN, nn.OptimizedLSTMCell(WIDTH)), 3, scan=scan)
    names = {f"layers/{i}/cell": f"*_l{i}" for i in range(3)}
    variables = from_state_dict(network.state_dict(), tower, X, names=names)
    theirs = network(torch.from_numpy(X))[0].detach().numpy()
    assert_close(jax.jit(tower.apply)(variables, X), theirs, "model")
    written = to_state_dict(variables, tower, X, names=names, form="torch")
    assert set(written) == set(network.state_dict())
    network.load_state_dict(written)
    assert_close(network(torch.from_numpy(X))[0].detach().numpy(), theirs, "model")
