"""Modules that agree are traced once, and no bit changes by it."""

import functools

import jax
import jax.numpy as jnp
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
    compare_with_gradients,
    variables_of,
)

import ramie.linen as nn
from ramie.foundation.configurations import config

pytestmark = pytest.mark.long


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_blocks_are_traced_once_or_twice_whatever_their_number(monkeypatch, rate):
    traces = []
    norm = nn.LayerNorm.__call__

    def noted(*args, **kwargs):
        traces.append(1)
        return norm(*args, **kwargs)

    model = Tower(functools.partial(Block, rate=rate), 9)
    variables = variables_of(model, X)
    rngs = {"dropout": jax.random.key(3)}
    monkeypatch.setattr(nn.LayerNorm, "__call__", noted)
    compare(lambda v: model.apply(v, X, True, rngs=rngs), variables, shared=9)
    assert len(traces) == (2 if rate else 1) + 9  # the nine: without sharing


def test_without_a_twin_the_first_call_is_traced_in_place():
    class Again(nn.Module):
        times: int

        @nn.compact
        def __call__(self, x):
            block = Block()
            for _ in range(self.times):
                x = block(x, True)
            return x

    variables = variables_of(Again(1), X)
    for times, shared in ((1, 0), (4, 3)):
        compare_with_gradients(Again(times), variables, X, shared=shared)


def test_off_by_default_and_the_closest_word_decides():
    assert config.ramie_share_traces is False
    variables = variables_of(Tower(), X)

    def shared(model):
        return calls(jax.make_jaxpr(lambda v: model.apply(v, X))(variables).jaxpr)

    assert shared(Tower()) == 0
    with config.temp_flip_flag("share_traces", True):
        assert shared(Tower()) == DEPTH
        with nn.share_traces(False):
            assert shared(Tower()) == 0
            assert shared(Tower(share_traces=True)) == DEPTH
        assert shared(Tower(share_traces=False)) == 0
    assert shared(Tower(share_traces=True)) == DEPTH
    assert shared(Tower(share_traces=True).clone()) == DEPTH
    assert Tower(share_traces=True) == Tower()
    with pytest.raises(TypeError, match="share_traces"):
        Tower(share_traces="yes")


def test_a_field_of_that_name_is_a_field():
    class Named(nn.Module):
        share_traces: int

    assert Named(share_traces=3).share_traces == 3


