"""What is not the same everywhere is traced on its own, and nothing is stale."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact
from tests.unit.linen.machinery.towers import (
    DEPTH,
    WIDTH,
    Block,
    Tower,
    X,
    calls,
    compare,
    variables_of,
)

import ramie.linen as nn
from ramie.core.tracing.trace import is_compiled

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    "read",
    [
        lambda m: float(m.name[-1]),
        lambda m: float(len(m.path) + int(m.path[-1][-1])),
        lambda m: float(m.scope.name[-1]),
        lambda m: float(m.parent.depth),
    ],
    ids=["name", "path", "scope", "parent"],
)
def test_who_reads_its_place_is_traced_there(read):
    class Placed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return read(self) * nn.Dense(WIDTH)(nn.LayerNorm()(x))

    class PlacedByScope(nn.Module):
        @nn.compact
        def __call__(self, x):
            return float(self.scope.name[-1]) * nn.Dense(WIDTH)(nn.LayerNorm()(x))

    model = Tower(PlacedByScope if "scope" in read.__code__.co_names else Placed)
    compare(lambda v: model.apply(v, X), variables_of(model, X), shared=0)


def test_other_settings_other_programs():
    class Mixed(nn.Module):
        @nn.compact
        def __call__(self, x):
            for act in (nn.relu, nn.gelu, nn.relu, nn.gelu):
                x = Block(act=act)(x)
            x = Block()(x.astype(jnp.float16)).astype(jnp.float32)
            x = Block()(x[:1]) + x
            with jax.default_matmul_precision("highest"):
                x = Block()(x)
            with nn.logical_axis_rules([("a", None)]):
                x = Block()(x)
            return Block()(x, train=True)

    model = Mixed()
    compare(lambda v: model.apply(v, X), variables_of(model, X), shared=9, programs=7)


def test_weak_types_and_constants_are_kept_apart():
    class Scaled(nn.Module):
        @nn.compact
        def __call__(self, x, scale):
            return nn.Dense(WIDTH)(nn.LayerNorm()(x)) * scale

    class Uses(nn.Module):
        @nn.compact
        def __call__(self, x, weak):
            for scale in (2, 2.0, 2, np.float32(2), weak, jnp.asarray(weak, jnp.float32), 2.0):
                x = Scaled()(x, scale)
            for scale in (0.0, -0.0):
                x = x + 1.0 / Scaled()(x, scale)
            return x

    model = Uses()
    weak = 3.0  # traced by jit, weakly typed
    variables = variables_of(model, X, weak)
    compare(lambda v, w: model.apply(v, X, w), variables, weak, shared=9, programs=7)


def test_captured_tracers_are_not_shared():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            held = {}

            class Reads(nn.Module):
                @nn.compact
                def __call__(self, x):
                    return nn.Dense(WIDTH)(nn.LayerNorm()(x)) * held["x"]

            for i in range(3):
                held["x"] = x.sum() + i
                x = Reads()(x)
            return x

    model = Model()
    compare(lambda v, x: model.apply(v, x), variables_of(model, X), X, shared=0)


def test_what_is_kept_outside_is_not_lost():
    kept = []

    class Keeps(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(WIDTH)(nn.LayerNorm()(x))
            kept.append(x)
            return x

    model = Tower(Keeps)
    variables = variables_of(model, X)

    def fn(v):
        kept.clear()
        model.apply(v, X)
        return kept[0], kept[-1]

    compare(fn, variables, shared=0)


def test_arguments_that_are_changed():
    class Fills(nn.Module):
        @nn.compact
        def __call__(self, x, cache):
            x = nn.Dense(WIDTH)(nn.LayerNorm()(x))
            cache["x"] = x
            return x

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            caches = [{} for _ in range(3)]
            for cache in caches:
                x = Fills()(x, cache)
            return caches

    model = Model()
    compare(lambda v: model.apply(v, X), variables_of(model, X), shared=0)


def test_callbacks_see_every_call():
    seen = []

    class Tells(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(WIDTH)(nn.LayerNorm()(x))
            jax.debug.callback(lambda s: seen.append(float(s)), x.sum())
            return x

    model = Tower(Tells)
    variables = variables_of(model, X)
    seen.clear()
    with nn.share_traces():
        jax.block_until_ready(jax.jit(lambda v: model.apply(v, X))(variables))
    jax.effects_barrier()
    assert len(seen) == DEPTH


def test_interceptors_see_every_call():
    seen = []

    def note(next_fun, args, kwargs, context):
        seen.append(context.module.path)
        return next_fun(*args, **kwargs)

    model = Tower()
    variables = variables_of(model, X)
    with nn.share_traces(), nn.intercept_methods(note):
        jax.make_jaxpr(lambda v: model.apply(v, X))(variables)
    assert sum(path[-1:] == (f"Block_{i}",) for i in range(DEPTH) for path in seen) == DEPTH


def test_an_error_names_the_module_that_was_called():
    class Picky(nn.Module):
        @nn.compact
        def __call__(self, x, i):
            x = nn.Dense(WIDTH)(nn.LayerNorm()(x))
            if self.path[-1] == "Picky_2":
                raise RuntimeError("no")
            return x

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            for _ in range(4):
                x = Picky()(x, 0)
            return x

    class Wrong(nn.Module):
        @nn.compact
        def __call__(self, x):
            Block()(x)
            Block()(x)
            return Block()(x[..., 1:])

    variables = {"params": Tower(Block, 3).init(jax.random.key(0), X)["params"]}
    with nn.share_traces(), pytest.raises(Exception, match="Block_2") as caught:
        jax.make_jaxpr(lambda v: Wrong().apply(v, X))(variables)
    assert any("/Block_2" in note for note in caught.value.__notes__)


def test_outside_of_jit_nothing_is_shared():
    seen = []

    class Asks(Block):
        @nn.compact
        def __call__(self, x, train=False):
            seen.append(is_compiled())
            return super().__call__(x, train)

    model = Tower(Asks)
    variables = variables_of(model, X)
    seen.clear()
    with nn.share_traces():
        got = jax.grad(lambda v: model.apply(v, X).sum())(variables)
        eager = model.apply(variables, X)
    assert seen == [False] * (2 * DEPTH)
    want = jax.grad(lambda v: model.apply(v, X).sum())(variables)
    jax.tree_util.tree_map(assert_exact, got, want)
    assert_exact(eager, model.apply(variables, X))


def test_nothing_outlives_the_call():
    """A function that a module calls is another at the next trace."""
    current = [nn.relu]

    class Uses(nn.Module):
        @nn.compact
        def __call__(self, x):
            return current[0](nn.Dense(WIDTH)(nn.LayerNorm()(x)))

    model = Tower(Uses)
    variables = variables_of(model, X)
    compare(lambda v: model.apply(v, X), variables, shared=DEPTH)
    current[0] = nn.tanh
    compare(lambda v: model.apply(v, X), variables, shared=DEPTH)


def test_threads_decide_for_themselves():
    model = Tower()
    variables = variables_of(model, X)
    found = {}

    def work(name, enable):
        with nn.share_traces(enable):
            jaxpr = jax.make_jaxpr(lambda v: model.apply(v, X))(variables)
        found[name] = calls(jaxpr.jaxpr)

    threads = [threading.Thread(target=work, args=(i, i % 2 == 0)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: DEPTH, 1: 0, 2: DEPTH, 3: 0}
