"""Modules that agree are traced once, and no bit changes by it."""

import functools

import jax
import jax.numpy as jnp
import pytest
from tests.unit.linen.machinery.towers import calls
from tests.unit.nnx.modules.towers import (
    DEPTH,
    WIDTH,
    Block,
    Tower,
    X,
    compare,
    compare_with_gradients,
)

from ramie import nnx
from ramie.foundation.configurations import config

pytestmark = pytest.mark.long


def _shared(fn, *args, **options):
    return calls(nnx.jit(fn, **options).trace(*args).jaxpr.jaxpr)


def test_off_by_default_and_the_closest_word_decides():
    assert config.ramie_share_traces is False
    model = Tower()

    def forward(model, x):
        return model(x)

    assert _shared(forward, model, X) == 0
    assert _shared(forward, model, X, share_traces=True) == DEPTH - 1
    with config.temp_flip_flag("share_traces", True):
        assert _shared(forward, model, X) == DEPTH - 1
        assert _shared(forward, model, X, share_traces=False) == 0
        with nnx.share_traces(False):
            assert _shared(forward, model, X) == 0
            assert _shared(forward, model, X, share_traces=True) == DEPTH - 1
    with nnx.share_traces():
        assert _shared(forward, model, X) == DEPTH - 1
        assert _shared(forward, model, X, share_traces=False) == 0
    assert _shared(forward, model, X) == 0
    with pytest.raises(ValueError, match="share_traces='yes'"):
        nnx.jit(forward, share_traces="yes")


def test_classes_are_as_before_afterwards():
    before = dict(vars(Block))
    with nnx.share_traces(), nnx.share_traces():
        assert vars(Block)["__call__"] is not before["__call__"]
        with nnx.share_traces(False):
            nnx.jit(lambda model, x: model(x))(Tower(), X)
    assert dict(vars(Block)) == before


def test_a_method_that_was_replaced_meanwhile_stays_replaced(monkeypatch):
    class Own(Block):
        def __call__(self, x):
            return super().__call__(x)

    with nnx.share_traces():
        Own.__call__ = replacement = lambda self, x: 2 * x
    assert Own.__call__ is replacement


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_values_gradients_and_random_streams(rate):
    make = functools.partial(Tower, functools.partial(Block, rate=rate))
    compare_with_gradients(make, X, shared=DEPTH - 1)


def test_a_stream_that_all_blocks_count_on():
    class Noisy(Block):
        def __init__(self, rngs):
            super().__init__(rngs)
            self.rngs = rngs

        def __call__(self, x):
            return super().__call__(x + self.rngs.noise.normal(x.shape))

    compare_with_gradients(lambda: Tower(Noisy), X, shared=DEPTH - 1)


def test_streams_as_arguments():
    class Noisy(Block):
        def __call__(self, x, rngs=None):
            return super().__call__(x + rngs.normal(x.shape))

    def call(model, x):
        rngs = nnx.Rngs(jax.random.key(x.shape[0]))
        return model(x, rngs=rngs), rngs.default.count[...]

    compare(call, lambda: Tower(Noisy), X, shared=DEPTH - 1)


def test_statistics_and_counts_are_stored():
    class Normed(Block):
        def __init__(self, rngs):
            super().__init__(rngs)
            self.batch = nnx.BatchNorm(WIDTH, rngs=rngs)
            self.calls = nnx.Variable(jnp.zeros((), jnp.int32))

        def __call__(self, x):
            self.calls[...] += 1
            return self.batch(super().__call__(x))

    compare_with_gradients(lambda: Tower(Normed), X, shared=DEPTH - 1)


def test_caches_are_read_and_stored():
    class Remembering(Block):
        def __init__(self, rngs):
            super().__init__(rngs)
            self.seen = nnx.Cache(jnp.zeros((2, 3, WIDTH)))
            self.at = nnx.Cache(jnp.zeros((), jnp.int32))

        def __call__(self, x):
            index = (jnp.zeros((), jnp.int32), self.at[...], jnp.zeros((), jnp.int32))
            self.seen[...] = jax.lax.dynamic_update_slice(self.seen[...], x, index)
            self.at[...] += 1
            return super().__call__(self.seen[...].sum(1, keepdims=True))

    def steps(model, x):
        return jnp.concatenate([model(x[:, i : i + 1]) for i in range(3)], 1)

    # Of the tower the second call is the first that is looked at, the third is a program.
    compare(steps, lambda: Tower(Remembering), X, shared=2 * DEPTH)


