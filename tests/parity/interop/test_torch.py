"""PyTorch networks, converted: the same outputs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.tolerance import assert_close, assert_exact  # noqa: E402

from ramie import errors  # noqa: E402
from ramie import linen as nn  # noqa: E402
from ramie.interop.torch import from_state_dict, to_state_dict  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def image(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def channels_first(x):
    return torch.from_numpy(np.moveaxis(x, -1, 1).copy())


def channels_last(t):
    return np.moveaxis(t.detach().numpy(), 1, -1)


def randomise(network):
    """Fresh norms hide in what order scale, bias and statistics enter."""
    for tensor in network.state_dict().values():
        if tensor.dtype.is_floating_point:
            tensor.copy_(torch.rand_like(tensor) + 0.5)


def assert_layer(layer, module, x, **options):
    """Compare a layer on channels-last input with PyTorch's on channels-first."""
    randomise(layer.eval())
    variables = from_state_dict(layer.state_dict(), module, x, **options)
    theirs = channels_last(layer(channels_first(x)))
    assert_close(jax.jit(module.apply)(variables, x), theirs, "model")
    back = to_state_dict(variables, module, x, **options)
    expected = {k: v for k, v in layer.state_dict().items() if "num_batches" not in k}
    back.pop("num_batches_tracked", None)
    assert set(back) == set(expected)
    for name, tensor in expected.items():
        assert_exact(back[name], tensor.numpy())
        assert back[name].flags.writeable and back[name].flags.c_contiguous


@pytest.mark.parametrize(("rank", "groups"), [(1, 1), (2, 2), (3, 1)])
def test_convolutions(rank, groups):
    layer = getattr(torch.nn, f"Conv{rank}d")(4, 6, 3, stride=2, padding=1, groups=groups)
    module = nn.Conv(6, (3,) * rank, strides=2, padding=1, feature_group_count=groups)
    assert_layer(layer, module, image(2, *(5,) * rank, 4))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "transpose_kernel"),
    [(3, 2, 1, True), (3, 2, 1, False), (2, 2, 0, True), (3, 1, 2, False)],
)
def test_transposed_convolutions(kernel, stride, padding, transpose_kernel):
    layer = torch.nn.ConvTranspose2d(3, 4, kernel, stride=stride, padding=padding)
    module = nn.ConvTranspose(
        4,
        (kernel, kernel),
        strides=(stride, stride),
        padding=kernel - 1 - padding,
        transpose_kernel=transpose_kernel,
    )
    assert_layer(layer, module, image(2, 4, 4, 3))


@pytest.mark.parametrize(
    ("layer", "module"),
    [
        (torch.nn.BatchNorm2d(4), nn.BatchNorm(use_running_average=True)),
        (torch.nn.GroupNorm(2, 4), nn.GroupNorm(2, epsilon=1e-5)),
        (torch.nn.InstanceNorm2d(4, affine=True), nn.InstanceNorm(epsilon=1e-5)),
        (torch.nn.PReLU(), nn.PReLU()),
    ],
)
def test_layers_of_images(layer, module):
    assert_layer(layer, module, image(2, 3, 3, 4))


@pytest.mark.parametrize(
    ("layer", "module"),
    [
        (torch.nn.Linear(4, 3), nn.Dense(3)),
        (torch.nn.LayerNorm(4), nn.LayerNorm(epsilon=1e-5)),
        (torch.nn.RMSNorm(4, eps=1e-6), nn.RMSNorm()),
    ],
)
def test_layers_of_features(layer, module):
    assert_layer(layer, module, image(2, 4))


def test_dense_layers_over_several_axes():
    layer = torch.nn.Linear(6, 8)
    module, x = nn.DenseGeneral((4, 2), axis=(-2, -1)), image(5, 2, 3)
    variables = from_state_dict(layer.state_dict(), module, x)
    theirs = layer(torch.from_numpy(x.reshape(5, 6).copy())).detach().numpy()
    assert_close(module.apply(variables, x).reshape(5, 8), theirs, "model")
    assert_exact(to_state_dict(variables, module, x)["weight"], layer.weight.detach().numpy())


def test_embeddings():
    layer, module = torch.nn.Embedding(5, 3), nn.Embed(5, 3)
    words = np.array([[0, 3], [4, 1]])
    variables = from_state_dict(layer.state_dict(), module, words)
    assert_exact(module.apply(variables, words), layer(torch.from_numpy(words)).detach().numpy())


@pytest.mark.parametrize(
    ("layer", "cell"),
    [
        (torch.nn.LSTMCell(3, 4), nn.LSTMCell(4)),
        (torch.nn.GRUCell(3, 4), nn.GRUCell(4)),
        (torch.nn.RNNCell(3, 4), nn.SimpleCell(4)),
    ],
)
def test_cells(layer, cell):
    x, h = image(2, 3), image(2, 4)
    state = (2 * h, h) if isinstance(cell, nn.LSTMCell) else h
    variables = from_state_dict(layer.state_dict(), cell, state, x)
    before = torch.from_numpy(h)
    before = (before, 2 * before) if isinstance(cell, nn.LSTMCell) else before

    def theirs():
        after = layer(torch.from_numpy(x), before)
        return (after[0] if isinstance(after, tuple) else after).detach().numpy()

    ours = jax.jit(cell.apply)(variables, state, x)[1]
    assert_close(ours, theirs(), "model")
    # Two biases of PyTorch may be one here: the way back gives a cell that computes the same.
    back = to_state_dict(variables, cell, state, x)
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in back.items()})
    assert_close(ours, theirs(), "model")


