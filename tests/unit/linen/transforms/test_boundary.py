"""Modules that cross the boundary of a transformation: names, sharing, setup, what may leave."""

import jax.numpy as jnp
import pytest
from tests.unit.linen.transforms.scaled_modules import KEY, Scale, X, shapes

from ramie import errors
from ramie import linen as nn


def test_names_go_on_counting_through_a_function():
    def two_more(module, x):
        return Scale()(Scale()(x))

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.jit(two_more)(self, Scale()(x))
            x = nn.remat(two_more)(self, Scale()(x))
            return Scale()(x)

    variables = Model().init(KEY, X)
    assert set(variables["params"]) == {f"Scale_{i}" for i in range(7)}
    Model().apply(variables, X)


@pytest.mark.parametrize("made", [Scale, lambda: nn.Variable(None, "c", "n")])
def test_modules_and_variables_cannot_leave(made):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.make()
            return x

        @nn.jit
        def make(self):
            return made()

    with pytest.raises(errors.TransformedMethodReturnValueError, match="make"):
        Model().init(KEY, X)


def test_shared_modules_are_lifted_with_those_that_hold_them():
    class Counter(nn.Module):
        @nn.compact
        def __call__(self, x):
            calls = self.variable("state", "calls", lambda: 0)
            calls.value += 1
            return x

    class Holder(nn.Module):
        inner: nn.Module

        @nn.compact
        def __call__(self, x, other):
            return other(self.inner(x))

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            counter = Counter()
            for _ in range(2):
                x = nn.jit(Holder)(counter)(x, counter)
            return counter(x)

    variables = Model().init(KEY, X)
    assert variables["state"] == {"Counter_0": {"calls": 5}}
    _, state = Model().apply(variables, X, mutable=["state"])
    assert state["state"] == {"Counter_0": {"calls": 10}}


def test_variables_pass_through_arguments_and_fields():
    class Adder(nn.Module):
        total: nn.Variable

        @nn.jit
        def __call__(self, x):
            self.total.value += x.sum()
            return x

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            total = self.variable("state", "total", lambda: jnp.float32(0))
            self.add(total, x)
            return Adder(total)(x)

        @nn.remat
        def add(self, total, x):
            total.value += x.sum()

    assert float(Model().init(KEY, X)["state"]["total"]) == 2 * float(X.sum())


def test_attributes_of_post_init_and_setup_are_there_inside():
    class Model(nn.Module):
        features: int

        def __post_init__(self):
            self.hidden = 2 * self.features
            super().__post_init__()

        def setup(self):
            self.dense = nn.Dense(self.hidden)
            self.constant = self.helper()

        @nn.remat
        def helper(self):
            return jnp.ones((1, self.hidden))

        @nn.jit
        def __call__(self, x):
            return self.dense(x) + self.constant

        def plain(self, x):
            return self.dense(x) + self(x)

    variables = Model(2).init(KEY, X)
    assert shapes(variables)["params"]["dense"]["kernel"] == (3, 4)
    Model(2).apply(variables, X, method="plain")


def test_a_mistake_in_setup_shows_in_init():
    class Broken(nn.Module):
        def setup(self):
            self.a = nn.Dense(2)
            self.a = nn.Dense(2)

        @nn.jit
        def __call__(self, x):
            return x

    with pytest.raises(errors.NameInUseError):
        Broken().init(KEY, X)


def test_names_given_inside_must_not_be_those_of_arguments():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return self.helper(x, nn.Dense(2, name="a"))

        @nn.jit
        def helper(self, x, module):
            nn.Dense(2, name="a")
            return module(x)

    with pytest.raises(errors.NameInUseError):
        Model().init(KEY, X)
