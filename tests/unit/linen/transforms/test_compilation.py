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


class Switched(nn.Module):
    @nn.compact
    def __call__(self, x, scale=2.0, is_on=True):
        return scale * x if is_on else -x


def switched(module, x, scale=2.0, is_on=True):
    return scale * x if is_on else -x


ONES = jnp.ones(2)
CALLS = [((ONES, 3.0, False), {}), ((ONES, 3.0), {"is_on": False}), ((ONES,), {"is_on": False})]
CALLS += [((), {"is_on": False, "x": ONES})]


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("number", [3, (3,), -1, (-1,)])
@pytest.mark.parametrize("transform", [nn.jit, nn.remat])
def test_a_static_argument_is_one_however_it_is_given(transform, number, call):
    args, kwargs = call
    layer = transform(Switched, static_argnums=number)()
    assert_exact(layer.apply({}, *args, **kwargs), -ONES)

    class Model(nn.Module):
        @nn.compact
        def __call__(self):
            return transform(switched, static_argnums=number)(self, *args, **kwargs)

    assert_exact(Model().apply({}), -ONES)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_static_name_may_come_by_position(call):
    args, kwargs = call
    layer = nn.jit(Switched, static_argnames="is_on")()
    assert_exact(layer.apply({}, *args, **kwargs), -ONES)


def test_a_default_is_static_too():
    assert_exact(nn.jit(Switched, static_argnums=-1)().apply({}, ONES), 2 * ONES)
    assert_exact(nn.remat(Switched, static_argnums=-1)().apply({}, ONES), 2 * ONES)


@pytest.mark.parametrize("number", [1, -3])
def test_what_is_donated_may_come_by_keyword(number):
    x = jnp.ones(2)
    layer = nn.jit(Switched, donate_argnums=number, static_argnums=3)()
    layer.apply({}, x=x)
    assert x.is_deleted()


def test_numbers_from_the_end_need_an_end():
    def any_number(module, *args):
        return args[0]

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.jit(any_number, static_argnums=-1)(self, x, True)

    with pytest.raises(ValueError, match=r"\(-1,\) .* from the end.*Count from the start"):
        Model().apply({}, ONES)
