"""The text of `tabulate`, character for character."""

import enum
import inspect
import itertools
import re
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

flax = pytest.importorskip("flax")

from ramie import core, linen, struct  # noqa: E402

KEY = jax.random.key(0)
RNGS = {"params": KEY, "dropout": KEY}
X = jnp.ones((2, 3))
PLAIN = {"force_terminal": False, "no_color": True, "width": 200}
FLOPS = {"compute_flops": True, "compute_vjp_flops": True}
FIXED = {"path", "module", "inputs", "outputs", "flops", "vjp_flops"}

# Models, made for either library ---------------------------------------------------------------


def compact(nn, **_):
    class Compact(nn.Module):
        @nn.compact
        def __call__(self, x, flag=None, *, options=None):
            dense = nn.Dense(4)
            h = dense(dense(nn.Dense(4)(x)))
            self.param("own", nn.initializers.zeros, (3,))
            h = nn.BatchNorm(use_running_average=False)(h)
            self.sow("intermediates", "h", h)
            return {"b": (h, None, 1, 2.5), "a": h}

    return Compact()


def setup(nn, **_):
    class Setup(nn.Module):
        def setup(self):
            self.dense = nn.Dense(2)
            self.gain = self.param("gain", nn.initializers.ones, (1, 2))

        def helper(self, x):
            return self.dense(x) + self._hidden(x)

        def _hidden(self, x):
            return self.dense(x)

        @nn.nowrap
        def plain(self, x):
            return x

        def __call__(self, x):
            return self.helper(self.plain(x)) * self.gain

    return Setup()


def sharing(nn, **_):
    class Inner(nn.Module):
        inner: Any

        @nn.compact
        def __call__(self, x):
            return self.inner(x) + 1

    class Sharing(nn.Module):
        @nn.compact
        def __call__(self, x):
            dense = nn.Dense(3)
            return Inner(dense)(Inner(dense)(x)) + dense(x)

    return Sharing()


def lifted(nn, **_):
    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return nn.Dense(3)(x), None

    class Lifted(nn.Module):
        @nn.compact
        def __call__(self, x):
            own = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
            x, _ = nn.scan(Block, length=4, **own)()(x, None)
            x = nn.vmap(nn.Dense, **own)(3)(x)
            return nn.jit(nn.Dense)(3)(nn.remat(nn.Dense)(3)(x))

    return Lifted()


def boxed(nn, **_):
    class Boxed(nn.Module):
        @nn.compact
        def __call__(self, x):
            init = nn.initializers.zeros
            self.variable("cache", "c", lambda: nn.Partitioned(jnp.zeros((2, 2)), ("m", ("a",))))
            return nn.Dense(
                4,
                kernel_init=nn.with_partitioning(init, (None, "data")),
                bias_init=nn.with_logical_partitioning(init, ("embed",)),
            )(x)

    return Boxed()


