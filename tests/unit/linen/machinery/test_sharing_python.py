"""What methods do in Python is done for each call, with sharing as without."""

import dataclasses

import jax
import numpy as np
import pytest
from tests.unit.linen.machinery.towers import DEPTH, WIDTH, Tower, X, compare, variables_of

import ramie.linen as nn

SCALE = 1.0
CALLS = 0


def _body(x):
    return nn.Dense(WIDTH)(nn.LayerNorm()(x))


def _place(module):
    return float(module.scope.name[-1])


def _held(holder):
    holder.seen += 1


class Seen:
    def __init__(self):
        self.seen = 0

    def note(self):
        self.seen += 1


def test_functions_that_read_where_a_module_is():
    class Placed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return _place(self) * _body(x)

    compare(lambda v: Tower(Placed).apply(v, X), variables_of(Tower(Placed), X), shared=0)


def _counted(how):
    """Return a class whose calls are counted, and a function that returns their number."""
    counts, seen, number = [], Seen(), 0

    class Lists(nn.Module):
        @nn.compact
        def __call__(self, x):
            counts.append(x)
            return _body(x)

    class Stores(nn.Module):
        @nn.compact
        def __call__(self, x):
            nonlocal number
            number += 1
            return _body(x)

    class Global(nn.Module):
        @nn.compact
        def __call__(self, x):
            global CALLS
            CALLS += 1
            return _body(x)

    class Field(nn.Module):
        seen: Seen

        @nn.compact
        def __call__(self, x):
            self.seen.note()
            return _body(x)

    class Helped(nn.Module):
        seen: Seen

        @nn.compact
        def __call__(self, x):
            _held(self.seen)
            return _body(x)

    return {
        "list": (Lists, lambda: len(counts)),
        "nonlocal": (Stores, lambda: number),
        "global": (Global, lambda: CALLS),
        "method of a field": (lambda: Field(seen), lambda: seen.seen),
        "field, by a function": (lambda: Helped(seen), lambda: seen.seen),
    }[how]


@pytest.mark.parametrize(
    "how", ["list", "nonlocal", "global", "method of a field", "field, by a function"]
)
def test_calls_are_counted(how):
    cls, number = _counted(how)
    model = Tower(cls, 5)
    variables = variables_of(model, X)
    before = number()
    with nn.share_traces():
        jax.jit(lambda v: model.apply(v, X)).trace(variables)
    assert number() - before == 5


def test_prints_are_printed(capsys):
    class Prints(nn.Module):
        @nn.compact
        def __call__(self, x):
            print("called")
            return _body(x)

    model = Tower(Prints)
    variables = variables_of(model, X)
    capsys.readouterr()
    with nn.share_traces():
        jax.jit(lambda v: model.apply(v, X)).trace(variables)
    assert capsys.readouterr().out == "called\n" * DEPTH


def test_each_call_draws_its_numbers_of_numpy():
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x):
            return _body(x) + np.float32(np.random.uniform())

    model = Tower(Noisy)
    variables = variables_of(model, X)

    def fn(v):
        np.random.seed(0)
        return model.apply(v, X)

    compare(fn, variables, shared=0)


def test_a_global_that_changes_between_two_calls():
    class Scaled(nn.Module):
        @nn.compact
        def __call__(self, x):
            return _body(x) * SCALE

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            global SCALE
            for scale in (1.0, 1.0, 3.0, 3.0):
                SCALE = scale
                x = Scaled()(x)
            return x

    compare(lambda v: Model().apply(v, X), variables_of(Model(), X), shared=4, programs=2)


@dataclasses.dataclass
class Config:
    scale: float = 1.0


def test_settings_that_change_between_two_calls():
    config, table = Config(), {"scale": 1.0}

    class Scaled(nn.Module):
        config: Config

        @nn.compact
        def __call__(self, x):
            return _body(x) * self.config.scale * table["scale"]

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            for config.scale, table["scale"] in ((1.0, 1.0), (1.0, 1.0), (3.0, 1.0), (3.0, 2.0)):
                x = Scaled(config)(x)
            return x

    compare(lambda v: Model().apply(v, X), variables_of(Model(), X), shared=4, programs=3)