def test_a_variable_that_several_blocks_have():
    def make():
        model = Tower()
        for block in model.blocks[1:]:
            block.up.kernel = model.blocks[0].up.kernel
        return model

    compare_with_gradients(make, X, shared=DEPTH - 1)


def test_a_variable_of_all_blocks_that_each_stores_to():
    class Counting(Block):
        def __init__(self, rngs, total):
            super().__init__(rngs)
            self.total = total

        def __call__(self, x):
            self.total[...] += x.sum()
            return super().__call__(x) * self.total

    def make():
        total = nnx.Variable(jnp.ones(()))
        return Tower(lambda rngs: Counting(rngs, total))

    compare_with_gradients(make, X, shared=DEPTH - 1)


def test_one_module_called_several_times():
    def call(model, x):
        for _ in range(5):
            x = model.blocks[0](x)
        return x

    make = functools.partial(Tower, functools.partial(Block, rate=0.4), 1)
    # Of calls outside of any module the first is left alone: most likely it is the whole model.
    compare_with_gradients(make, X, shared=3, call=call)


@pytest.mark.parametrize("policy", [None, "dots_saveable"])
def test_remat_of_a_method(policy):
    made = policy and getattr(jax.checkpoint_policies, policy)

    class Checkpointed(Block):
        @functools.partial(nnx.remat, policy=made)
        def __call__(self, x):
            return super().__call__(x)

    make = functools.partial(Tower, functools.partial(Checkpointed, rate=0.4))
    compare_with_gradients(make, X, shared=DEPTH - 1)


def test_remat_around_each_block():
    def call(model, x):
        for block in model.blocks:
            x = nnx.remat(lambda block, x: block(x))(block, x)
        return x

    make = functools.partial(Tower, functools.partial(Block, rate=0.4))
    compare_with_gradients(make, X, shared=DEPTH - 2, call=call)


def test_repeat():
    class Outer(nnx.Module):
        def __init__(self, remat):
            self.tower = nnx.Repeat(Block, DEPTH, rngs=nnx.Rngs(0), remat=remat)

        def __call__(self, x):
            return self.tower(x)

    compare_with_gradients(functools.partial(Outer, False), X, shared=DEPTH - 1)
    # JAX traces a checkpointed step once by itself.
    compare_with_gradients(functools.partial(Outer, True), X, shared=None)


