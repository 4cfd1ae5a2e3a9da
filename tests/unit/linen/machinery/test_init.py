"""Init that traces the forward pass gives what init that runs it gives, to the last bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_exact

import ramie.linen as nn
from ramie import errors
from ramie.configurations import config
from ramie.core.scope import initialise
from ramie.linen.machinery import entry

pytestmark = pytest.mark.optimised


def _order(tree):
    return [(k, _order(v)) for k, v in tree.items()] if isinstance(tree, dict) else None


def _assert_same(left, right):
    assert _order(left) == _order(right)
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert type(a) is type(b)
        assert_exact(a, b)
        if isinstance(a, jax.Array):
            assert (a.weak_type, a.committed) == (b.weak_type, b.committed)
            assert a.sharding == b.sharding


@pytest.fixture
def attempts(monkeypatch):
    """Whether each attempt to trace succeeded."""
    seen = []

    def attempt(forward):
        made = original(forward)
        seen.append(made is not initialise.NOT_POSSIBLE)
        return made

    original = initialise.attempt
    monkeypatch.setattr(initialise, "attempt", attempt)
    return seen


def _both(model, *args, key=None, **kwargs):
    key = jax.random.key(5) if key is None else key
    fast = model.init(key, *args, **kwargs)
    with config.temp_flip_flag("fast_init", False):
        plain = model.init(key, *args, **kwargs)
    _assert_same(fast, plain)
    return fast


X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


class Block(nn.Module):
    """Two layers around a residual; the second argument makes it fit `nn.scan`."""

    @nn.compact
    def __call__(self, x, _=None):
        return x + nn.Dense(x.shape[-1])(nn.LayerNorm()(x)), None


def _split(transform, **options):
    return transform(Block, variable_axes={"params": 0}, split_rngs={"params": True}, **options)


class Transformed(nn.Module):
    """A layer, then a block under a lifted transformation."""

    kind: str

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(3)(x)
        if self.kind == "scan":
            return _split(nn.scan, length=2)()(x, None)
        if self.kind == "vmap":
            return _split(nn.vmap, in_axes=0)()(x)
        return getattr(nn, self.kind)(Block)()(x)


@pytest.mark.parametrize("kind", ["scan", "vmap", "remat", "jit"])
def test_lifted_transformations(kind, attempts):
    _both(Transformed(kind), X)
    assert attempts == [True]


class Tree(nn.Module):
    """A random model: widths and kinds of layers by name."""

    plan: tuple[tuple[str, int], ...]
    param_dtype: str

    @nn.compact
    def __call__(self, x):
        for kind, width in self.plan:
            if kind == "dense":
                x = nn.Dense(width, param_dtype=self.param_dtype)(x)
            elif kind == "general":
                x = nn.DenseGeneral((width,), bias_init=nn.initializers.ones)(x)
            elif kind == "norm":
                x = nn.BatchNorm(use_running_average=False)(x)
            elif kind == "drop":
                x = nn.Dropout(0.5, deterministic=False)(x)
            elif kind == "own":
                scale = self.param(f"scale{width}", lambda key, s: jax.random.normal(key, s), (3,))
                seen = self.variable("state", f"seen{width}", lambda: jnp.zeros((), jnp.int32))
                x = x * scale.sum() + seen.value
            else:
                x = Tree((("dense", width),), self.param_dtype)(x)
        return x


KINDS = st.sampled_from(["dense", "general", "norm", "drop", "own", "nested"])


@settings(max_examples=8)
@given(
    plan=st.lists(st.tuples(KINDS, st.integers(2, 3)), max_size=5, unique=True),
    param_dtype=st.sampled_from(["float32", "bfloat16"]),
    seed=st.integers(0, 3),
)
def test_random_models(plan, param_dtype, seed):
    keys = {"params": jax.random.key(seed), "dropout": jax.random.key(9)}
    _both(Tree(tuple(plan), param_dtype), X, key=keys)


@pytest.mark.parametrize(
    "key",
    [
        jax.random.PRNGKey(1),
        jax.random.key(1, impl="rbg"),
        {"params": jax.random.key(1)},
        {"other": jax.random.key(2), "params": jax.random.key(1)},
    ],
    ids=["raw", "rbg", "dict", "streams"],
)
def test_kinds_of_keys(key, attempts):
    _both(nn.Dense(2), X, key=key)
    assert attempts == [True]


def test_a_committed_key_decides_where_parameters_are():
    device = jax.devices()[1]
    made = _both(nn.Dense(2), X, key=jax.device_put(jax.random.key(1), device))
    assert made["params"]["kernel"].devices() == {device}
    with jax.default_device(device):
        made = _both(nn.Dense(2), X)
    assert made["params"]["bias"].devices() == {device}


class Looks(nn.Module):
    """Decides by a value."""

    @nn.compact
    def __call__(self, x, counted):
        counted.append(self.make_rng("params"))
        y = nn.Dense(2)(x)
        return nn.Dense(2)(y) if y.sum() > 0 else nn.Dense(3)(y)


def test_python_that_needs_values_runs_for_real_with_fresh_counters(attempts):
    counted = []
    _both(Looks(), X, counted)
    assert attempts == [False]
    assert len(counted) == 3  # traced, for real, and for real with the flag off
    assert counted[0] == counted[1] == counted[2]
    entry_again = len(attempts)
    Looks().init(jax.random.key(0), X, [])
    assert len(attempts) == entry_again  # the class is known


def test_debug_prints_and_callbacks_run_once_with_values(capsys, attempts):
    class Prints(nn.Module):
        @nn.compact
        def __call__(self, x):
            jax.debug.print("sum {}", nn.Dense(2)(x).sum())

    Prints().init(jax.random.key(0), X)
    jax.effects_barrier()
    printed = capsys.readouterr().out.split()
    assert printed[0] == "sum" and len(printed) == 2
    float(printed[1])
    assert attempts == [False]


def test_an_array_that_is_kept_outside_makes_the_forward_pass_real(attempts):
    kept = []

    class Keeps(nn.Module):
        @nn.compact
        def __call__(self, x):
            kept.append(nn.Dense(2)(x))

    Keeps().init(jax.random.key(0), X)
    assert attempts == [False]
    assert not isinstance(kept[-1], jax.core.Tracer)


class DataDependent(nn.Module):
    """Variables that are computed from the input, in several ways."""

    @nn.compact
    def __call__(self, x):
        first = self.variable("stats", "first", lambda: jnp.asarray(x)[:1])
        lowest = self.variable("stats", "lowest", lambda: jnp.min(x + 1.0))
        taken = self.param("taken", lambda key, like: jax.random.normal(key, like.shape), x)
        count = self.variable("stats", "count", lambda: jnp.asarray(self.name is None, jnp.int32))
        return x * lowest.value + first.value + taken + count.value


def test_variables_that_depend_on_the_input(attempts):
    made = _both(DataDependent(), jnp.asarray(X))
    assert_exact(made["stats"]["first"], X[:1])
    assert attempts == [True]


class Rounds(nn.Module):
    """A variable whose bits depend on what XLA fuses."""

    @nn.compact
    def __call__(self, x):
        y = nn.Dense(3)(x)
        return y / self.variable("stats", "spread", lambda: y.std(0, keepdims=True)).value


def test_variables_computed_from_activations_come_from_a_real_forward_pass(attempts):
    _both(Rounds(), X)
    assert attempts == [False]


def test_boxes_and_orders_are_kept(attempts):
    class Boxed(nn.Module):
        @nn.compact
        def __call__(self, x):
            for name in ("z", "a"):
                init = nn.with_partitioning(nn.initializers.normal(), ("data", None))
                x = x @ self.param(name, init, (3, 3))
            return self.perturb("p", x)

    made = _both(Boxed(), X)
    assert list(made["params"]) == ["z", "a"]
    assert made["params"]["a"].names == ("data", None)
    assert attempts == [True]


def test_nested_init_and_init_inside_transformations(attempts):
    class Inside(nn.Module):
        @nn.compact
        def __call__(self, x):
            inner = nn.Dense(2, parent=None).init(self.make_rng("params"), x)["params"]["kernel"]
            return nn.Dense(3, bias_init=lambda key, shape, dtype: inner.sum() + jnp.zeros(shape))(
                x
            )

    _both(nn.Dense(2), X)
    _both(Inside(), X)
    assert attempts == [True, False, True]  # the last is the inner one, in the real forward pass
    before = len(attempts)
    shapes = jax.eval_shape(nn.Dense(2).init, jax.random.key(0), X)
    assert shapes["params"]["kernel"].shape == (3, 2)
    jax.vmap(lambda x: nn.Dense(2).init(jax.random.key(0), x))(X)
    assert len(attempts) == before


def test_errors_are_those_of_a_real_forward_pass(attempts):
    class Wrong(nn.Module):
        @nn.compact
        def __call__(self, x):
            return self.param("w", nn.initializers.lecun_normal(), (3,))

    def caught():
        with pytest.raises(ValueError, match="Can't compute") as error:
            Wrong().init(jax.random.key(0), X)
        return str(error.value), error.value.__notes__

    fast = caught()
    with config.temp_flip_flag("fast_init", False):
        assert fast == caught()
    assert attempts == [False]
    with pytest.raises(errors.InvalidRngError):
        nn.Dense(2).init(0, X)
    caught()
    assert attempts == [False, False]  # a class that only ever failed is tried again


@pytest.mark.parametrize("switch", ["jax_disable_jit", "jax_debug_nans", "jax_check_tracer_leaks"])
def test_debugging_switches_see_a_real_forward_pass(switch, attempts):
    before = getattr(jax.config, switch)
    jax.config.update(switch, True)
    try:
        nn.Dense(2).init(jax.random.key(0), X)
    finally:
        jax.config.update(switch, before)
    assert attempts == []


def test_the_flag_and_capturing_turn_tracing_off(attempts):
    with config.temp_flip_flag("fast_init", False):
        nn.Dense(2).init(jax.random.key(0), X)
    nn.Dense(2).init(jax.random.key(0), X, capture_intermediates=True)
    nn.Dense(2).init_with_output(jax.random.key(0), X)
    assert attempts == []


def test_functions_of_modules(attempts):
    model = nn.Dense(2)
    made = nn.init(lambda m, x: m(2 * x), model)(jax.random.key(5), X)
    _assert_same(made, _both(model, X))
    assert attempts == [True, True]


def test_the_result_can_be_donated():
    made = nn.LayerNorm().init(jax.random.key(0), X)
    doubled = jax.jit(lambda tree: jax.tree.map(lambda x: 2 * x, tree), donate_argnums=0)(made)
    assert_exact(doubled["params"]["scale"], np.full(3, 2, np.float32))


def test_variables_that_hold_keys(attempts):
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.variable("noise", "key", lambda: self.make_rng("params"))
            return nn.Dense(3)(x)

    tower = nn.Repeat(Noisy, 2, scan=True)
    fast = tower.init(jax.random.key(0), X)
    with config.temp_flip_flag("fast_init", False):
        plain = tower.init(jax.random.key(0), X)
    assert attempts == [True]
    keys, expected = (jax.random.key_data(v["noise"]["layers"]["key"]) for v in (fast, plain))
    assert_exact(keys, expected)
    _assert_same(fast["params"], plain["params"])


def test_constants_of_variables_follow_jax():
    class Counts(nn.Module):
        @nn.compact
        def __call__(self):
            for dtype in (None, "int8", "bfloat16", bool):
                self.variable("state", f"zeros {dtype}", jnp.zeros, (2,), dtype)
                self.variable("state", f"ones {dtype}", jnp.ones, (2, 1), dtype)
            self.param("zeros", nn.initializers.zeros, (3,))
            self.param("ones", nn.initializers.ones, (3,), jnp.bfloat16)

    assert entry.init is nn.init
    _both(Counts())
