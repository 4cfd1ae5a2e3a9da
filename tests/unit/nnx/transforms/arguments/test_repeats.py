"""Branches and loops called again with the same functions: traced once, and never stale."""

import gc
import math
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.unit.nnx.transforms.outside_readers import READERS, Counter

from ramie import nnx
from ramie.configurations import config

pytestmark = pytest.mark.usefixtures("quick_collections")

MODES = [
    {"graph": True, "graph_updates": True},
    {"graph": True, "graph_updates": False},
    {"graph": False},
]
every_mode = pytest.mark.parametrize("mode", MODES, ids=["updates", "graph", "tree"])

SCALE = 1.0  # a global that functions of some tests read


def _cond(f, model, mode):
    nnx.cond(True, f, f, model, **mode)


def _switch(f, model, mode):
    nnx.switch(1, [f, f, f], model, **mode)


def _while_loop(f, model, mode):
    def goes_on(carry):
        return carry[1] < 1

    def body(carry):
        f(carry[0])
        return carry[0], carry[1] + 1

    _while_loop.functions = _while_loop.functions or {}
    pair = _while_loop.functions.setdefault(f, (goes_on, body))
    nnx.while_loop(*pair, (model, 0), **mode)


def _fori_loop(f, model, mode):
    def body(i, model):
        f(model)
        return model

    _fori_loop.functions = _fori_loop.functions or {}
    nnx.fori_loop(0, 1, _fori_loop.functions.setdefault(f, body), model, **mode)


_while_loop.functions = _fori_loop.functions = None
every_kind = pytest.mark.parametrize("run", [_cond, _switch, _while_loop, _fori_loop])


@every_kind
@every_mode
def test_the_same_functions_are_traced_once(run, mode):
    traces = 0

    def f(model):
        nonlocal traces
        traces += 1
        model.value[...] += model.step

    models = [Counter(), Counter(5.0)]
    for _ in range(3):
        for model in models:
            run(f, model, mode)
    assert traces == 1
    assert [float(model.value[...]) for model in models] == [3.0, 8.0]


@every_kind
@every_mode
def test_other_structures_shapes_and_settings_are_traced_anew(run, mode):
    seen = []

    def f(model):
        seen.append((model.step, model.value.shape, model.value.dtype.name))
        model.value[...] += model.step

    run(f, Counter(), mode)
    model = Counter(step=2)
    run(f, model, mode)
    assert float(model.value[...]) == 2.0
    model.step = 3
    run(f, model, mode)
    assert float(model.value[...]) == 5.0
    model.value = nnx.Variable(jnp.zeros(2))
    run(f, model, mode)
    model.value = nnx.Variable(jnp.zeros(2, jnp.int32))
    run(f, model, mode)
    assert seen == [
        (1, (), "float32"),
        (2, (), "float32"),
        (3, (), "float32"),
        (3, (2,), "float32"),
        (3, (2,), "int32"),
    ]


@pytest.mark.parametrize("reader", READERS)
@every_kind
def test_what_functions_read_from_outside_may_change(run, reader):
    f, change = reader([1.0])
    change(1.0)
    model = Counter()
    run(f, model, MODES[2])
    assert float(model.value[...]) == 1.0
    change(10.0)
    run(f, model, MODES[2])
    run(f, model, MODES[2])
    assert float(model.value[...]) == 21.0


@every_kind
def test_flags_and_defaults_are_looked_at(run):
    def f(model):
        model.sow(nnx.Intermediate, "seen", model.value[...], init_fn=float, reduce_fn=jnp.add)

    with_note = Counter()
    with config.temp_flip_flag("nnx_sow_capture_noop", True):
        run(f, with_note, MODES[2])
    with config.temp_flip_flag("nnx_sow_capture_noop", False):
        model = Counter(3.0)
        model.seen = nnx.Intermediate(jnp.array(0.0))
        run(f, model, MODES[2])
        assert float(model.seen[...]) == 3.0
        with config.temp_flip_flag("nnx_sow_capture_noop", True):
            run(f, model, MODES[2])
        assert float(model.seen[...]) == 3.0
        run(f, model, MODES[2])
        assert float(model.seen[...]) == 6.0


