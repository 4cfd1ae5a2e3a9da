"""Compiled modules: whom a program serves, what it keeps, what is static."""

import functools
import gc
import weakref

import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact
from tests.unit.linen.transforms.scaled_modules import KEY, Scale, X, shapes

from ramie import errors
from ramie import linen as nn


def test_one_program_serves_modules_with_equal_fields():
    traces = []

    class Traced(nn.Module):
        settings: list
        power: int = 1

        @nn.compact
        def __call__(self, x):
            traces.append(self.power)
            return x**self.power + self.param("w", nn.initializers.normal(1.0), ())

    cls = nn.jit(Traced)

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            for _ in range(3):
                x = cls([1, {"a": 2}])(x)
            return cls([1, {"a": 2}], power=2)(x)

    variables = Model().init(KEY, X)
    assert traces == [1, 2]
    values = {float(p["w"]) for p in variables["params"].values()}
    assert len(values) == 4
    Model().apply(variables, X)
    Model().apply(variables, X)
    assert traces == [1, 2, 1, 2]
    assert cls([1, {"a": 3}]).apply({"params": {"w": 0.0}}, X) is not None
    assert traces[-1] == 1 and len(traces) == 5


def test_static_arguments_count_from_the_module():
    class Model(nn.Module):
        @functools.partial(nn.jit, static_argnums=2, static_argnames="mode")
        def __call__(self, x, train, *, mode="slow"):
            assert train is True and mode == "fast"
            return x

    assert_exact(Model().apply({}, X, True, mode="fast"), X)


def test_interception_is_part_of_a_program():
    seen = []

    def spy(next_fun, args, kwargs, context):
        seen.append(context.method_name)
        return next_fun(*args, **kwargs)

    model = nn.jit(Scale)()
    variables = model.init(KEY, X)
    model.apply(variables, X)
    with nn.intercept_methods(spy):
        model.apply(variables, X)
    assert "__call__" in seen


def test_captured_intermediates_come_out_of_programs():
    class Model(nn.Module):
        @nn.jit
        @nn.compact
        def __call__(self, x):
            self.sow("intermediates", "sum", x.sum())
            return Scale(name="inner")(x)

    variables = Model().init(KEY, X)
    _, state = Model().apply(variables, X, capture_intermediates=True)
    found = state["intermediates"]
    assert set(found) == {"sum", "inner", "__call__"}
    assert float(found["sum"][0]) == float(X.sum())


def test_programs_keep_no_arrays_alive():
    model = nn.jit(Scale)()
    weight = jnp.ones(()) * 3
    kept = weakref.ref(weight)
    model.apply({"params": {"w": weight}}, X)
    del weight
    gc.collect()
    assert kept() is None


def test_an_unbound_module_can_be_compiled():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(x)

        @nn.jit
        def make(self, key, x):
            return self.init(key, x)

    assert shapes(Model().make(KEY, X)) == shapes(Model().init(KEY, X))
    with pytest.raises(errors.CallCompactUnboundModuleError):
        nn.jit(Model)()(X)
