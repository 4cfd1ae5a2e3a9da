"""Attention and encoders of PyTorch, converted: the same outputs."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.tolerance import assert_close, assert_exact  # noqa: E402

from ramie import errors, nnx  # noqa: E402
from ramie import linen as nn  # noqa: E402
from ramie.interop.torch import from_state_dict, to_state_dict  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def numbers(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def randomise(network):
    """Biases of attention start at zero, which hides where they enter."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network.eval()


def assert_loads(network, tensors):
    """Load what was written into the network, and look at every bit."""
    expected = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert set(tensors) == set(expected)
    for tensor in network.state_dict().values():
        tensor.zero_()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    for name, tensor in network.state_dict().items():
        assert_exact(tensor.numpy(), expected[name].numpy())


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"bias": False},
        {"kdim": 6, "vdim": 10},
        {"kdim": 6, "vdim": 10, "bias": False},
        {"kdim": 8, "vdim": 10},
    ],
    ids=str,
)
def test_multihead_attention(sizes):
    layer = randomise(torch.nn.MultiheadAttention(8, 2, batch_first=True, **sizes))
    sizes = {"kdim": 8, "vdim": 8, **sizes}
    inputs = [numbers(3, 5, 8), numbers(3, 7, sizes["kdim"]), numbers(3, 7, sizes["vdim"])]
    theirs = layer(*map(torch.from_numpy, inputs))[0].detach().numpy()
    module = nn.MultiHeadDotProductAttention(num_heads=2, use_bias=sizes.get("bias", True))
    variables = from_state_dict(layer.state_dict(), module, *inputs)
    assert_close(jax.jit(module.apply)(variables, *inputs), theirs, "model")
    assert_loads(layer, to_state_dict(variables, module, *inputs))


@pytest.mark.parametrize("sizes", [{}, {"bias": False}, {"kdim": 6, "vdim": 6}], ids=str)
def test_multihead_attention_of_nnx(sizes):
    layer = randomise(torch.nn.MultiheadAttention(8, 2, batch_first=True, **sizes))
    inputs = [numbers(3, 5, 8), *(numbers(3, 7, sizes.get("kdim", 8)) for _ in "kv")]
    theirs = layer(*map(torch.from_numpy, inputs))[0].detach().numpy()
    module = nnx.MultiHeadAttention(
        2,
        8,
        in_kv_features=sizes.get("kdim", 8),
        use_bias=sizes.get("bias", True),
        decode=False,
        rngs=nnx.Rngs(0),
    )
    nnx.update(module, from_state_dict(layer.state_dict(), module))
    assert_close(module(*inputs), theirs, "model")
    assert_loads(layer, to_state_dict(module))


