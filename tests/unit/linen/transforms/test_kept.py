"""Loops and branches of modules outside of a trace: traced once, the bits of before, not stale."""

import gc
import threading
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie.linen.transforms import kept

X = jnp.linspace(-1.0, 1.0, 2 * 4).reshape(2, 4)
XS = jnp.linspace(-1.0, 1.0, 2 * 5 * 3).reshape(2, 5, 3)
FACTOR = 1.0
KEY = jax.random.key(0)


class Block(nn.Module):
    act: object = jnp.tanh
    rate: float = 0.0
    scale: float = 1.0

    @nn.compact
    def __call__(self, x, _):
        x = self.act(nn.Dense(4)(x)) * self.scale * FACTOR
        self.sow("intermediates", "y", x)
        count = self.variable("state", "count", jnp.zeros, ())
        if self.is_mutable_collection("state"):
            count.value += 1
        return nn.Dropout(self.rate, deterministic=self.rate == 0)(x), None


class Scan(nn.Module):
    block: dict = None

    @nn.compact
    def __call__(self, x):
        layers = nn.scan(
            Block,
            variable_axes={"params": 0, "intermediates": 0, "state": 0},
            split_rngs={"params": True, "dropout": True},
            length=3,
        )
        return layers(**dict(self.block or {}))(x, None)[0]


class Cond(nn.Module):
    factor: float = 2.0

    def setup(self):
        self.dense = nn.Dense(4)
        self.shift = self.param("shift", nn.initializers.ones, ())

    def __call__(self, x, pred=True):
        factor = self.factor
        if self.is_initializing():
            return self.dense(x)
        return nn.cond(
            pred, lambda m, x: m.dense(x) * factor, lambda m, x: x + m.shift * FACTOR, self, x
        )


class Switch(Cond):
    def __call__(self, x, index=1):
        if self.is_initializing():
            return self.dense(x)
        return nn.switch(index, [lambda m, x: x, lambda m, x: m.dense(x) + m.shift], self, x)


class While(Cond):
    def __call__(self, x, count=3):
        if self.is_initializing():
            return self.dense(x)
        return nn.while_loop(
            lambda m, c: c[1] < count, lambda m, c: (m.dense(c[0]), c[1] + 1), self, (x, 0)
        )[0]


def _rnn(**options):
    return nn.RNN(nn.LSTMCell(4), **options)


MODELS = {
    "scan": (Scan(), X),
    "cond": (Cond(), X),
    "switch": (Switch(), X),
    "while": (While(), X),
    "rnn": (_rnn(), XS),
    "reverse": (_rnn(reverse=True, keep_order=True, return_carry=True, unroll=2), XS),
    "both": (nn.Bidirectional(nn.RNN(nn.GRUCell(4)), nn.RNN(nn.GRUCell(4))), XS),
    "remat": (nn.remat_scan(nn.Dense, lengths=(2, 2))(4), X),
}
every_model = pytest.mark.parametrize(("model", "x"), MODELS.values(), ids=MODELS)


@pytest.fixture
def traces(monkeypatch):
    """List what is traced, from an empty memory."""
    kept._kept.clear()
    found = []
    traced = kept._Call._traced

    def counted(self, lifted):
        found.append(lifted)
        return traced(self, lifted)

    monkeypatch.setattr(kept._Call, "_traced", counted)
    return found


