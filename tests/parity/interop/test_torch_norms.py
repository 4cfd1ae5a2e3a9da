"""Weight norm, spectral norm and pruning of PyTorch, converted: the same outputs, both ways."""

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.tolerance import assert_close, assert_exact  # noqa: E402
from torch.nn.utils import parametrizations, prune  # noqa: E402

from ramie import errors, nnx  # noqa: E402
from ramie import linen as nn  # noqa: E402
from ramie.interop.torch import from_state_dict, to_state_dict  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
LAST, FIRST = -1, 1


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
    y = layer(torch.from_numpy(np.moveaxis(x, LAST, FIRST).copy()))
    return np.moveaxis(y.detach().numpy(), FIRST, LAST)


def lengthened(layer):
    """Give lengths of their own to what weight norm keeps."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.endswith(("_g", "original0")):
                parameter.mul_(torch.rand_like(parameter) + 0.5)
    return layer.eval()


def converged(layer, x):
    """Run power iteration until the singular vectors stay as they are."""
    for _ in range(300):
        of_torch(layer.train(), x)
    return layer.eval()


def zeroed(layer):
    for tensor in layer.state_dict().values():
        tensor.zero_()


def load(layer, tensors):
    zeroed(layer)
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})


# Each entry makes a layer of PyTorch, the layer here, and an input.
LAYERS = {
    "linear": lambda: (torch.nn.Linear(5, 4), nn.Dense(4), numbers(3, 5)),
    "conv": lambda: (
        torch.nn.Conv2d(4, 6, 3, padding=1, groups=2),
        nn.Conv(6, (3, 3), padding=1, feature_group_count=2),
        numbers(2, 5, 5, 4),
    ),
    "transposed": lambda: (
        torch.nn.ConvTranspose1d(3, 3, 4, stride=2, padding=1),
        nn.ConvTranspose(3, (4,), (2,), padding=2),
        numbers(2, 5, 3),
    ),
    "gradient": lambda: (
        torch.nn.ConvTranspose1d(3, 4, 4, stride=2, padding=1),
        nn.ConvTranspose(4, (4,), (2,), padding=2, transpose_kernel=True),
        numbers(2, 5, 3),
    ),
    "embedding": lambda: (torch.nn.Embedding(7, 4), nn.Embed(7, 4), np.array([0, 3, 6])),
}
FORMS = {
    "old weight": torch.nn.utils.weight_norm,
    "new weight": parametrizations.weight_norm,
    "old spectral": torch.nn.utils.spectral_norm,
    "new spectral": parametrizations.spectral_norm,
}
# Where the axis of the lengths stands in the weight here, if not last.
OUTPUTS = {"gradient": -2, "embedding": 0}
WEIGHTS = ("kernel", "embedding")


def assert_same(layer, module, variables, x, **call):
    ours = jax.jit(lambda v, x: module.apply(v, x, **call))(variables, x)
    assert_close(ours, of_torch(layer, x), "model")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LAYERS)
def test_plain_layers_get_the_weight_that_pytorch_computes_with(name, form):
    layer, module, x = LAYERS[name]()
    layer = lengthened(FORMS[form](layer))
    assert_same(layer, module, from_state_dict(layer.state_dict(), module, x), x)


@pytest.mark.parametrize("dim", [0, 1, None])
def test_lengths_along_any_axis(dim):
    layer, module, x = LAYERS["conv"]()
    layer = lengthened(parametrizations.weight_norm(layer, dim=dim))
    assert_same(layer, module, from_state_dict(layer.state_dict(), module, x), x)


@pytest.mark.parametrize("form", ["old weight", "new weight"])
@pytest.mark.parametrize("name", LAYERS)
def test_weight_norm_there_and_back(name, form):
    layer, module, x = LAYERS[name]()
    axis = {"transposed": 1, "gradient": 1}.get(name, 0)
    layer = lengthened(FORMS[form](layer, dim=axis))
    wrapper = nn.WeightNorm(module, feature_axes=OUTPUTS.get(name, -1), variable_filter=WEIGHTS)
    variables = from_state_dict(layer.state_dict(), wrapper, x)
    assert_same(layer, wrapper, variables, x)
    expected = {key: tensor.clone().numpy() for key, tensor in layer.state_dict().items()}
    back = to_state_dict(variables, wrapper, x, like=layer.state_dict())
    assert list(back) == list(expected)
    for key, array in back.items():
        assert_exact(array, expected[key])
    # As changed here, as there.
    changed = jax.tree.map(lambda v: v * 1.5 + 0.1, variables)
    load(layer, to_state_dict(changed, wrapper, x, like=layer.state_dict()))
    assert_same(layer, wrapper, changed, x)


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("axes", [0, -1, (0, -1), None])
def test_weight_norm_whose_lengths_are_of_other_parts(dim, axes):
    layer = lengthened(parametrizations.weight_norm(torch.nn.Linear(5, 4), dim=dim))
    x, wrapper = numbers(3, 5), nn.WeightNorm(nn.Dense(4), feature_axes=axes)
    variables = from_state_dict(layer.state_dict(), wrapper, x)
    assert_same(layer, wrapper, variables, x)
    written = to_state_dict(variables, wrapper, x)
    scale = written["parametrizations.weight.original0"]
    dim = None if scale.ndim == 0 else scale.shape.index(max(scale.shape))
    layer = parametrizations.weight_norm(torch.nn.Linear(5, 4), dim=dim)
    load(layer, written)
    assert_same(layer, wrapper, variables, x)


def test_weight_norm_of_a_plain_weight_and_the_other_way_round():
    plain, x = torch.nn.Linear(5, 4), numbers(3, 5)
    wrapper = nn.WeightNorm(nn.Dense(4))
    variables = from_state_dict(plain.state_dict(), wrapper, x)
    assert_same(plain, wrapper, variables, x)
    changed = jax.tree.map(lambda v: 2 * v, variables)
    load(plain, to_state_dict(changed, wrapper, x, like=plain.state_dict()))
    assert_same(plain, wrapper, changed, x)
    normalised = lengthened(torch.nn.utils.weight_norm(torch.nn.Linear(5, 4)))
    dense = nn.Dense(4)
    params = from_state_dict(plain.state_dict(), dense, x)
    load(normalised, to_state_dict(params, dense, x, like=normalised.state_dict()))
    assert_same(normalised, dense, params, x)


@pytest.mark.parametrize("form", ["old spectral", "new spectral"])
@pytest.mark.parametrize("name", ["linear", "conv", "transposed", "embedding"])
def test_spectral_norm_there_and_back(name, form):
    layer, module, x = LAYERS[name]()
    layer = converged(FORMS[form](layer), x)
    wrapper = nn.SpectralNorm(module)
    variables = from_state_dict(layer.state_dict(), wrapper, x, update_stats=False)
    assert_same(layer, wrapper, variables, x, update_stats=False)
    # What is written is what the next call here computes with, also far from convergence.
    rough = jax.tree.map(lambda v: v + 0.3 * numbers(*v.shape), variables)
    load(layer, to_state_dict(rough, wrapper, x, update_stats=False, like=layer.state_dict()))
    assert_same(layer, wrapper, rough, x, update_stats=False)


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_weights_that_are_normalised_twice_lack_a_part(kind):
    layer, x = parametrizations.weight_norm(torch.nn.Linear(5, 4)), numbers(3, 5)
    if kind == "linen":
        module, inputs = nn.WeightNorm(nn.WeightNorm(nn.Dense(4))), [x]
    else:
        once = nnx.WeightNorm(nnx.Linear(5, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0))
        module, inputs = nnx.WeightNorm(once, rngs=nnx.Rngs(0)), []
    with pytest.raises(errors.StateDictMismatchError) as caught:
        from_state_dict(layer.state_dict(), module, *inputs)
    outer = [line for line in caught.value.missing if "layer_instance/kernel" in line]
    assert outer == list(caught.value.missing) != []
    assert not caught.value.unused


def test_spectral_norm_of_another_matrix_is_refused():
    layer, module, x = LAYERS["gradient"]()
    layer, wrapper = parametrizations.spectral_norm(layer), nn.SpectralNorm(module)
    with pytest.raises(errors.StateDictMismatchError, match="another matrix") as caught:
        from_state_dict(layer.state_dict(), wrapper, x, update_stats=False)
    assert len(caught.value.unfit) == 1
    variables = wrapper.init(jax.random.key(0), x, update_stats=False)
    with pytest.raises(errors.StateDictMismatchError, match=r"'weight'.*another matrix"):
        to_state_dict(variables, wrapper, x, update_stats=False)


def test_spectral_norm_needs_its_vectors():
    layer, wrapper, x = torch.nn.Linear(5, 4), nn.SpectralNorm(nn.Dense(4)), numbers(3, 5)
    with pytest.raises(errors.StateDictMismatchError) as caught:
        from_state_dict(layer.state_dict(), wrapper, x, update_stats=False)
    assert all("parametrizations.weight.0._u" in line for line in caught.value.missing)
    assert len(caught.value.missing) == 2
    defaults = wrapper.init(jax.random.key(0), x, update_stats=False)
    variables = from_state_dict(
        layer.state_dict(), wrapper, x, update_stats=False, defaults=defaults
    )
    kernel = variables["params"]["layer_instance"]["kernel"]
    assert_exact(kernel, layer.weight.detach().numpy().T)
    written = to_state_dict(variables, wrapper, x, update_stats=False, like=layer.state_dict())
    load(layer, written)
    assert_same(layer, wrapper, variables, x, update_stats=False)
    spectral = parametrizations.spectral_norm(torch.nn.Linear(5, 4))
    dense = nn.Dense(4)
    params = from_state_dict(layer.state_dict(), dense, x)
    with pytest.raises(errors.StateDictMismatchError, match="under spectral norm in like="):
        to_state_dict(params, dense, x, like=spectral.state_dict())


@pytest.mark.parametrize("form", FORMS)
def test_nnx(form):
    class Torch(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = FORMS[form](torch.nn.Linear(5, 4))

        def forward(self, x):
            return self.head(x)

    class Model(nnx.Module):
        def __init__(self, rngs):
            wrapper = nnx.WeightNorm if "weight" in form else nnx.SpectralNorm
            self.head = wrapper(nnx.Linear(5, 4, rngs=rngs), rngs=rngs)

        def __call__(self, x):
            return self.head(x)

    x, model = numbers(3, 5), Model(nnx.Rngs(0))
    model.eval()
    network = lengthened(Torch())
    if "spectral" in form:
        network = converged(network, x)
    nnx.update(model, from_state_dict(network.state_dict(), model))
    assert_close(model(x), of_torch(network, x), "model")
    written = to_state_dict(model, like=network.state_dict())
    load(network, written)
    assert_close(model(x), of_torch(network, x), "model")


def test_norms_inside_of_networks():
    class Torch(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = parametrizations.weight_norm(torch.nn.Linear(5, 4))
            self.second = parametrizations.weight_norm(torch.nn.Linear(4, 4))

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.WeightNorm(nn.Dense(4, name="first"))(x))
            return nn.WeightNorm(nn.Dense(4, name="second"))(x)

    network, x = lengthened(Torch()), numbers(3, 5)
    variables = from_state_dict(network.state_dict(), Model(), x)
    assert_same(network, Model(), variables, x)
    back = to_state_dict(variables, Model(), x)
    assert set(back) == set(network.state_dict())
    load(network, back)
    assert_same(network, Model(), variables, x)


def test_vectors_under_spectral_norm():
    layer, module, x = torch.nn.LayerNorm(4), nn.LayerNorm(epsilon=1e-5), numbers(3, 4)
    layer = parametrizations.spectral_norm(layer).eval()
    assert_same(layer, module, from_state_dict(layer.state_dict(), module, x), x)


def test_recurrent_layers_under_weight_norm():
    layer = torch.nn.GRU(3, 4, batch_first=True)
    layer = lengthened(parametrizations.weight_norm(layer, "weight_hh_l0"))
    module, x = nn.RNN(nn.GRUCell(4)), numbers(2, 5, 3)
    variables = from_state_dict(layer.state_dict(), module, x, names={"cell": ""})
    theirs = layer(torch.from_numpy(x))[0].detach().numpy()
    assert_close(jax.jit(module.apply)(variables, x), theirs, "model")


def test_pruned_weights():
    layer, module, x = LAYERS["linear"]()
    prune.l1_unstructured(layer, "weight", amount=0.5)
    assert_same(layer, module, from_state_dict(layer.state_dict(), module, x), x)


def test_other_parametrisations_are_refused():
    layer, module, x = LAYERS["linear"]()
    layer = parametrizations.orthogonal(layer)
    with pytest.raises(errors.StateDictMismatchError, match="remove_parametrizations") as caught:
        from_state_dict(layer.state_dict(), module, x)
    assert caught.value.unused == ()
    stacked = parametrizations.spectral_norm(parametrizations.weight_norm(torch.nn.Linear(5, 4)))
    with pytest.raises(errors.StateDictMismatchError, match="remove_parametrizations"):
        from_state_dict(stacked.state_dict(), module, x)