def test_attention_of_linear_layers():
    class Torch(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = torch.nn.ModuleDict(
                {name: torch.nn.Linear(8, 8) for name in ("query", "key", "value", "out")}
            )

    layer, x = randomise(Torch()), numbers(2, 5, 8)

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.MultiHeadDotProductAttention(num_heads=2, name="attention")(x)

    variables = from_state_dict(layer.state_dict(), Model(), x)
    kernel = variables["params"]["attention"]["key"]["kernel"]
    assert_exact(kernel.reshape(8, 8), layer.attention["key"].weight.detach().numpy().T)
    assert "attention.in_proj_weight" in to_state_dict(variables, Model(), x)
    assert_loads(layer, to_state_dict(variables, Model(), x, like=layer.state_dict()))
    # Names for the submodules say the same.
    names = {"attention/query": "q", "attention/key": "k"}
    written = to_state_dict(variables, Model(), x, names=names)
    assert {"q.weight", "k.weight", "attention.value.weight"} < set(written)
    written = to_state_dict(variables, Model(), x, names={"attention/out": "dense"})
    assert {"attention.query.weight", "dense.weight"} < set(written)


def test_keys_and_values_that_attention_appends_are_refused():
    layer = torch.nn.MultiheadAttention(8, 2, add_bias_kv=True)
    module = nn.MultiHeadDotProductAttention(num_heads=2)
    with pytest.raises(errors.StateDictMismatchError, match=r"add_bias_kv=True") as caught:
        from_state_dict(layer.state_dict(), module, numbers(1, 3, 8))
    assert [line.split(" ")[0] for line in caught.value.unfit] == ["'bias_k'", "'bias_v'"]


def activation(name):
    return {"relu": nn.relu, "gelu": lambda x: nn.gelu(x, approximate=False)}[name]


class EncoderLayer(nn.Module):
    heads: int
    hidden: int
    norm_first: bool = False
    activation: str = "relu"

    @nn.compact
    def __call__(self, x, mask=None):
        attention = nn.MultiHeadDotProductAttention(self.heads, name="self_attn")
        norm1 = nn.LayerNorm(epsilon=1e-5, name="norm1")
        norm2 = nn.LayerNorm(epsilon=1e-5, name="norm2")
        linear1 = nn.Dense(self.hidden, name="linear1")
        linear2 = nn.Dense(x.shape[-1], name="linear2")
        attend = lambda x: attention(x, mask=mask)
        feed = lambda x: linear2(activation(self.activation)(linear1(x)))
        if self.norm_first:
            x = x + attend(norm1(x))
            return x + feed(norm2(x))
        x = norm1(x + attend(x))
        return norm2(x + feed(x))


class Encoder(nn.Module):
    depth: int
    heads: int
    hidden: int
    norm_first: bool = False
    activation: str = "relu"

    @nn.compact
    def __call__(self, x, mask=None):
        for n in range(self.depth):
            layer = EncoderLayer(
                self.heads, self.hidden, self.norm_first, self.activation, name=f"layers_{n}"
            )
            x = layer(x, mask)
        return x


class NNXEncoderLayer(nnx.Module):
    def __init__(self, width, heads, hidden, norm_first, activation, rngs):
        self.self_attn = nnx.MultiHeadAttention(heads, width, decode=False, rngs=rngs)
        self.norm1 = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.linear1 = nnx.Linear(width, hidden, rngs=rngs)
        self.linear2 = nnx.Linear(hidden, width, rngs=rngs)
        self.norm_first, self.activation = norm_first, activation

    def __call__(self, x, mask=None):
        feed = lambda x: self.linear2(activation(self.activation)(self.linear1(x)))
        if self.norm_first:
            x = x + self.self_attn(self.norm1(x), mask=mask)
            return x + feed(self.norm2(x))
        x = self.norm1(x + self.self_attn(x, mask=mask))
        return self.norm2(x + feed(x))


class NNXEncoder(nnx.Module):
    def __init__(self, depth, *config, rngs):
        self.layers = nnx.List([NNXEncoderLayer(*config, rngs) for _ in range(depth)])

    def __call__(self, x, mask=None):
        for layer in self.layers:
            x = layer(x, mask)
        return x


def numbered(path):
    """The name of a module list's entry: `layers_0` here is `layers.0` there."""
    return re.sub(r"_(\d+)(?=/|$)", r".\1", path).replace("/", ".")


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("function", ["relu", "gelu"])
@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_transformer_encoders(norm_first, function, kind):
    config = {"activation": function, "norm_first": norm_first}
    layer = torch.nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, **config)
    network = randomise(torch.nn.TransformerEncoder(layer, 3))
    x, words = numbers(2, 5, 8), np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
    theirs = network(torch.from_numpy(x), src_key_padding_mask=torch.from_numpy(~words))
    mask = nn.make_attention_mask(np.ones_like(words), words)
    if kind == "linen":
        model = Encoder(3, 2, 12, **config)
        variables = from_state_dict(network.state_dict(), model, x, names=numbered)
        ours = jax.jit(model.apply)(variables, x, mask)
        back = to_state_dict(variables, model, x, names=numbered)
    else:
        model = NNXEncoder(3, 8, 2, 12, norm_first, function, rngs=nnx.Rngs(0))
        nnx.update(model, from_state_dict(network.state_dict(), model))
        ours, back = model(x, mask), to_state_dict(model)
    # PyTorch leaves zeros where there is no word.
    assert_close(ours[words], theirs.detach().numpy()[words], "model")
    assert_loads(network, back)