def deep(nn, **_):
    class Deep(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Sequential([nn.Dense(2), nn.relu, nn.Dense(2)])(x)

    class Layered(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(2, name="first")(x)
            words = nn.Embed(5, 2)(jnp.zeros((2,), int))
            return Deep()(Deep(name="z")(x)), nn.Dropout(0.5, deterministic=False)(x), words

    return Layered()


def layers(nn, **_):
    class Layers(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Conv(4, (3, 3), feature_group_count=1)(x)
            x = nn.avg_pool(nn.GroupNorm(2)(nn.relu(x)), (2, 2), (2, 2))
            x = nn.ConvTranspose(3, (2, 2))(x).reshape((x.shape[0], -1, 3))
            x = nn.MultiHeadDotProductAttention(num_heads=1)(x)
            return nn.RNN(nn.LSTMCell(2))(nn.LayerNorm()(x))

    return Layers()


def wrapped(nn, **_):
    class Wrapped(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.SpectralNorm(nn.Dense(5))(x, update_stats=True)
            return nn.WeightNorm(nn.Dense(3))(x)

    return Wrapped()


def odd_state(nn, struct, **_):
    class Named(struct.PyTreeNode):
        names: tuple = struct.field(pytree_node=False)
        array: Any = None

    class OddState(nn.Module):
        @nn.compact
        def __call__(self, *args, **kwargs):
            tree = {"y": [jnp.ones(1), {"z": jnp.int8(1)}], "x": jnp.ones((1000, 100))}
            self.sow("sown", "meta", Named(("a", "b"), jnp.ones(3)))
            self.variable("sown", "tree", lambda: tree)
            self.variable("sown", "number", lambda: 5)
            return args

    return OddState()


def mute(nn, **_):
    class Mute(nn.Module):
        def __call__(self, x):
            return x + 1

    return Mute()


# Comparison ------------------------------------------------------------------------------------


def sorted_collections(text):
    """Put the columns of collections, whose order in Flax is that of a hash, in order."""
    lines = text.split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("┏"))
    edges = [i for i, mark in enumerate(lines[at]) if mark in "┏┳┓"]
    cells = list(itertools.pairwise(edges))
    names = [lines[at + 1][a + 1 : b].strip() for a, b in cells]
    fixed = [i for i, name in enumerate(names) if name in FIXED]
    order = fixed + sorted(set(range(len(names))) - set(fixed), key=names.__getitem__)
    for i, line in enumerate(lines):
        if len(line) == edges[-1] + 1 and line[0] in "┏┃┡│├└":
            lines[i] = "|".join(line[cells[j][0] + 1 : cells[j][1]] for j in order)
    return lines


def text(library, make, *args, **kwargs):
    nn, struct, core = library
    model = make(nn=nn, struct=struct, core=core)
    args = [arg(core=core, nn=nn) if isinstance(arg, types.FunctionType) else arg for arg in args]
    kwargs.setdefault("console_kwargs", PLAIN)
    return model.tabulate(*args, **kwargs)


FLAX = (flax.linen, flax.struct, flax.core)
RAMIE = (linen, struct, core)


def without_kinds(text):
    """Check the sum in the last line, which Flax does not have, and take it away."""
    lines = text.split("\n")
    total = lines[-3]
    if " = " in total:
        whole, *parts = (int(n.replace(",", "")) for n in re.findall(r"([\d,]+) \(", total))
        assert whole == sum(parts)
        total, width = total.partition(" = ")[0].strip(), len(lines[1])
        lines[-3] = (" " * ((width - len(total)) // 2) + total).ljust(width)
    return "\n".join(lines)


def assert_same(make, *args, **kwargs):
    ours, theirs = (text(library, make, *args, **kwargs) for library in (RAMIE, FLAX))
    if "\x1b" in theirs:
        assert ours == theirs
    else:
        assert sorted_collections(without_kinds(ours)) == sorted_collections(theirs)


@pytest.mark.parametrize(
    ("make", "rngs"),
    [
        (compact, KEY),
        (setup, KEY),
        (sharing, KEY),
        (lifted, KEY),
        (boxed, KEY),
        (deep, RNGS),
        (mute, {}),
    ],
)
def test_models(make, rngs):
    assert_same(make, rngs, X)


@pytest.mark.parametrize(("make", "rngs"), [(layers, KEY), (wrapped, KEY)])
def test_layers(make, rngs):
    assert_same(make, rngs, jnp.ones((2, 4, 4, 3)))


@pytest.mark.parametrize("make", [compact, setup, sharing, deep])
def test_repeated_calls(make):
    assert_same(make, RNGS, X, show_repeated=True)


@pytest.mark.parametrize("make", [sharing, lifted, boxed, mute])
def test_costs(make):
    assert_same(make, RNGS, X, **FLOPS)


@pytest.mark.parametrize("options", [{"compute_flops": True}, {"compute_vjp_flops": True}])
def test_one_kind_of_cost(options):
    assert_same(setup, KEY, X, **options)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_depth(depth):
    assert_same(deep, RNGS, X, depth=depth)


@pytest.mark.parametrize("mutable", [True, ("params", "batch_stats")])
def test_mutable(mutable):
    assert_same(compact, KEY, X, mutable=mutable, **FLOPS)


@pytest.mark.parametrize("method", ["helper", "_hidden", lambda module, x: module.helper(x)])
def test_methods(method):
    kwargs = {"method": method, "show_repeated": True}
    ours = linen.tabulate(setup(linen), KEY, console_kwargs=PLAIN, **kwargs)
    theirs = flax.linen.tabulate(setup(flax.linen), KEY, console_kwargs=PLAIN, **kwargs)
    assert ours(X) == theirs(X)


@pytest.mark.parametrize(
    "options",
    [
        {"console_kwargs": {"force_terminal": True}},
        {"console_kwargs": {"width": 72, "force_terminal": True}},
        {"console_kwargs": {"width": 100, "force_terminal": False}},
        {"table_kwargs": {"expand": True, "padding": 0}},
        {"column_kwargs": {"justify": "right", "footer": "f"}},
    ],
)
def test_looks(options):
    assert_same(setup, KEY, X, **options)


def test_where_flax_cuts_shapes_they_are_whole():
    options = {"console_kwargs": {**PLAIN, "width": 60}}
    ours, theirs = (text(library, setup, KEY, X, **options) for library in (RAMIE, FLAX))
    assert "…" in theirs and "…" not in ours
    assert "float32[1,2]" in ours and max(map(len, ours.splitlines())) <= 60


def test_in_a_pipe_flax_has_codes_for_colours(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    options = {"console_kwargs": {"width": 100}}
    ours, theirs = (text(library, setup, KEY, X, **options) for library in (RAMIE, FLAX))
    assert ours == re.sub("\x1b.*?m", "", theirs) != theirs


class Pair(NamedTuple):
    u: Any
    v: Any


class Names(enum.StrEnum):
    x = "x"


class Colour(enum.Enum):
    RED = "red"


VALUES = {
    "integer": 1,
    "float": 2.0,
    "tiny": 1e-10,
    "nan": float("nan"),
    "text": "a: b",
    "quoted": ["it's", '"q"', "a #c", ""],
    "nothing": None,
    "truth": True,
    "numpy scalar": np.float32(2),
    "numpy int": np.int64(2),
    "numpy float64": np.float64(2),
    "numpy bool": np.bool_(True),
    "numpy array": np.ones(2),
    "dtype": np.dtype("int8"),
    "complex": 3 + 2j,
    "key": KEY,
    "empty": [(), [], {}],
    "only empty": {},
    "nested": [[[1, [2]], {"a": [[X]], "b": {"c": [{"d": 1, "e": 2}, 3]}}]],
    "named tuple": Pair(X, (X, 1)),
    "enum key": {Names.x: X},
    "enum": Colour.RED,
    "others": [frozenset([1]), range(3), slice(1, 2), len, Ellipsis, b"bytes", "a\nb"],
    "shape": jax.ShapeDtypeStruct((3,), jnp.int32),
    "frozen": lambda core, nn: core.freeze({"b": X, "a": 1}),
    "box": lambda core, nn: nn.Partitioned(X, ("a", None)),
}


@pytest.mark.parametrize("name", VALUES)
def test_arguments(name):
    assert_same(odd_state, {}, VALUES[name])


def test_arguments_by_name():
    assert_same(odd_state, {}, a=1, b=X)
    assert_same(odd_state, {}, X, a=1, b=X)
    assert_same(odd_state, {})


def test_signatures():
    for ours, theirs in [
        (linen.tabulate, flax.linen.tabulate),
        (linen.Module.tabulate, flax.linen.Module.tabulate),
        (linen.Module.module_paths, flax.linen.Module.module_paths),
    ]:
        mine, other = inspect.signature(ours), inspect.signature(theirs)
        assert list(mine.parameters) == list(other.parameters)
        assert [p.kind for p in mine.parameters.values()] == [
            p.kind for p in other.parameters.values()
        ]


def test_a_missing_collection_raises_the_same():
    for library in (RAMIE, FLAX):
        with pytest.raises(Exception, match="batch_stats") as caught:
            text(library, compact, KEY, X, mutable="params")
        assert type(caught.value).__name__ == "ScopeCollectionNotFound"