def test_what_is_sown_under_a_kept_branch_is_captured():
    class Sower(nnx.Module):
        def half(self, x):
            return x / 2

        def __call__(self, x):
            return nnx.cond(True, _halved, _halved, self, x)

    def run():
        return nnx.capture(Sower(), nnx.Intermediate, method_outputs=nnx.Intermediate)(4.0)

    for _ in range(2):
        y, found = run()
        assert float(y) == 2.0 and float(found["half"].get_value()[0]) == 2.0


def _halved(model, x):
    return model.half(x)


@pytest.mark.parametrize("mode", MODES[1:])
def test_only_what_changed_is_written_at_a_repeated_call(mode):
    kept = nnx.Variable(jnp.array(2.0))
    changed = nnx.Variable(jnp.array(0.0))

    def f(kept, changed):
        changed[...] += kept[...]

    for count in range(1, 4):
        value = kept.get_raw_value()
        nnx.cond(count < 3, f, f, kept, changed, **mode)
        assert kept.get_raw_value() is value
        assert float(changed[...]) == 2.0 * count


def test_a_repeated_call_may_be_under_a_transformation():
    def f(model):
        model.value[...] *= 2

    @nnx.jit
    def step(model):
        nnx.cond(model.value[...] > 0, f, f, model)

    model = Counter(1.0)
    nnx.cond(True, f, f, model)
    step(model)
    nnx.cond(True, f, f, model)
    assert float(model.value[...]) == 8.0

    def doubled(x):
        model = Counter()
        model.value = nnx.Variable(x)
        nnx.cond(True, f, f, model)
        return model.value[...]

    assert float(jax.grad(doubled)(3.0)) == 2.0
    assert jax.vmap(doubled)(jnp.arange(3.0)).tolist() == [0.0, 2.0, 4.0]


def test_new_modules_come_out_of_a_repeated_loop():
    def body(i, model):
        return Counter(7.0)

    for _ in range(2):
        model = Counter()
        out = nnx.fori_loop(0, 2, body, model, graph=True, graph_updates=True)
        assert out is not model and float(out.value[...]) == 7.0
        assert float(model.value[...]) == 0.0


def test_mistakes_are_told_at_every_call():
    def one(x):
        return x

    def two(x):
        return x, x

    for _ in range(2):
        with pytest.raises(TypeError, match="must return the same structure"):
            nnx.cond(True, one, two, jnp.array(1.0))
    assert float(nnx.cond(True, one, one, jnp.array(1.0))) == 1.0


def test_functions_are_not_held_for_ever():
    dead = []
    for number in range(200):

        def f(x, number=number):
            return x + number

        nnx.cond(True, f, f, 1.0)
        dead.append(weakref.ref(f))
        del f
    gc.collect()
    assert sum(ref() is not None for ref in dead) < 200


RATE = 2.0


def _scaled(x):
    return jnp.sin(x) * RATE


def test_functions_of_constants_helpers_and_libraries_are_traced_once():
    traces = 0

    def f(x, factor=3.0, kinds=(nnx.Linear, np.float32)):
        nonlocal traces
        traces += 1
        return _scaled(x) * factor * math.pi * jax.nn.relu(x) + len(kinds)

    for _ in range(3):
        nnx.cond(True, f, f, jnp.float32(1.0))
    assert traces == 1


def test_a_zero_with_another_sign_is_another_one():
    zero = 0.0

    def f(x):
        return x / jnp.float32(zero)

    def call():
        return float(nnx.cond(True, f, f, jnp.float32(1.0)))

    assert call() == float("inf")
    zero = -0.0
    assert call() == float("-inf")


def test_what_branches_capture_is_not_kept_alive():
    def call():
        model = Counter()
        nnx.cond(True, lambda x: x + model.value[...], lambda x: x, jnp.float32(1.0))
        nnx.fori_loop(0, 2, lambda i, x: x + model.value[...], jnp.float32(1.0))
        return weakref.ref(model)

    refs = [call() for _ in range(3)]
    gc.collect()
    assert [ref() for ref in refs] == [None] * 3


def test_no_tracer_that_a_branch_captures_is_kept():
    @jax.jit
    def outer(y):
        x = nnx.cond(True, lambda x: x * y, lambda x: x, jnp.float32(2.0))
        x = nnx.switch(0, [lambda x: x * y], x)
        x = nnx.fori_loop(0, 2, lambda i, x: x * y, x)
        return nnx.while_loop(lambda x: x < y, lambda x: x * y, x)

    with jax.checking_leaks():
        assert outer(3.0) == 162.0
