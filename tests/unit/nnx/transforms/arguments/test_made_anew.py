"""Branches and loops whose functions are written in the call: traced once, and never stale."""

import gc
import threading
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact
from tests.unit.nnx.transforms.outside_readers import READERS, Counter

from ramie import nnx
from ramie.nnx.transforms.arguments import repeats
from ramie.nnx.transforms.arguments.boundary import Boundary

MODES = [
    {"graph": True, "graph_updates": True},
    {"graph": True, "graph_updates": False},
    {"graph": False},
]
every_mode = pytest.mark.parametrize("mode", MODES, ids=["updates", "graph", "tree"])
FACTOR = 1.0


class Scaled(nnx.Module):
    """A layer of a user, with a method that reads a global."""

    bias = 0.0

    def __init__(self, activation=jnp.tanh):
        self.weight = nnx.Param(jnp.array(2.0))
        self.activation = activation

    def __call__(self, x):
        return self.activation(self.weight[...] * x) * FACTOR + self.bias


def _cond(f, model, x, mode):
    return nnx.cond(True, lambda m, x: f(m, x), lambda m, x: f(m, x), model, x, **mode)


def _switch(f, model, x, mode):
    return nnx.switch(1, [lambda m, x: x, lambda m, x: f(m, x)], model, x, **mode)


def _while_loop(f, model, x, mode):
    start = (model, x, 0)
    return nnx.while_loop(
        lambda c: c[2] < 1, lambda c: (c[0], f(c[0], c[1]), c[2] + 1), start, **mode
    )[1]


def _fori_loop(f, model, x, mode):
    return nnx.fori_loop(0, 1, lambda i, c: (c[0], f(*c)), (model, x), **mode)[1]


def _scan(f, model, x, mode):
    carries, axes = (None, nnx.Carry), nnx.Carry
    return nnx.scan(lambda m, x: f(m, x), in_axes=carries, out_axes=axes, length=1, **mode)(
        model, x
    )


every_kind = pytest.mark.parametrize("run", [_cond, _switch, _while_loop, _fori_loop, _scan])


@pytest.fixture
def traces(monkeypatch):
    """Count how often arguments are put together inside of a trace."""
    found = []
    enter = Boundary.enter

    def counted(self, *args):
        found.append(self.mode.name)
        return enter(self, *args)

    monkeypatch.setattr(Boundary, "enter", counted)
    return found


@every_kind
@every_mode
def test_functions_of_equal_code_are_traced_once(run, mode, traces):
    def call(x):
        return run(lambda m, x: m(x), Scaled(), x, mode)

    first = call(jnp.float32(0.5))
    count = len(traces)
    assert_exact(call(jnp.float32(0.5)), first)
    assert_exact(first, jnp.tanh(jnp.float32(1.0)))
    assert float(call(jnp.float32(0.25))) == float(jnp.tanh(jnp.float32(0.5)))
    assert len(traces) == count > 0


@every_kind
@every_mode
def test_other_shapes_dtypes_and_structures_are_traced_anew(run, mode):
    for x in (jnp.ones(()), jnp.ones(2), jnp.ones(2, jnp.bfloat16), np.float32(1.0)):
        for activation in (jnp.tanh, jnp.sin, abs):
            model = Scaled(activation)
            expected = model(jnp.asarray(x, x.dtype)).astype(x.dtype)
            found = run(lambda m, x: m(x).astype(x.dtype), model, x, mode)
            assert found.dtype == x.dtype and found.shape == x.shape
            np.testing.assert_array_equal(
                np.asarray(found, np.float32), np.asarray(expected, np.float32)
            )


@every_kind
def test_what_is_read_may_change(run, monkeypatch):
    def call(scale):
        return float(run(lambda m, x: m(x) * scale, Scaled(lambda x: x), jnp.float32(1.0), {}))

    assert [call(1.0), call(3.0), call(1.0)] == [2.0, 6.0, 2.0]
    monkeypatch.setitem(globals(), "FACTOR", 10.0)
    assert call(1.0) == 20.0
    monkeypatch.setattr(Scaled, "bias", 1.0)
    assert call(1.0) == 21.0
    monkeypatch.setattr(Scaled, "__call__", lambda self, x: x)
    assert call(1.0) == 1.0
    monkeypatch.undo()
    assert call(1.0) == 2.0