def test_inside_of_scan_and_vmap():
    @nnx.vmap
    def members(seed):
        return Tower(functools.partial(Block, rate=0.4), seed=seed)

    def mapped(model, x):
        return nnx.vmap(lambda model, x: model(x), in_axes=(0, None))(model, x)

    def looped(model, x):
        scan = nnx.scan(lambda x, model: model(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        return scan(x, model)

    for call in (mapped, looped):
        compare_with_gradients(lambda: members(jnp.arange(3)), X, shared=DEPTH - 1, call=call)


def test_transformations_inside_of_blocks():
    class Inner(nnx.Module):
        def __init__(self, rngs):
            make = nnx.split_rngs(splits=3)(nnx.vmap(lambda rngs: Block(rngs, rate=0.3)))
            self.heads = make(rngs)

        def __call__(self, x):
            step = nnx.scan(lambda x, b: b(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
            return step(x, self.heads)

    compare_with_gradients(lambda: Tower(Inner), X, shared=DEPTH - 1)


def test_nested_towers_share_inside_of_programs():
    class Outer(nnx.Module):
        def __init__(self, rngs):
            self.tower = Tower(functools.partial(Block, rate=0.3))
            self.out = nnx.Linear(WIDTH, WIDTH, rngs=rngs)

        def __call__(self, x):
            return self.out(self.tower(x))

    # In the first one all but one of its blocks; then a program, called.
    compare_with_gradients(lambda: Tower(Outer, 3), X, shared=DEPTH - 1 + 2)


def test_operands_that_all_blocks_read_have_their_cotangents_added_in_order():
    class Crossed(nnx.Module):
        def __init__(self, rngs):
            self.attend = nnx.MultiHeadAttention(2, WIDTH, decode=False, rngs=rngs)
            self.out = nnx.Linear(WIDTH, WIDTH, rngs=rngs)

        def __call__(self, x, memory):
            y = x + self.attend(x, memory)
            return y + self.out(y) * nnx.tanh(y)

    def gradients(model, x, memory):
        return jax.grad(lambda x, m: (model(x, m) ** 3).sum(), (0, 1))(x, memory)

    compare(gradients, lambda: Tower(Crossed, 6), X, X[:, ::-1] * 1.7)


def test_other_methods_than_call():
    class Coder(Block):
        def encode(self, x, *, scale):
            return self.up(self.norm(x)) * scale

        def decode(self, x):
            return self.down(x)

    def call(model, x):
        for block in model.blocks:
            x = block.decode(block.encode(x, scale=3.0))
        return x

    # The first call of each method is left alone.
    compare_with_gradients(lambda: Tower(Coder), X, shared=2 * (DEPTH - 2), call=call)


def test_structured_arguments_and_results():
    class Structured(Block):
        def __call__(self, x, mode="plain"):
            y = super().__call__(x["x"]) if mode == "plain" else x["x"]
            return {"x": y, "steps": x["steps"] + 1, "mode": mode, "none": None}

    def call(model, x):
        found = {"x": x, "steps": 0, "mode": "", "none": None}
        found = model(found)
        return found["x"], found["steps"]

    # Each is given another number of steps.
    compare(call, lambda: Tower(Structured), X, shared=0)

    def without_steps(model, x):
        for block in model.blocks:
            found = block({"x": x, "steps": x[0, 0, 0]}, mode="plain")
            x = found["x"] * found["steps"]
        return x

    compare_with_gradients(lambda: Tower(Structured), X, shared=DEPTH - 2, call=without_steps)


def test_shapes_alone():
    with nnx.share_traces():
        shapes = nnx.eval_shape(lambda model, x: (model(x), model), Tower(), X)
        jaxpr = nnx.make_jaxpr(lambda model, x: model(x), graph=False)(Tower(), X)
    want = nnx.eval_shape(lambda model, x: (model(x), model), Tower(), X)
    assert jax.tree.leaves(shapes) == jax.tree.leaves(want)
    assert nnx.graphdef(shapes[1]) == nnx.graphdef(want[1])
    assert calls(jaxpr.jaxpr) == DEPTH - 1


def test_models_made_inside_of_the_trace():
    def made(seed, x):
        model = Tower(seed=seed)
        return model(x), model

    with nnx.share_traces():
        got = nnx.jit(made)(3, X)
    want = nnx.jit(lambda *a: made(*a))(3, X)
    assert nnx.graphdef(got[1]) == nnx.graphdef(want[1])
    assert (got[0] == want[0]).all()


@pytest.mark.parametrize("inside", [False, True])
def test_functions_of_jax(inside):
    graphdef, state = nnx.split(Tower())

    def forward(state, x):
        model = nnx.merge(graphdef, state)
        for block in model.blocks:
            x = block(x)
        return x

    def shared(state, x):
        with nnx.share_traces():
            return forward(state, x)

    with nnx.share_traces(not inside):
        jaxpr = jax.make_jaxpr(shared if inside else forward)(state, X)
        got = jax.jit(shared if inside else forward)(state, X)
    assert calls(jaxpr.jaxpr) == DEPTH - 2
    assert (got == jax.jit(lambda *a: forward(*a))(state, X)).all()


def test_steps_that_donate():
    model, plain = (Tower(functools.partial(Block, rate=0.3)) for _ in range(2))

    def step(model, x):
        gradients = nnx.grad(lambda model: (model(x) ** 2).mean())(model)
        nnx.update(model, jax.tree.map(lambda p, g: p - g, nnx.state(model, nnx.Param), gradients))

    shared = nnx.jit(step, donate="auto", share_traces=True)
    for _ in range(2):
        shared(model, X)
        nnx.jit(lambda *a: step(*a))(plain, X)
    params = (jax.tree.leaves(nnx.state(m, nnx.Param)) for m in (model, plain))
    assert all((a == b).all() for a, b in zip(*params, strict=True))