def test_recurrent_layers_of_every_depth_and_direction():
    layer = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)

    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            for _ in range(2):
                forward, backward = (nn.RNN(nn.OptimizedLSTMCell(4)) for _ in range(2))
                x = nn.Bidirectional(forward, backward)(x)
            return x

    places = {
        f"OptimizedLSTMCell_{2 * n + d}": f"*_l{n}{'_reverse' * d}" for n in (0, 1) for d in (0, 1)
    }
    x, stack = image(2, 5, 3), Stack()
    variables = from_state_dict(layer.state_dict(), stack, x, names=places)
    theirs = layer(torch.from_numpy(x))[0].detach().numpy()
    assert_close(jax.jit(stack.apply)(variables, x), theirs, "model")
    assert set(to_state_dict(variables, stack, x, names=places)) == set(layer.state_dict())


def test_cells_without_biases_take_them_from_defaults():
    layer, module, x = (
        torch.nn.GRU(3, 4, bias=False, batch_first=True),
        nn.RNN(nn.GRUCell(4)),
        image(2, 5, 3),
    )
    names = {"cell": "*_l0"}
    with pytest.raises(errors.StateDictMismatchError, match="needs 'bias_ih_l0'"):
        from_state_dict(layer.state_dict(), module, x, names=names)
    defaults = module.init(jax.random.key(0), x)
    variables = from_state_dict(layer.state_dict(), module, x, names=names, defaults=defaults)
    theirs = layer(torch.from_numpy(x))[0].detach().numpy()
    assert_close(jax.jit(module.apply)(variables, x), theirs, "model")


def test_slopes_of_which_there_is_one_here():
    layer = torch.nn.PReLU(4)
    with pytest.raises(errors.StateDictMismatchError, match=r"has the shape \(\)") as caught:
        from_state_dict(layer.state_dict(), nn.PReLU(), image(2, 4))
    assert len(caught.value.misshapen) == 1


class TorchNetwork(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
        )
        self.up = torch.nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)
        self.head = torch.nn.Linear(4 * 8 * 8, 5)

    def forward(self, x):
        x = torch.relu(self.up(self.features(x)))
        return self.head(torch.flatten(x, 1))


class Network(nn.Module):
    training: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (3, 3), padding=1, name="conv")(x)
        x = nn.relu(nn.BatchNorm(not self.training, momentum=0.9, name="norm")(x))
        padding = ((1, 1), (1, 1))
        x = nn.avg_pool(x, (3, 3), (2, 2), padding, count_include_pad=False)
        x = nn.ConvTranspose(4, (4, 4), (2, 2), padding=2, transpose_kernel=True, name="up")(x)
        return nn.Dense(5, name="head")(nn.relu(x).reshape((x.shape[0], -1)))


OPTIONS = {
    "names": {"conv": "features.0", "norm": "features.1"},
    "flattened": {"head": (4, 8, 8)},
}


def test_a_network_computes_the_same_there_and_back():
    network = TorchNetwork()
    randomise(network.features[1])
    x = image(3, 8, 8, 3)
    variables = from_state_dict(network.eval().state_dict(), Network(), x, **OPTIONS)
    theirs = network(channels_first(x)).detach().numpy()
    apply = jax.jit(Network().apply)
    assert_close(apply(variables, x), theirs, "model")

    changed = jax.tree.map(lambda v: np.float32(1.5) * np.asarray(v), variables)
    back = to_state_dict(changed, Network(), x, **OPTIONS)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in back.items()})
    theirs = network(channels_first(x)).detach().numpy()
    assert_close(apply(changed, x), theirs, "model")


def test_statistics_move_alike_in_training():
    layer, module = torch.nn.BatchNorm1d(4).train(), nn.BatchNorm(False)
    x = image(6, 4)
    variables = from_state_dict(layer.state_dict(), module, x)
    theirs = layer(torch.from_numpy(x.copy())).detach().numpy()
    ours, changed = jax.jit(partial(module.apply, mutable=["batch_stats"]))(variables, x)
    assert_close(ours, theirs, "model")
    # The momentum here is what remains, there what is new.
    mean = 0.99 * 0 + 0.01 * x.mean(0)
    assert_close(changed["batch_stats"]["mean"], mean, "model")
    assert_close(layer.running_mean.numpy(), 10 * mean, "model")


def test_tensors_of_other_dtypes():
    half = {"weight": torch.ones(3, 4, dtype=torch.bfloat16), "bias": torch.zeros(3).half()}
    variables = from_state_dict(half, nn.Dense(3), image(1, 4))
    assert {v.dtype for v in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