@every_kind
def test_functions_that_a_model_holds_may_read_something_else(run, monkeypatch):
    def call():
        return float(run(lambda m, x: m(x), Scaled(_by_factor), jnp.float32(1.0), {}))

    assert call() == 2.0
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert call() == 18.0


def _by_factor(x):
    return x * FACTOR


@pytest.mark.parametrize("reader", READERS)
@every_kind
def test_what_inner_functions_read_may_change(run, reader):
    f, change = reader([1.0])
    change(1.0)
    model = Counter()

    def call():
        def g(m, x):
            f(m)
            return x

        run(g, model, jnp.float32(0.0), {"graph": False})

    call()
    change(10.0)
    call()
    call()
    assert float(model.value[...]) == 21.0


@every_kind
@every_mode
def test_what_is_seen_each_time_is_done_each_time(run, mode, capsys):
    seen, count = [], 0

    def call():
        def f(m, x):
            nonlocal count
            count += 1
            return m(x)

        def g(m, x):
            seen.append(1)
            return m(x)

        def h(m, x):
            print("called")
            return m(x)

        for function in (f, g, h):
            run(function, Scaled(), jnp.float32(0.5), mode)

    call()
    before = count, len(seen), capsys.readouterr().out.count("called")
    assert min(before) > 0
    call()
    assert count == 2 * before[0] and len(seen) == 2 * before[1]
    assert capsys.readouterr().out.count("called") == before[2]


def test_a_function_that_was_traced_first_may_change_later():
    def make(scale):
        def change(value):
            nonlocal scale
            scale = value

        return (lambda x: x * scale), change

    first, change = make(2.0)
    assert float(nnx.cond(True, first, first, jnp.float32(1.0))) == 2.0
    change(5.0)
    second, _ = make(2.0)
    assert nnx.cond(True, second, second, jnp.ones(2)).tolist() == [2.0, 2.0]
    assert float(nnx.cond(True, second, second, jnp.float32(1.0))) == 2.0
    assert float(nnx.cond(True, first, first, jnp.float32(1.0))) == 5.0


def test_a_scan_that_was_made_once_sees_what_changed(monkeypatch):
    @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
    def run(carry, x):
        return carry + x * FACTOR

    xs = jnp.ones(3)
    assert float(run(jnp.float32(0.0), xs)) == 3.0
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    assert float(run(jnp.float32(0.0), xs)) == 6.0
    monkeypatch.undo()
    assert float(run(jnp.float32(0.0), xs)) == 3.0


# --- RNN ------------------------------------------------------------------------------------------

X = jnp.linspace(-1.0, 1.0, 2 * 5 * 3).reshape(2, 5, 3)


def _rnn(cell=nnx.LSTMCell, **options):
    return nnx.RNN(cell(3, 4, rngs=nnx.Rngs(0)), **options)


def _both():
    return nnx.Bidirectional(_rnn(nnx.GRUCell), _rnn(nnx.GRUCell))


@pytest.mark.parametrize(
    "make",
    [
        _rnn,
        lambda: _rnn(nnx.SimpleCell, reverse=True, keep_order=True),
        lambda: _rnn(nnx.GRUCell, return_carry=True, unroll=2),
        lambda: _rnn(nnx.OptimizedLSTMCell, time_major=True),
        _both,
    ],
)
def test_an_rnn_is_traced_once(make, traces):
    repeats._kept.clear()
    layer = make()
    first = layer(X)
    count = len(traces)
    assert count > 0
    for again in (layer, make()):
        jax.tree.map(assert_exact, again(X), first)
        assert len(traces) == count
    layer(X[:1, :4])
    assert len(traces) > count


def test_an_rnn_of_another_configuration_is_another_program():
    plain, scaled = _rnn(nnx.SimpleCell), _rnn(nnx.SimpleCell)
    first = plain(X)
    scaled.cell.activation_fn = lambda x: 2 * jnp.tanh(x)
    assert not np.array_equal(scaled(X), first)
    assert_exact(plain(X), first)
    scaled.cell.activation_fn = jnp.tanh
    assert_exact(scaled(X), first)
    scaled.cell.dense_i.kernel[...] = scaled.cell.dense_i.kernel[...] * 2
    assert not np.array_equal(scaled(X), first)
    assert plain(X, return_carry=True)[1].shape == (2, 5, 4)
    lengths = jnp.array([5, 2])
    assert not np.array_equal(plain(X, return_carry=True, seq_lengths=lengths)[0], first[:, -1])