def _plain(call):
    """Call something as if nothing could be kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_may_be_kept", lambda boundary: False)
        return call()


def _equal(one, other):
    jax.tree.map(assert_exact, one, other)


@every_model
def test_the_bits_are_those_of_the_plain_way(model, x, traces):
    variables = model.init(KEY, x)
    assert not traces
    expected = _plain(lambda: model.apply(variables, x))
    for _ in range(3):
        _equal(model.apply(variables, x), expected)
    count = len(traces)
    assert count in (1, 2)  # there are two RNNs in one
    other = jax.tree.map(lambda v: v * 0.5, variables)
    _equal(model.apply(other, x), _plain(lambda: model.apply(other, x)))
    _equal(model.apply(variables, -x), _plain(lambda: model.apply(variables, -x)))
    _equal(model.clone().apply(variables, np.asarray(x)), expected)
    assert len(traces) == count


@every_model
def test_other_shapes_are_other_traces(model, x, traces):
    variables = model.init(KEY, x)
    for given in (x, x[:1], jnp.concatenate([x, x]), x[0]):
        _equal(model.apply(variables, given), _plain(lambda: model.apply(variables, given)))  # noqa: B023
    assert len(traces) >= 4


def test_variables_keys_and_what_is_sown_come_out(traces):
    model = Scan({"rate": 0.5})
    variables = model.init({"params": KEY, "dropout": KEY}, X)

    def call(seed, mutable):
        return model.apply(variables, X, rngs={"dropout": jax.random.key(seed)}, mutable=mutable)

    for mutable in (["intermediates"], ["state"], ["state", "intermediates"], [], False):
        expected = [_plain(lambda: call(n, mutable)) for n in range(2)]  # noqa: B023
        for _ in range(2):
            for n in range(2):
                _equal(call(n, mutable), expected[n])
    assert len(traces) == 4
    counts = call(0, ["state"])[1]["state"]["ScanBlock_0"]["count"]
    assert_exact(counts, variables["state"]["ScanBlock_0"]["count"] + 1)


def test_random_keys_after_a_loop_are_those_of_the_plain_way(traces):
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x):
            def step(m, x, _):
                return x + jax.random.normal(m.make_rng("noise"), x.shape), None

            run = nn.scan(step, split_rngs={"noise": True}, length=2)
            x, _ = run(self, x, None)
            x, _ = run(self, x, None)
            return x + jax.random.normal(self.make_rng("noise"), x.shape)

    def call(seed):
        return Twice().apply({}, X, rngs={"noise": jax.random.key(seed)})

    expected = [_plain(lambda: call(n)) for n in range(2)]  # noqa: B023
    for _ in range(2):
        for n in range(2):
            assert_exact(call(n), expected[n])
    assert len(traces) == 2


def test_automatic_names_go_on(traces):
    class Names(nn.Module):
        @nn.compact
        def __call__(self, x):
            def step(m, x, _):
                return nn.Dense(4)(x), None

            if self.is_initializing():
                x = nn.Dense(4)(x)
            else:
                x, _ = nn.scan(step, variable_broadcast="params", length=1)(self, x, None)
            return nn.Dense(4)(x)

    variables = Names().init(KEY, X)
    expected = _plain(lambda: Names().apply(variables, X))
    for _ in range(2):
        assert_exact(Names().apply(variables, X), expected)
    assert len(traces) == 1


def test_fields_globals_and_classes_may_change(traces, monkeypatch):
    variables = Scan().init(KEY, X)

    def check():
        results = []
        for model in (Scan(), Scan({"scale": 2.0}), Scan({"act": jnp.sin}), Scan({"act": _act})):
            results.append(model.apply(variables, X, mutable=["state"])[0])
            assert_exact(
                results[-1],
                _plain(lambda: model.apply(variables, X, mutable=["state"]))[0],  # noqa: B023
            )
        return results

    first = check()
    assert len(traces) == 4
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert not np.array_equal(check()[0], first[0])
    monkeypatch.undo()
    monkeypatch.setattr(Block, "__call__", _other_call)
    assert not np.array_equal(check()[0], first[0])


def _act(x):
    return x * FACTOR


@nn.compact
def _other_call(self, x, _):
    return nn.Dense(4)(x), None


def test_other_dtypes_are_other_traces(traces):
    for model, x in (MODELS["cond"], MODELS["rnn"]):
        variables = model.init(KEY, x)
        for given in (x, x.astype(jnp.bfloat16), jnp.ones(x.shape, jnp.int32)):
            for pair in ({}, {"rngs": {"dropout": KEY}}):

                def call():
                    return model.apply(variables, given, **pair)  # noqa: B023

                _equal(call(), _plain(call))
    assert len(traces) >= 6


def test_a_method_of_a_cell_may_be_replaced(monkeypatch):
    model = _rnn()
    variables = model.init(KEY, XS)
    first = model.apply(variables, XS)
    call = nn.LSTMCell.__call__
    monkeypatch.setattr(nn.LSTMCell, "__call__", lambda self, c, x: call(self, c, 2 * x))
    assert not np.array_equal(model.apply(variables, XS), first)
    monkeypatch.undo()
    assert_exact(model.apply(variables, XS), first)


class Named(nn.Module):
    """Makes layers by name, some of which make others by name."""

    @nn.compact
    def __call__(self, x, _):
        x = nn.relu(nn.Dense(4)(x)) + nn.MultiHeadDotProductAttention(2)(x)
        return x / jnp.linalg.norm(x), None


def _named_scan():
    axes = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
    return nn.scan(Named, length=2, **axes)(), (X, None)


def _named_cond():
    def branch(m, x):
        return m(x, None)[0]

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            named = Named()
            if self.is_initializing():
                return branch(named, x)
            return nn.cond(True, branch, lambda m, x: x, named, x)

    return Model(), (X,)


def _named_while():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            named = Named()
            if self.is_initializing():
                return named(x, None)[0]
            return nn.while_loop(
                lambda m, c: c[1] < 2, lambda m, c: (m(c[0], None)[0], c[1] + 1), named, (x, 0)
            )[0]

    return Model(), (X,)


def _twice(f):
    """Return another function, or a class with another method, of twice the result."""
    if isinstance(f, type):
        return type(f.__name__, (f,), {"__call__": _twice(f.__call__)})
    return lambda *args, **kwargs: 2 * f(*args, **kwargs)


@pytest.mark.parametrize("make", [_named_scan, _named_cond, _named_while])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (nn.Dense, "__call__"),
        (nn.DenseGeneral, "__call__"),
        (nn.Module, "param"),
        (nn, "relu"),
        (nn, "Dense"),
        (jnp.linalg, "norm"),
    ],
)
def test_what_a_body_makes_and_calls_by_name_may_be_replaced(
    make, owner, name, traces, monkeypatch
):
    model, args = make()
    variables = model.init(KEY, *args)

    def call():
        return jax.tree.leaves(model.apply(variables, *args))[0]

    first = call()
    assert_exact(call(), first)
    assert len(traces) == 1
    monkeypatch.setattr(owner, name, _twice(getattr(owner, name)))
    second = call()
    assert_exact(second, _plain(call))
    assert not np.array_equal(second, first)
    assert_exact(call(), second)
    monkeypatch.undo()
    assert_exact(call(), first)
    assert len(traces) == 2


def test_values_of_a_setup_are_not_constants(traces):
    model = Cond()
    variables = model.init(KEY, X)
    for shift in (1.0, 5.0):
        variables["params"]["shift"] = jnp.float32(shift)
        assert_exact(model.apply(variables, X, pred=False), X + shift)
    assert len(traces) == 1
    assert_exact(Cond(3.0).apply(variables, X), _plain(lambda: Cond(3.0).apply(variables, X)))


def test_python_values_are_part_of_the_key(traces):
    model = While()
    variables = model.init(KEY, X)
    for count in (1, 2, 1, 2):
        _equal(model.apply(variables, X, count), _plain(lambda: model.apply(variables, X, count)))  # noqa: B023
    assert len(traces) == 2
    cond = Cond()
    variables = cond.init(KEY, X)
    for pred in (True, False, jnp.array(True), jnp.array(False)):
        _equal(cond.apply(variables, X, pred), _plain(lambda: cond.apply(variables, X, pred)))  # noqa: B023


def test_what_is_seen_each_time_is_done_each_time(capsys):
    seen = []
    array = np.ones((2, 4), np.float32)

    class Loud(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            print("called")
            return x, None

    class Listing(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            seen.append(1)
            return x, None

    class Reading(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return x * array, None

    def call(cls):
        return nn.scan(cls, length=1)().apply({}, X, None)[0]

    call(Loud)
    before = capsys.readouterr().out
    call(Loud)
    assert before and capsys.readouterr().out == before
    call(Listing)
    count = len(seen)
    call(Listing)
    assert len(seen) == 2 * count > 0
    assert_exact(call(Reading), X)
    array *= 2
    assert_exact(call(Reading), X * 2)


def test_interceptors_captures_and_init_see_each_call(traces):
    model, names = _rnn(), []
    variables = model.init(KEY, XS)
    model.apply(variables, XS)
    count = len(traces)

    def note(next_fun, args, kwargs, context):
        names.append(context.method_name)
        return next_fun(*args, **kwargs)

    for _ in range(2):
        names.clear()
        with nn.intercept_methods(note):
            model.apply(variables, XS)
        assert len(names) > 1
        _, state = model.apply(variables, XS, capture_intermediates=True)
        assert state["intermediates"]
    assert len(traces) == count


def test_mistakes_are_told_at_every_call(traces):
    class Wrong(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return nn.Dense(3)(x), None

    model = nn.scan(Wrong, variable_axes={"params": 0}, split_rngs={"params": True}, length=2)()
    variables = {"params": {"Dense_0": {"kernel": jnp.ones((2, 4, 3)), "bias": jnp.ones((2, 3))}}}
    found = []
    for _ in range(2):
        with pytest.raises(TypeError) as caught:
            model.apply(variables, X, None)
        found.append(str(caught.value))
    assert len(traces) == 1 and found[0] == found[1]
    with pytest.raises(TypeError) as caught:
        _plain(lambda: model.apply(variables, X, None))
    assert str(caught.value) == found[0]


def test_a_body_that_needs_values_is_run_the_plain_way(traces):
    class Picky(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            w = self.param("w", nn.initializers.ones, ())
            return (x * 2 if float(w) > 0 else x), None

    model = nn.scan(Picky, variable_broadcast="params", length=1)()
    for w in (1.0, -1.0):
        for _ in range(2):
            y, _ = model.apply({"params": {"w": jnp.float32(w)}}, X, None)
            assert_exact(y, X * 2 if w > 0 else X)


def test_what_a_trace_that_failed_drew_is_drawn_again(traces):
    class Picky(nn.Module):
        @nn.compact
        def __call__(self, x):
            def step(m, x, _):
                noise = jax.random.normal(m.make_rng("noise"), x.shape)
                return (x + noise if float(m.get_variable("params", "w")) > 0 else x), None

            run = nn.scan(step, variable_broadcast="params", split_rngs={"noise": False}, length=1)
            return run(self, x, None)[0] + jax.random.normal(self.make_rng("noise"), x.shape)

    def call():
        return Picky().apply({"params": {"w": jnp.float32(1)}}, X, rngs={"noise": KEY})

    expected = _plain(call)
    for _ in range(2):
        assert_exact(call(), expected)
    assert len(traces) == 1


def test_switches_of_jax_are_honoured(traces):
    model = _rnn()
    variables = model.init(KEY, XS)
    first = model.apply(variables, XS)
    with jax.disable_jit():
        assert_close(model.apply(variables, XS), first, "model")
    assert len(traces) == 1
    with jax.default_matmul_precision("highest"):
        model.apply(variables, XS)
    assert len(traces) == 2
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        model.apply(variables, XS * jnp.nan)
    _equal(model.apply(variables, XS), first)
    assert len(traces) == 2


def test_under_transformations_the_plain_way_is_taken(traces):
    model = _rnn()
    variables = model.init(KEY, XS)
    first = model.apply(variables, XS)
    count = len(traces)
    assert_close(jax.jit(model.apply)(variables, XS), first, "model")
    grads = jax.grad(lambda v: model.apply(v, XS).sum())(variables)
    assert jax.tree.structure(grads) == jax.tree.structure(variables)
    assert jax.vmap(lambda x: model.apply(variables, x))(XS[None]).shape == (1, *first.shape)
    assert len(traces) == count


def test_models_and_arrays_are_not_kept():
    def call():
        model = _rnn()
        variables = model.init(KEY, XS)
        model.apply(variables, XS)
        return [weakref.ref(model), *map(weakref.ref, jax.tree.leaves(variables))]

    refs = call()
    gc.collect()
    assert [ref() for ref in refs] == [None] * len(refs)


def test_the_memory_is_bounded(monkeypatch, traces):
    monkeypatch.setattr(kept, "_KEPT", 3)
    model = _rnn()
    variables = model.init(KEY, XS)
    for size in (1, 2, 3, 1, 4, 5):
        model.apply(variables, XS[:, :size])
    assert len(kept._kept) == 3
    count = len(traces)
    assert model.apply(variables, XS[:, :1]).shape == (2, 1, 4)  # used last but two
    assert len(traces) == count


def test_what_prints_while_it_runs_prints_at_each_call(capsys, traces):
    class Printing(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            jax.debug.print("{}", x[0, 0])
            return x + 1, None

    for _ in range(2):
        nn.scan(Printing, length=2)().apply({}, X, None)
        jax.effects_barrier()
        assert capsys.readouterr().out.split() == ["-1.0", "0.0"]
    assert len(traces) == 1


def test_threads_with_their_own_shapes():
    model = _rnn()
    variables = model.init(KEY, XS)
    inputs = [XS[:, : 2 + n % 4] * (n + 1) for n in range(8)]
    expected = [_plain(lambda: model.apply(variables, x)) for x in inputs]  # noqa: B023
    found = [None] * 8

    def work(n):
        for _ in range(3):
            found[n] = model.apply(variables, inputs[n])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for x, y in zip(found, expected, strict=True):
        assert_exact(x, y)


def test_the_look_at_a_module_does_not_set_it_up():
    class Layer(nn.Module):
        def setup(self):
            self.dense = nn.Dense(4)
            self.shift = self.param("shift", lambda key: jnp.ones((1, 4)))

        def __call__(self, x):
            return self.dense(x) + self.shift, None

    tower = nn.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)()
    variables = tower.init(KEY, X)
    expected = X
    for i in range(3):
        expected = Layer().apply(jax.tree.map(lambda x, i=i: x[i], variables), expected)[0]
    assert_close(tower.apply(variables, X)[0], expected, "op")
