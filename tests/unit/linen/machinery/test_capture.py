"""Reaching inside a model: sow, perturb, captured intermediates, interceptors, named calls."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_close, assert_exact
from tests.unit.linen.sample_modules import KEY, Affine, X

import ramie.linen as nn


class Sows(nn.Module):
    @nn.compact
    def __call__(self, x, **options):
        stored = [self.sow("intermediates", "h", n * x, **options) for n in (1, 2)]
        return stored


def test_sow_collects_where_the_caller_asked():
    assert Sows().apply({}, 1) == [False, False]
    assert Sows().apply({}, 1, mutable="intermediates") == (
        [True, True],
        {"intermediates": {"h": (1, 2)}},
    )
    assert Sows().init(KEY, 1) == {}
    options = {"init_fn": lambda: 0, "reduce_fn": lambda a, b: a + b}
    _, state = Sows().apply({}, 1, mutable=["intermediates"], **options)
    assert state == {"intermediates": {"h": 3}}


class Chain(nn.Module):
    @nn.compact
    def __call__(self, x):
        return self.perturb("tap", Affine(2)(x)) * 3


def test_a_perturbation_has_the_gradient_of_the_value():
    variables = Chain().init(KEY, X)
    assert_exact(variables["perturbations"]["tap"], jnp.zeros((1, 2)))

    def loss(perturbations):
        return Chain().apply({**variables, "perturbations": perturbations}, X).sum()

    assert_close(jax.grad(loss)(variables["perturbations"])["tap"], jnp.full((1, 2), 3.0))
    assert_exact(Chain().apply({"params": variables["params"]}, X), Chain().apply(variables, X))
    with pytest.raises(ValueError, match=r"present, but missing perturbation variable tap at /"):
        Chain().apply({"params": variables["params"], "perturbations": {}}, X)


def test_intermediates_are_captured_by_method_and_filter():
    variables = Chain().init(KEY, X)
    y, state = Chain().apply(variables, X, capture_intermediates=True)
    found = state["intermediates"]
    assert_exact(found["__call__"][0], y)
    assert list(found["Affine_0"]) == ["__call__"]
    _, state = Chain().apply(
        variables, X, capture_intermediates=lambda module, name: isinstance(module, Affine)
    )
    assert list(state["intermediates"]) == ["Affine_0"]


def test_capture_is_off_again_inside_another_apply_and_after_it():
    inner = Affine(2)
    held = inner.init(KEY, X)

    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return inner.apply(held, x)

    _, state = Outer().apply({}, X, capture_intermediates=True)
    assert list(state["intermediates"]) == ["__call__"]


def test_interceptors_wrap_each_method_the_last_one_closest():
    calls = []

    def interceptor(scale):
        def run(next_fun, args, kwargs, context):
            calls.append((scale, type(context.module).__name__, context.method_name))
            return scale * next_fun(*args, **kwargs) + 1

        return run

    model = Affine(1, kernel_init=jax.nn.initializers.ones)
    variables = model.init(KEY, X)
    with nn.intercept_methods(interceptor(2)), nn.intercept_methods(interceptor(10)):
        y = model.apply(variables, X)
    assert_exact(y, jnp.full((1, 1), 2 * (10 * 2.0 + 1) + 1))
    assert calls == [(2, "Affine", "__call__"), (10, "Affine", "__call__")]
    assert_exact(model.apply(variables, X), jnp.full((1, 1), 2.0))


def test_an_interceptor_sees_setup_and_may_skip_the_method():
    class Model(nn.Module):
        def setup(self):
            self.x = 1

        def __call__(self):
            raise AssertionError

    seen = []

    def skip(next_fun, args, kwargs, context):
        seen.append(context.method_name)
        return next_fun(*args, **kwargs) if context.method_name == "setup" else "skipped"

    with nn.intercept_methods(skip):
        assert Model().apply({}) == "skipped"
    assert seen == ["setup", "__call__"]


def name_stacks(method=None):
    class Model(nn.Module):
        def setup(self):
            self.layer = Affine(2)

        def encode(self, x):
            return self.layer(x)

        def __call__(self, x):
            return self.encode(x)

    variables = Model().init(KEY, X)
    traced = jax.make_jaxpr(lambda v, x: Model().apply(v, x, method=method))(variables, X)
    return {str(equation.source_info.name_stack) for equation in traced.jaxpr.eqns}


def test_equations_carry_the_names_of_modules_and_methods():
    assert name_stacks() == {"Model/Model.encode/layer"}
    assert name_stacks("encode") == {"Model.encode/layer"}
    with nn.override_named_call(False):
        assert name_stacks() == {""}
    nn.disable_named_call()
    try:
        assert name_stacks() == {""}
    finally:
        nn.enable_named_call()


def test_nowrap_leaves_a_method_alone():
    class Model(nn.Module):
        @nn.nowrap
        def helper(self):
            return 1

        def __call__(self):
            return self.helper()

    seen = []

    def note(next_fun, args, kwargs, context):
        seen.append(context.method_name)
        return next_fun(*args, **kwargs)

    with nn.intercept_methods(note):
        assert Model().apply({}) == 1
    assert seen == ["__call__"]
