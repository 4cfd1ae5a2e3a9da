"""What functions and classes read from outside: equal while it is the same; None if unknown."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramie.core.tracing.reads import is_plain, read_by

RATE = 1.0
TOTAL = 0


def _content(*things):
    read = read_by(things)
    return None if read is None else read.content


def _make(rate):
    return lambda x: x * rate


def test_functions_are_compared_by_code_and_by_what_they_read():
    assert _content(_make(1.0)) == _content(_make(1.0)) != _content(_make(2.0))
    assert _content(_make(1)) != _content(_make(1.0)) != _content(_make(True))
    assert _content(_make(0.0)) != _content(_make(-0.0))
    assert hash(_content(_make(1.0))) == hash(_content(_make(1.0)))
    assert _content(lambda x: x) != _content(lambda x: -x)


def test_the_functions_that_were_met_are_told():
    one, other = _make(1.0), _make(1.0)
    assert read_by([one]).functions == (id(one),) != read_by([other]).functions


def test_globals_defaults_and_helpers_count(monkeypatch):
    def helper(x):
        return x * RATE

    def f(x, by=(1, {"a": 2})):
        return helper(x) * by[0]

    before = _content(f)
    assert before == _content(f) is not None
    monkeypatch.setitem(globals(), "RATE", 2.0)
    assert before != _content(f)
    monkeypatch.setitem(globals(), "RATE", 1.0)
    assert before == _content(f)
    f.__defaults__ = ((1, {"a": 3}),)
    assert before != _content(f)


def test_functions_may_call_themselves_and_each_other():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    assert _content(even) == _content(even) != _content(odd)


class Base:
    rate = 1.0

    def scaled(self, x):
        return x * self.rate


class Derived(Base):
    @property
    def twice(self):
        return 2 * self.rate

    @staticmethod
    def shifted(x):
        return x + RATE


def test_classes_count_with_their_bases_and_methods(monkeypatch):
    def f(x):
        return Derived().scaled(x)

    before = [_content(Derived), _content(f)]
    assert None not in before and before[0] == _content(Derived)
    monkeypatch.setattr(Base, "rate", 2.0)
    assert before[0] != _content(Derived) and before[1] != _content(f)
    monkeypatch.setattr(Base, "rate", 1.0)
    assert before == [_content(Derived), _content(f)]
    monkeypatch.setattr(Base, "scaled", lambda self, x: x)
    assert before[0] != _content(Derived)
    monkeypatch.undo()
    monkeypatch.setitem(globals(), "RATE", 3.0)
    assert before[0] != _content(Derived)


@dataclasses.dataclass
class Settings:
    rate: float = 1.0


SETTINGS = Settings()
ARRAY = np.ones(2)
DEVICE_ARRAY = jnp.ones(2)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * SETTINGS.rate,
        lambda x: x * ARRAY,
        lambda x, y=DEVICE_ARRAY: x * y,
        functools.partial(_make, ARRAY),
        Settings().__eq__,
        lambda x: x * np.random.rand(),
        lambda x: x * globals()["RATE"],
        lambda x: x * eval("RATE"),
        lambda x: pytest.importorskip(x),
        jax.jit(lambda x: x * RATE),
        jax.tree_util.Partial(jnp.add, ARRAY),
        np.vectorize(lambda x: x * RATE),
        np.poly1d([1.0, 2.0]),
        [0] * 100,
        lambda x: [jnp, np][x].sum(x),
        lambda x: getattr(jnp, x),
        lambda x, lib=jnp: lib.sum(x),
        functools.partial(_make, jnp),
    ],
)
def test_what_may_change_unnoticed_is_unknown(f):
    assert read_by([f]) is None


def _prints(x):
    print(x)


def _stores(x):
    global TOTAL
    TOTAL = x


def _counter():
    count = 0

    def f(x):
        nonlocal count
        count += 1
        return x + count

    return f


def _local_cells(x):
    y = x

    def inner():
        nonlocal y
        y = y + 1
        return y

    return inner()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jnp.linalg.norm(x),
        lambda x: [jnp.linalg.norm(y) for y in x],
        (lambda lib: lambda x: lib.linalg.norm(x))(jnp),
        (lambda lib: lambda x: list(map(lambda y: lib.linalg.norm(y), x)))(jnp),
    ],
)
def test_attributes_of_modules_of_libraries_may_be_replaced(f, monkeypatch):
    before = _content(f)
    assert before == _content(f) is not None
    monkeypatch.setattr(jnp.linalg, "norm", lambda x: x)
    once = _content(f)
    assert before != once == _content(f)
    monkeypatch.setattr(jnp.linalg, "norm", lambda x: -x)
    assert _content(f) not in (before, once)
    monkeypatch.setattr(jnp.linalg, "norm", ARRAY.sum)
    assert _content(f) is None
    monkeypatch.delattr(jnp.linalg, "norm")
    assert _content(f) not in (before, None)
    monkeypatch.undo()
    assert before == _content(f)


def test_constants_of_modules_of_libraries_may_be_replaced(monkeypatch):
    def f(x):
        return x * math.pi + math.tau

    before = _content(f)
    monkeypatch.setattr(math, "pi", 3.0)
    assert before != _content(f)
    monkeypatch.setattr(math, "pi", ARRAY)
    assert _content(f) is None


@pytest.mark.parametrize(
    ("f", "is_visible"),
    [
        (_prints, True),
        (_stores, True),
        (_counter(), True),
        (lambda x: setattr(x, "a", 1), True),
        (_local_cells, False),
        (lambda x: jnp.sum(x) * math.pi, False),
    ],
)
def test_what_is_seen_each_time_is_told(f, is_visible):
    assert read_by([f]).is_visible is is_visible


def test_plain_things_read_nothing():
    assert all(map(is_plain, [1, 2.0, "a", None, np.dtype("int8"), jnp.float32]))
    assert all(map(is_plain, [jax.nn.relu, np.sin, np.sum, jnp.dot, math.sin]))
    assert read_by([lambda x: jax.lax.scan(jax.vmap(jnp.sin), x)]) is not None
    assert not any(map(is_plain, [_make(1), Base, Settings(), ARRAY, [1], jnp]))


def test_objects_of_users_are_not_asked_for_attributes():
    class Watched:
        def __getattr__(self, name):
            raise RuntimeError(f"{name} was asked for")

        def __call__(self):
            return 3

    assert not is_plain(Watched())
    assert read_by([Watched()]) is None