class DecoderLayer(nn.Module):
    @nn.compact
    def __call__(self, x, memory, mask):
        attention = lambda name: nn.MultiHeadDotProductAttention(2, name=name)
        norm = lambda n: nn.LayerNorm(epsilon=1e-5, name=f"norm{n}")
        x = norm(1)(x + attention("self_attn")(x, mask=mask))
        x = norm(2)(x + attention("multihead_attn")(x, memory))
        y = nn.Dense(x.shape[-1], name="linear2")(nn.relu(nn.Dense(12, name="linear1")(x)))
        return norm(3)(x + y)


def test_decoder_layers():
    layer = randomise(torch.nn.TransformerDecoderLayer(8, 2, 12, batch_first=True))
    x, memory = numbers(2, 5, 8), numbers(2, 7, 8)
    causal = torch.nn.Transformer.generate_square_subsequent_mask(5)
    theirs = layer(torch.from_numpy(x), torch.from_numpy(memory), tgt_mask=causal)
    mask = nn.make_causal_mask(x[..., 0])
    variables = from_state_dict(layer.state_dict(), DecoderLayer(), x, memory, mask)
    ours = jax.jit(DecoderLayer().apply)(variables, x, memory, mask)
    assert_close(ours, theirs.detach().numpy(), "model")
    assert_loads(layer, to_state_dict(variables, DecoderLayer(), x, memory, mask))


class TorchSentences(torch.nn.Module):
    """A sentence encoder as they are published: embeddings, six layers, the mean of the words."""

    def __init__(self, words=50, length=12, width=24, heads=3, hidden=48, depth=6):
        super().__init__()
        self.word_embeddings = torch.nn.Embedding(words, width, padding_idx=0)
        self.position_embeddings = torch.nn.Embedding(length, width)
        self.norm = torch.nn.LayerNorm(width, eps=1e-12)
        layer = torch.nn.TransformerEncoderLayer(
            width, heads, hidden, activation="gelu", batch_first=True
        )
        self.encoder = torch.nn.TransformerEncoder(layer, depth)
        self.register_buffer("position_ids", torch.arange(length)[None])

    def forward(self, words, mask):
        positions = self.position_ids[:, : words.shape[1]]
        x = self.norm(self.word_embeddings(words) + self.position_embeddings(positions))
        x = self.encoder(x, src_key_padding_mask=~mask) * mask[..., None]
        mean = x.sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(mean, dim=-1)


class Sentences(nn.Module):
    @nn.compact
    def __call__(self, words, mask):
        x = nn.Embed(50, 24, name="word_embeddings")(words)
        x = x + nn.Embed(12, 24, name="position_embeddings")(jnp.arange(words.shape[1])[None])
        x = nn.LayerNorm(epsilon=1e-12, name="norm")(x)
        attended = nn.make_attention_mask(jnp.ones_like(mask), mask)
        x = Encoder(6, 3, 48, activation="gelu", name="encoder")(x, attended)
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / jnp.linalg.norm(mean, axis=-1, keepdims=True)


def test_a_sentence_encoder_of_six_layers():
    network = randomise(TorchSentences())
    draw = np.random.default_rng(0)
    mask = np.arange(10) < draw.integers(3, 11, (8, 1))
    words = np.where(mask, draw.integers(1, 50, (8, 10)), 0)
    theirs = network(torch.from_numpy(words), torch.from_numpy(mask)).detach().numpy()
    variables = from_state_dict(
        network.state_dict(), Sentences(), words, mask, names=numbered, ignore=["position_ids"]
    )
    ours = jax.jit(Sentences().apply)(variables, words, mask)
    assert float(np.abs(ours - theirs).max()) <= 1e-5
    assert np.abs(theirs[0] - theirs[1]).max() > 1e-2  # the embeddings say something