def test_a_method_of_a_layer_may_be_replaced(monkeypatch):
    layer = _rnn(nnx.SimpleCell)
    first = layer(X)
    call = nnx.Linear.__call__
    monkeypatch.setattr(nnx.Linear, "__call__", lambda self, x: 2 * call(self, x))
    assert not np.array_equal(layer(X), first)
    monkeypatch.undo()
    assert_exact(layer(X), first)


def _made_inside(x):
    x = nnx.relu(nnx.Linear(3, 3, rngs=nnx.Rngs(0))(x))
    return x + jnp.linalg.norm(x)


def _twice(f):
    """Return another function, or a class with another method, of twice the result."""
    if isinstance(f, type):
        return type(f.__name__, (f,), {"__call__": _twice(f.__call__)})
    return lambda *args, **kwargs: 2 * f(*args, **kwargs)


@pytest.mark.parametrize("run", [_cond, _switch, _while_loop, _fori_loop])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (nnx.Linear, "__call__"),
        (nnx, "relu"),
        (nnx, "Linear"),
        (nnx.Rngs, "params"),
        (jnp.linalg, "norm"),
    ],
)
def test_what_a_function_makes_and_calls_by_name_may_be_replaced(
    run, owner, name, traces, monkeypatch
):
    def call():
        return run(lambda m, x: _made_inside(x), None, jnp.linspace(-1.0, 1.0, 3), {})

    repeats._kept.clear()
    first = call()
    count = len(traces)
    assert_exact(call(), first)
    assert len(traces) == count
    if name == "params":
        monkeypatch.setattr(owner, name, lambda self: jax.random.key(1), raising=False)
    else:
        monkeypatch.setattr(owner, name, _twice(getattr(owner, name)))
    second = call()
    assert not np.array_equal(second, first)
    assert_exact(call(), second)
    monkeypatch.undo()
    assert_exact(call(), first)


@every_kind
def test_a_method_of_one_layer_may_be_replaced(run):
    model = Scaled()

    def call():
        return float(run(lambda m, x: m(x) if m.call is None else m.call(x), model, 1.0, {}))

    model.call = None
    first = call()
    model.call = lambda x: x + 3.0
    assert [call(), call()] == [4.0, 4.0]
    model.call = lambda x: x + 5.0
    assert call() == 6.0
    model.call = None
    assert call() == first


def _counted():
    return nnx.cond(True, lambda x: x + jnp.arange(3), lambda x: x + jnp.arange(3), jnp.int8(1))


def test_switches_of_jax_are_honoured():
    layer = _rnn(nnx.SimpleCell)
    first = layer(X)
    with jax.disable_jit():
        assert_close(layer(X), first, "model")
    assert _counted().dtype == jnp.int32
    with jax.enable_x64(True):
        assert _counted().dtype == jnp.int64
    assert _counted().dtype == jnp.int32
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        layer(X * jnp.nan)
    assert np.isnan(layer(X * jnp.nan)).any()


def test_an_rnn_under_transformations_after_a_call_outside():
    layer = _rnn()
    first = layer(X)
    assert_close(nnx.jit(lambda m, x: m(x))(layer, X), first, "model")
    assert_exact(jax.vmap(layer)(X[None]).shape, (1, *first.shape))
    grads = [nnx.grad(lambda m: m(X).sum())(layer) for _ in range(2)]
    jax.tree.map(assert_exact, *grads)
    assert_exact(layer(X), first)


def test_models_and_arrays_are_not_kept():
    def call():
        layer = _both()
        layer(X)
        kernels = [x.get_raw_value() for x in jax.tree.leaves(nnx.state(layer), is_leaf=_is_var)]
        return [weakref.ref(layer), *map(weakref.ref, kernels)]

    refs = call()
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)


def _is_var(x):
    return isinstance(x, nnx.Variable)


def test_threads_with_their_own_shapes():
    layer = _rnn()
    inputs = [X[:, : 2 + n % 4] * (n + 1) for n in range(8)]
    expected = [_rnn()(x) for x in inputs]
    found = [None] * 8

    def work(n):
        for _ in range(3):
            found[n] = layer(inputs[n])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for x, y in zip(found, expected, strict=True):
        assert_exact(x, y)
