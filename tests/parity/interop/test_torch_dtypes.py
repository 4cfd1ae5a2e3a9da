"""Tensors of every dtype and kind, as arrays and back, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.tolerance import assert_close, assert_exact  # noqa: E402

from ramie import errors, nnx  # noqa: E402
from ramie import linen as nn  # noqa: E402
from ramie.interop.torch import from_state_dict, to_state_dict  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
SHORT = ["bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]
X = np.ones((2, 4), np.float32)
BITS = {1: (torch.uint8, np.uint8), 2: (torch.int16, np.int16)}


def every_bit_pattern(name):
    """All values of a dtype, as a tensor, but for those that are no numbers."""
    size = getattr(torch, name).itemsize
    count = 256**size
    patterns = np.arange(count, dtype=np.int64).astype(BITS[size][1])
    tensor = torch.from_numpy(patterns).view(getattr(torch, name))
    return tensor[torch.isfinite(tensor.float())]


@pytest.mark.parametrize("name", [*SHORT, "float8_e8m0fnu"])
def test_every_value_keeps_its_bits(name):
    tensor = every_bit_pattern(name)

    class Values(nn.Module):
        @nn.compact
        def __call__(self):
            return self.param("values", nn.initializers.ones, tensor.shape, jnp.dtype(name))

    variables = from_state_dict({"values": tensor}, Values())
    assert_exact(np.asarray(variables["params"]["values"], np.float64), tensor.double().numpy())
    back = to_state_dict(variables, Values(), form="torch")["values"]
    assert back.dtype == tensor.dtype
    bits, _ = BITS[tensor.element_size()]
    assert torch.equal(back.view(bits), tensor.view(bits))


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("form", ["torch", "numpy"])
def test_networks_of_every_dtype_load_what_is_written(name, form):
    layer = torch.nn.Linear(4, 3).to(getattr(torch, name))
    module = nn.Dense(3, param_dtype=jnp.dtype(name))
    variables = from_state_dict(layer.state_dict(), module, X)
    assert {v.dtype for v in jax.tree.leaves(variables)} == {jnp.dtype(name)}
    expected = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.zero_()
    if form == "torch":
        tensors = to_state_dict(variables, module, X, form="torch")
        assert {tensor.dtype for tensor in tensors.values()} == {getattr(torch, name)}
    else:
        arrays = to_state_dict(variables, module, X, dtype=np.float32)
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    layer.load_state_dict(tensors)
    assert torch.equal(layer.weight, expected)
    assert tensors["weight"].is_contiguous()


def test_tensors_own_their_memory():
    module = nn.Dense(3, param_dtype=jnp.bfloat16)
    variables = module.init(jax.random.key(0), X)
    before = np.array(variables["params"]["bias"])
    to_state_dict(variables, module, X, form="torch")["bias"].add_(1)
    assert_exact(variables["params"]["bias"], before)


def test_dtypes_that_pytorch_has_not_are_named():
    class Codes(nn.Module):
        @nn.compact
        def __call__(self):
            self.param("codes", nn.initializers.ones, (2,), jnp.int4)
            return self.param("small", nn.initializers.ones, (2,), jnp.float8_e4m3b11fnuz)

    variables = Codes().init(jax.random.key(0))
    with pytest.raises(errors.StateDictMismatchError, match="which PyTorch has not") as caught:
        to_state_dict(variables, Codes(), form="torch")
    assert [line.split(" ")[0] for line in caught.value.unfit] == ["'codes'", "'small'"]
    arrays = to_state_dict(variables, Codes())
    assert arrays["codes"].dtype == jnp.int4
    assert to_state_dict(variables, Codes(), dtype="float32")["small"].dtype == np.float32


WEIGHT = torch.arange(12.0).reshape(3, 4)
SPARSE = WEIGHT * (torch.arange(12).reshape(3, 4) % 2)


# Each makes a tensor, and says what is in it.
READABLE = {
    "gradient": lambda: (WEIGHT.clone().requires_grad_(), WEIGHT),
    "parameter": lambda: (torch.nn.Parameter(WEIGHT.clone()), WEIGHT),
    "transposed": lambda: (WEIGHT.T.contiguous().T, WEIGHT),
    "steps": lambda: (torch.arange(24.0).reshape(3, 8)[:, ::2], 2 * WEIGHT),
    "transposed bfloat16": lambda: (WEIGHT.to(torch.bfloat16).T.contiguous().T, WEIGHT),
    "expanded": lambda: (torch.ones(1, 4).expand(3, 4), torch.ones(3, 4)),
    "sparse": lambda: (SPARSE.to_sparse(), SPARSE),
    "sparse rows": lambda: (SPARSE.to_sparse_csr(), SPARSE),
    "negative view": lambda: (torch._neg_view(WEIGHT), -WEIGHT),
    "double": lambda: (WEIGHT.double(), WEIGHT),
    "long": lambda: (WEIGHT.long(), WEIGHT),
    "numpy": lambda: (WEIGHT.numpy(), WEIGHT),
    "list": lambda: (WEIGHT.tolist(), WEIGHT),
    "jax": lambda: (jnp.asarray(WEIGHT.numpy(), jnp.bfloat16), WEIGHT),
}


@pytest.mark.parametrize("kind", READABLE)
def test_tensors_of_every_kind(kind):
    weight, expected = READABLE[kind]()
    module = nn.Dense(3, use_bias=False)
    kernel = from_state_dict({"weight": weight}, module, X)["params"]["kernel"]
    assert_exact(kernel, expected.numpy().T)


UNREADABLE = {
    "on the device 'meta'": lambda: torch.nn.Linear(4, 3, device="meta").weight,
    "uninitialized parameter": lambda: torch.nn.LazyLinear(3).weight,
    "codes of quantised weights": lambda: WEIGHT.to(torch.int8),
    "the imaginary part would be lost": lambda: WEIGHT.to(torch.complex64),
    "is ndarray, not a tensor of numbers": lambda: np.full((3, 4), "a"),
    "is NoneType, not a tensor of numbers": lambda: None,
    "some numbers are too large": lambda: torch.full((3, 4), 1e300, dtype=torch.float64),
    "cannot be read": lambda: torch.zeros(3, 2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
}


@pytest.mark.parametrize("words", UNREADABLE)
def test_tensors_without_the_numbers_are_named(words):
    tensors = {"weight": UNREADABLE[words](), "bias": torch.zeros(3)}
    with pytest.raises(errors.StateDictMismatchError, match=words) as caught:
        from_state_dict(tensors, nn.Dense(3), X)
    (line,) = caught.value.unfit
    assert line.startswith("params/kernel from 'weight': ")


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
@pytest.mark.filterwarnings("ignore:.*quantized")
def test_quantised_tensors_are_named():
    weight = torch.quantize_per_tensor(WEIGHT, 0.1, 0, torch.qint8)
    with pytest.raises(errors.StateDictMismatchError, match=r"is quantised \(qint8\)"):
        from_state_dict({"weight": weight, "bias": torch.zeros(3)}, nn.Dense(3), X)
    dense = {"weight": weight.dequantize(), "bias": torch.zeros(3)}
    kernel = from_state_dict(dense, nn.Dense(3), X)["params"]["kernel"]
    assert_close(kernel, weight.dequantize().numpy().T, "op")


def test_whole_numbers_stay_whole():
    class Counts(nn.Module):
        @nn.compact
        def __call__(self):
            return self.param("counts", nn.initializers.ones, (2,), jnp.int8)

    read = lambda tensor: from_state_dict({"counts": tensor}, Counts())["params"]["counts"]
    assert_exact(read(torch.tensor([1.0, -3.0])), np.array([1, -3], np.int8))
    for tensor in (torch.tensor([0.5, 1]), torch.tensor([300, 1])):
        with pytest.raises(errors.StateDictMismatchError, match="some numbers would change"):
            read(tensor)


def test_a_network_in_place_of_its_state_dict():
    layer = torch.nn.Linear(4, 3)
    with pytest.raises(TypeError, match=r"Pass network.state_dict\(\)"):
        from_state_dict(layer, nn.Dense(3), X)
    contents = {"model": layer.state_dict(), "epoch": 3}
    with pytest.raises(ValueError, match=r"contents\['model'\]"):
        from_state_dict(contents, nn.Dense(3), X)


def compiled(module):
    return torch.compile(module, backend="eager")


@pytest.mark.filterwarnings("ignore:.*script_method. is deprecated")
@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        (compiled, compiled),
        (compiled, lambda module: module),
        (lambda module: module, torch.nn.DataParallel),
        (compiled, lambda module: torch.nn.DataParallel(compiled(module))),
        (compiled, lambda module: compiled(torch.nn.DataParallel(module))),
    ],
)
def test_prefixes_of_wrappers(inner, outer):
    network = outer(torch.nn.Sequential(inner(torch.nn.Linear(4, 3))))
    tensors = network.state_dict()
    assert "0.weight" not in tensors

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.head = nnx.Linear(4, 3, rngs=rngs)

    model, names = Model(nnx.Rngs(0)), {"head": "0"}
    nnx.update(model, from_state_dict(tensors, model, names=names))
    weight = next(tensor for name, tensor in tensors.items() if name.endswith("weight"))
    assert_exact(model.head.kernel, weight.numpy().T)
    network.load_state_dict(to_state_dict(model, names=names, like=tensors, form="torch"))


def test_modules_called_module():
    network = torch.nn.ModuleDict({"module": torch.nn.Linear(4, 3)})

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3, name="module")(x)

    variables = from_state_dict(network.state_dict(), Model(), X)
    assert set(to_state_dict(variables, Model(), X)) == set(network.state_dict())
    by_name = from_state_dict(network.state_dict(), nn.Dense(3), X, names={"": "module"})
    assert_exact(by_name["params"]["kernel"], variables["params"]["module"]["kernel"])


def test_averaged_weights():
    network = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(4, 3))
    kernel = from_state_dict(network.state_dict(), nn.Dense(3), X)["params"]["kernel"]
    assert_exact(kernel, network.module.weight.detach().numpy().T)


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(5, 4)
        self.head = torch.nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight


class Words(nn.Module):
    @nn.compact
    def __call__(self, words):
        embed = nn.Embed(5, 4, name="embed")
        return embed.attend(embed(words))


def test_tied_weights():
    network, words = Tied(), np.array([[0, 3]])
    variables = from_state_dict(network.state_dict(), Words(), words)
    assert_exact(variables["params"]["embed"]["embedding"], network.embed.weight.detach().numpy())
    doubled = jax.tree.map(lambda v: 2 * v, variables)
    written = to_state_dict(doubled, Words(), words, like=network.state_dict(), form="torch")
    network.load_state_dict(written)
    assert_exact(network.head.weight.detach().numpy(), doubled["params"]["embed"]["embedding"])
    # A copy is another tensor, which nothing asks for.
    copied = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(errors.StateDictMismatchError) as caught:
        from_state_dict(copied, Words(), words)
    assert caught.value.unused == ("head.weight",)


def test_like_lists_all_that_does_not_fit():
    module, layer = nn.Dense(3), torch.nn.Linear(5, 3, bias=False)
    layer.extra = torch.nn.Linear(2, 2, bias=False)
    variables = module.init(jax.random.key(0), X)
    with pytest.raises(errors.StateDictMismatchError) as caught:
        to_state_dict(variables, module, X, like=layer.state_dict())
    assert caught.value.missing == ("extra.weight of like= has no variable",)
    assert caught.value.unused == ("bias",)
    assert len(caught.value.misshapen) == 1


def test_a_network_without_values_says_enough():
    normalise = torch.nn.utils.parametrizations.weight_norm
    make = lambda: torch.nn.Sequential(normalise(torch.nn.Linear(4, 3)), torch.nn.BatchNorm1d(3))
    with torch.device("meta"):
        network = make()

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(3, name="dense")(x)
            return nn.BatchNorm(True, name="norm")(x)

    names = {"dense": "0", "norm": "1"}
    variables = Model().init(jax.random.key(0), X)
    written = to_state_dict(
        variables, Model(), X, names=names, like=network.state_dict(), form="torch"
    )
    assert {name: t.shape for name, t in written.items()} == {
        name: t.shape for name, t in network.state_dict().items()
    }
    loaded = make().eval()
    loaded.load_state_dict(written)
    assert_close(Model().apply(variables, X), loaded(torch.from_numpy(X)).detach().numpy(), "model")


def test_counts_of_like_are_kept():
    layer = torch.nn.BatchNorm1d(4)
    layer(torch.from_numpy(np.random.default_rng(0).normal(size=X.shape)).float())
    module = nn.BatchNorm(True)
    variables = from_state_dict(layer.state_dict(), module, X)
    assert to_state_dict(variables, module, X)["num_batches_tracked"] == 0
    written = to_state_dict(variables, module, X, like=layer.state_dict(), form="torch")
    assert written["num_batches_tracked"] == 1