def test_a_submodule_may_ask_for_itself():
    class Two(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Tower(share_traces=True)(Tower()(x))

    variables = variables_of(Two(), X)
    jaxpr = jax.make_jaxpr(lambda v: Two().apply(v, X))(variables)
    assert calls(jaxpr.jaxpr) == DEPTH


def test_values_and_gradients():
    model = Tower()
    compare_with_gradients(model, variables_of(model, X), X, shared=DEPTH)


def test_dropout_draws_the_keys_of_each_place():
    model = Tower(functools.partial(Block, rate=0.4))
    variables = variables_of(model, X)
    rngs = {"dropout": jax.random.key(3)}
    compare_with_gradients(model, variables, X, True, rngs=rngs, shared=DEPTH)
    compare(
        lambda v, k: model.apply(v, X, True, rngs={"dropout": k}),
        variables,
        jax.random.key(4),
        shared=DEPTH,
    )


def test_a_module_called_again_goes_on_counting_keys():
    class Again(nn.Module):
        @nn.compact
        def __call__(self, x):
            blocks = [Block(rate=0.4) for _ in range(3)]
            for _ in range(2):
                for block in blocks:
                    x = block(x, True)
            return x

    model = Again()
    variables = variables_of(model, X)
    compare_with_gradients(model, variables, X, rngs={"dropout": jax.random.key(3)}, shared=6)


@pytest.mark.parametrize("policy", [None, "dots_saveable"])
def test_remat(policy):
    made = policy and getattr(jax.checkpoint_policies, policy)
    cls = nn.remat(Block, static_argnums=(2,), policy=made)
    model = Tower(functools.partial(cls, rate=0.3))
    rngs = {"dropout": jax.random.key(3)}
    compare_with_gradients(model, variables_of(model, X, True), X, True, rngs=rngs, shared=DEPTH)


def test_remat_around_the_model():
    model = nn.remat(Tower)(functools.partial(Block, rate=0.3))
    rngs = {"dropout": jax.random.key(3)}
    variables = variables_of(model, X)
    compare_with_gradients(model, variables, X, rngs=rngs, shared=DEPTH)


class Decoder(nn.Module):
    @nn.compact
    def __call__(self, x, memory):
        y = x + nn.MultiHeadDotProductAttention(2)(nn.LayerNorm()(x), memory)
        return y + nn.Dense(WIDTH)(y) * nn.tanh(y)


def test_cotangents_of_what_all_blocks_read_are_added_in_the_same_order():
    model = Tower(Decoder, 6)
    memory = X[:, ::-1] * 1.7

    def gradients(v, memory):
        return jax.grad(lambda v, m: (model.apply(v, X, m) ** 3).sum(), (0, 1))(v, memory)

    compare(gradients, variables_of(model, X, memory), memory)


def test_one_argument_given_twice():
    class Both(nn.Module):
        @nn.compact
        def __call__(self, x, z):
            return nn.Dense(WIDTH)(x) * z + nn.Dense(WIDTH)(z) * x

    class Pairs(nn.Module):
        @nn.compact
        def __call__(self, x):
            y = sum(Both()(x, x) for _ in range(3))
            return y * x

    model = Pairs()
    variables = variables_of(model, X)

    def gradient(v, x):
        return jax.grad(lambda x: (model.apply(v, x) ** 2).sum())(x)

    compare(gradient, variables, X)


def test_state_is_written():
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.BatchNorm(use_running_average=False)(nn.Dense(WIDTH)(x))
            calls = self.variable("count", "calls", lambda: jnp.zeros((), jnp.int32))
            calls.value += 1
            return nn.relu(x)

    model = Tower(Normed)
    variables = variables_of(model, X)
    mutable = ["batch_stats", "count"]
    traced = compare(lambda v: model.apply(v, X, mutable=mutable), variables, shared=DEPTH)
    assert traced is not None
    with nn.share_traces():
        _, got = jax.jit(lambda v: model.apply(v, X, mutable=mutable))(variables)
    assert [list(got[c]) for c in got] == [list(variables[c]) for c in got]


def test_what_makes_variables_is_traced_on_its_own():
    class Sowing(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = Block()(x)
            self.sow("intermediates", "x", x)
            return x

    model = Tower(Sowing)
    variables = {"params": variables_of(model, X)["params"]}
    fn = functools.partial(model.apply, mutable=["intermediates"])
    # The blocks inside of them make nothing. Those in the first see no collection yet.
    compare(lambda v: fn(v, X), variables, shared=DEPTH - 1)
    compare(lambda v: model.apply(v, X), variables, shared=DEPTH)
    compare(lambda v: model.apply(v, X, capture_intermediates=True), variables, shared=0)
    with nn.share_traces():
        got = jax.jit(lambda key: model.init(key, X))(jax.random.key(0))
    jax.tree_util.tree_map(assert_exact, got, jax.jit(model.init)(jax.random.key(0), X))


def test_perturbations():
    class Perturbed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return self.perturb("x", Block()(x))

    model = Tower(Perturbed)
    variables = model.init(jax.random.key(0), X)
    compare_with_gradients(model, variables, X, shared=DEPTH)


class Stacked(nn.Module):
    """Submodules made in setup, and a method that is not compact."""

    width: int = WIDTH

    def setup(self):
        self.first = nn.Dense(2 * self.width)
        self.second = nn.Dense(self.width)
        self.drop = nn.Dropout(0.3, deterministic=False)
        self.scale = self.param("scale", nn.initializers.ones, (1, 1, self.width))

    def __call__(self, x):
        return x + self.scale * self.drop(self.second(nn.relu(self.first(x))))


def test_modules_with_setup():
    class Parent(nn.Module):
        def setup(self):
            self.blocks = [Stacked() for _ in range(DEPTH)]

        def __call__(self, x):
            for block in self.blocks:
                x = block(x)
            for block in self.blocks[1:]:
                x = block(x)
            return x + self.blocks[2].scale

    model = Parent()
    rngs = {"dropout": jax.random.key(3)}
    compare_with_gradients(model, variables_of(model, X), X, rngs=rngs, shared=2 * DEPTH - 1)


def test_keys_drawn_in_setup_are_drawn_once():
    class Noisy(nn.Module):
        def setup(self):
            self.noise = jax.random.normal(self.make_rng("dropout"), (1, 1, WIDTH))
            self.dense, self.norm = nn.Dense(WIDTH), nn.LayerNorm()

        def __call__(self, x):
            return self.norm(self.dense(x + self.noise))

    class Parent(nn.Module):
        @nn.compact
        def __call__(self, x):
            blocks = [Noisy() for _ in range(3)]
            for block in blocks * 2:
                x = block(x)
            return x

    model = Parent()
    rngs = {"dropout": jax.random.key(3)}
    compare_with_gradients(model, variables_of(model, X), X, rngs=rngs, shared=0)


def test_modules_in_fields():
    class Wraps(nn.Module):
        inner: nn.Module

        @nn.compact
        def __call__(self, x):
            return self.inner(nn.LayerNorm()(x))

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            for width in (WIDTH, WIDTH, 2 * WIDTH, WIDTH):
                x = Wraps(Block(width, parent=None) if width == WIDTH else nn.Dense(WIDTH))(x)
            shared = nn.Dense(WIDTH)
            for _ in range(3):
                x = Wraps(shared)(x)
            return x

    model = Model()
    compare_with_gradients(model, variables_of(model, X), X, shared=3)


def test_nested_towers_share_inside_of_programs():
    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(WIDTH)(Tower(functools.partial(Block, rate=0.2))(x, True))

    model = Tower(Outer, 3)
    rngs = {"dropout": jax.random.key(3)}
    compare_with_gradients(model, variables_of(model, X), X, rngs=rngs, shared=DEPTH)


class Carries(Tower):
    def __call__(self, x):
        return super().__call__(x, True), None


def test_inside_of_a_scan():
    scanned = nn.scan(
        Carries,
        variable_axes={"params": 0},
        length=2,
        split_rngs={"params": True, "dropout": True},
    )
    model = scanned(functools.partial(Block, rate=0.3))
    rngs = {"dropout": jax.random.key(3)}
    compare_with_gradients(model, variables_of(model, X), X, rngs=rngs, shared=DEPTH)


def test_lifted_transformations_inside_of_blocks():
    class Inner(nn.Module):
        @nn.compact
        def __call__(self, x):
            heads = nn.vmap(
                Block,
                variable_axes={"params": 0},
                split_rngs={"params": True, "dropout": True},
                in_axes=None,
                axis_size=2,
            )
            return heads(rate=0.3)(x).sum(0)

    model = Tower(Inner)
    rngs = {"dropout": jax.random.key(3)}
    compare_with_gradients(model, variables_of(model, X), X, rngs=rngs, shared=DEPTH)


def test_vmap_and_jvp_of_the_whole():
    model = Tower()
    variables = variables_of(model, X)

    def fn(v, x):
        return jax.vmap(lambda x: model.apply(v, x))(x)

    compare(fn, variables, X, shared=DEPTH)

    def tangent(v, x):
        return jax.jvp(lambda x: model.apply(v, x), (x,), (x + 1,))

    compare(tangent, variables, X, shared=DEPTH)


def test_boxed_parameters_and_constraints():
    class Laid(nn.Module):
        @nn.compact
        def __call__(self, x):
            init = nn.with_partitioning(nn.initializers.lecun_normal(), ("data", None))
            x = nn.Dense(WIDTH, kernel_init=init)(nn.LayerNorm()(x))
            return nn.with_logical_constraint(x, ("batch", None, None))

    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    model = Tower(Laid)
    with jax.set_mesh(mesh), nn.logical_axis_rules([("batch", "data")]):
        variables = model.init(jax.random.key(0), X)
        # The first one is given what lies on no mesh.
        compare(lambda v: model.apply(v, X), variables, shared=DEPTH, programs=2)


def test_programs_show_the_places_of_modules():
    model = Tower()
    variables = variables_of(model, X)
    with nn.share_traces():
        lowered = jax.jit(lambda v: model.apply(v, X)).lower(variables)
    text = lowered.as_text(debug_info=True)
    for i in range(1, DEPTH):
        assert f"Tower/Block_{i}/jit(Block)" in text
