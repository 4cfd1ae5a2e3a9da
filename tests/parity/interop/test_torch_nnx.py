"""PyTorch networks, converted into NNX models: the same outputs, both ways."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.tolerance import assert_close, assert_exact  # noqa: E402

from ramie import errors, nnx  # noqa: E402
from ramie import linen as nn  # noqa: E402
from ramie.interop.torch import from_state_dict, to_state_dict  # noqa: E402

RNGS = nnx.Rngs(0)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def numbers(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def of_torch(layer, x):
    """Call a layer of PyTorch on channels-last input."""
    if x.dtype.kind != "f":
        return layer(torch.from_numpy(x)).detach().numpy()
    y = layer(torch.from_numpy(np.moveaxis(x, -1, 1).copy()))
    return np.moveaxis(y.detach().numpy(), 1, -1)


def randomise(network):
    for tensor in network.state_dict().values():
        if tensor.dtype.is_floating_point:
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return network.eval()


IMAGES, ROWS = numbers(2, 5, 5, 4), numbers(3, 4)
LAYERS = {
    "linear": lambda: (torch.nn.Linear(4, 3), nnx.Linear(4, 3, rngs=RNGS), ROWS),
    "no bias": lambda: (
        torch.nn.Linear(4, 3, bias=False),
        nnx.Linear(4, 3, use_bias=False, rngs=RNGS),
        ROWS,
    ),
    "conv": lambda: (
        torch.nn.Conv2d(4, 6, 3, padding=1, groups=2),
        nnx.Conv(4, 6, (3, 3), padding=1, feature_group_count=2, rngs=RNGS),
        IMAGES,
    ),
    "transposed": lambda: (
        torch.nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1),
        nnx.ConvTranspose(4, 3, (4, 4), (2, 2), padding=2, rngs=RNGS),
        IMAGES,
    ),
    "gradient": lambda: (
        torch.nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1),
        nnx.ConvTranspose(4, 3, (4, 4), (2, 2), padding=2, transpose_kernel=True, rngs=RNGS),
        IMAGES,
    ),
    "batch norm": lambda: (
        torch.nn.BatchNorm2d(4),
        nnx.BatchNorm(4, use_running_average=True, rngs=RNGS),
        IMAGES,
    ),
    "group norm": lambda: (
        torch.nn.GroupNorm(2, 4),
        nnx.GroupNorm(4, 2, epsilon=1e-5, rngs=RNGS),
        IMAGES,
    ),
    "instance norm": lambda: (
        torch.nn.InstanceNorm2d(4, affine=True),
        nnx.InstanceNorm(4, epsilon=1e-5, rngs=RNGS),
        IMAGES,
    ),
    "layer norm": lambda: (
        torch.nn.LayerNorm(4),
        nnx.LayerNorm(4, epsilon=1e-5, rngs=RNGS),
        ROWS,
    ),
    "no scale": lambda: (
        torch.nn.BatchNorm1d(4, affine=False),
        nnx.BatchNorm(4, use_running_average=True, use_scale=False, use_bias=False, rngs=RNGS),
        ROWS,
    ),
    "rms norm": lambda: (torch.nn.RMSNorm(4, eps=1e-6), nnx.RMSNorm(4, rngs=RNGS), ROWS),
    "prelu": lambda: (torch.nn.PReLU(), nnx.PReLU(), ROWS),
    "embedding": lambda: (
        torch.nn.Embedding(7, 4),
        nnx.Embed(7, 4, rngs=RNGS),
        np.array([0, 3, 6]),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    layer, module, x = LAYERS[name]()
    randomise(layer)
    before = nnx.to_pure_dict(nnx.state(module))
    state = from_state_dict(layer.state_dict(), module)
    jax.tree.map(assert_exact, nnx.to_pure_dict(nnx.state(module)), before)
    nnx.update(module, state)
    theirs = of_torch(layer, x)
    assert_close(module(x), theirs, "model")
    for written in (to_state_dict(module), to_state_dict(nnx.state(module), module)):
        randomise(layer)
        layer.load_state_dict({name: torch.from_numpy(array) for name, array in written.items()})
        assert_exact(of_torch(layer, x), theirs)


CELLS = {
    "lstm": lambda: (torch.nn.LSTM, nnx.LSTMCell),
    "optimised lstm": lambda: (torch.nn.LSTM, nnx.OptimizedLSTMCell),
    "simple": lambda: (torch.nn.RNN, nnx.SimpleCell),
    "gru": lambda: (torch.nn.GRU, nnx.GRUCell),
}


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_layers(name):
    layer_type, cell_type = CELLS[name]()
    layer = layer_type(3, 4, batch_first=True)
    if name == "gru":  # the cell has no bias for the state of the new gate
        layer.bias_hh_l0.data[8:] = 0
    module, x = nnx.RNN(cell_type(3, 4, rngs=RNGS)), numbers(2, 5, 3)
    names = {"cell": "*_l0"}
    nnx.update(module, from_state_dict(layer.state_dict(), module, names=names))
    theirs = layer(torch.from_numpy(x))[0].detach().numpy()
    assert_close(module(x), theirs, "model")
    written = to_state_dict(module, names=names)
    for tensor in layer.state_dict().values():
        tensor.zero_()
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in written.items()})
    assert_close(module(x), layer(torch.from_numpy(x))[0].detach().numpy(), "model")


def test_a_bias_that_the_cell_lacks_is_not_dropped():
    layer, cell = torch.nn.GRUCell(3, 4), nnx.GRUCell(3, 4, rngs=RNGS)
    with pytest.raises(errors.StateDictMismatchError, match="this cell has no bias") as caught:
        from_state_dict(layer.state_dict(), cell)
    (line,) = caught.value.unfit
    assert line.startswith("params/dense_i/bias from 'bias_ih', 'bias_hh': ")


class Net(nnx.Module):
    def __init__(self, rngs):
        self.blocks = nnx.List([nnx.Conv(3, 4, (3, 3), padding=1, rngs=rngs) for _ in range(1)])
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(4 * 5 * 5, 2, rngs=rngs)
        self.scale = nnx.Param(jnp.ones((2,)))

    def __call__(self, x):
        x = self.drop(nnx.relu(self.norm(self.blocks[0](x))))
        return self.head(x.reshape((x.shape[0], -1))) * self.scale[None]


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([torch.nn.Conv2d(3, 4, 3, padding=1)])
        self.norm = torch.nn.BatchNorm2d(4)
        self.head = torch.nn.Linear(100, 2)
        self.scale = torch.nn.Parameter(torch.tensor([2.0, 3.0]))

    def forward(self, x):
        x = torch.relu(self.norm(self.blocks[0](x)))
        return self.head(torch.flatten(x, 1)) * self.scale


@pytest.mark.parametrize("abstract", [False, True])
def test_a_network_and_its_random_streams(abstract):
    network, x = randomise(TorchNet()), numbers(2, 5, 5, 3)
    options = {"flattened": {"head": (4, 5, 5)}}
    make = lambda: Net(nnx.Rngs(0))
    state = from_state_dict(
        network.state_dict(), nnx.eval_shape(make) if abstract else make(), **options
    )
    model = make()
    nnx.update(model, state)
    model.eval()
    theirs = network(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).detach().numpy()
    assert_close(model(x), theirs, "model")
    assert isinstance(model.norm.mean, nnx.BatchStat)
    back = to_state_dict(model, **options)
    assert set(back) == set(network.state_dict())


def test_one_error_lists_all_that_does_not_fit():
    tensors = TorchNet().state_dict()
    del tensors["norm.running_var"]
    tensors["head.weight"] = torch.ones(2, 99)
    tensors["other"] = torch.ones(1)
    with pytest.raises(errors.StateDictMismatchError) as caught:
        from_state_dict(tensors, Net(nnx.Rngs(0)))
    assert caught.value.missing == ("batch_stats/norm/var needs 'norm.running_var'",)
    assert caught.value.unused == ("other",)
    (line,) = caught.value.misshapen
    assert line.startswith("params/head/kernel has the shape (100, 2), which 'head.weight'")
    defaults = Net(nnx.Rngs(0))
    tensors["head.weight"] = torch.ones(2, 100)
    state = from_state_dict(tensors, defaults, defaults=defaults, ignore=["other"])
    assert_exact(state["norm"]["var"].get_value(), np.ones(4, np.float32))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_embeddings(mode):
    bags = torch.nn.EmbeddingBag(7, 4, mode=mode)
    words = np.array([[0, 3, 6], [1, 1, 2]])
    theirs = bags(torch.from_numpy(words)).detach().numpy()
    reduce = {"sum": jnp.sum, "mean": jnp.mean, "max": jnp.max}[mode]
    embed = nn.Embed(7, 4)
    variables = from_state_dict(bags.state_dict(), embed, words)
    assert_close(reduce(embed.apply(variables, words), axis=1), theirs, "op")
    assert_exact(to_state_dict(variables, embed, words)["weight"], bags.weight.detach().numpy())
    model = nnx.Embed(7, 4, rngs=RNGS)
    nnx.update(model, from_state_dict(bags.state_dict(), model))
    assert_close(reduce(model(words), axis=1), theirs, "op")


def test_layers_that_are_not_here_are_parameters_of_ones_own():
    layer = torch.nn.Bilinear(3, 4, 2)
    left, right = numbers(5, 3), numbers(5, 4)

    class Bilinear(nn.Module):
        features: int

        @nn.compact
        def __call__(self, left, right):
            shape = (self.features, left.shape[-1], right.shape[-1])
            weight = self.param("weight", nn.initializers.lecun_normal(), shape)
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            return jnp.einsum("...i,oij,...j->...o", left, weight, right) + bias[None]

    variables = from_state_dict(layer.state_dict(), Bilinear(2), left, right)
    theirs = layer(torch.from_numpy(left), torch.from_numpy(right)).detach().numpy()
    assert_close(Bilinear(2).apply(variables, left, right), theirs, "model")
    assert set(to_state_dict(variables, Bilinear(2), left, right)) == {"weight", "bias"}


def test_what_is_no_model():
    with pytest.raises(TypeError, match="pass no inputs"):
        from_state_dict({}, nnx.Linear(2, 2, rngs=RNGS), ROWS)
    with pytest.raises(TypeError, match="got the class Dense"):
        from_state_dict({}, nn.Dense, ROWS)
    with pytest.raises(TypeError, match="got dict"):
        to_state_dict({"params": {}})
