"""Operations on real arrays notice that another library replaced a function of JAX."""

import contextlib
import functools
import re
import threading
from pathlib import Path
from types import FunctionType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import Primitive

import ramie
from ramie import configurations
from ramie.ops import activations, conv, linear, moments, norm, stochastic, weight_norm
from ramie.ops.attention import dot_product
from ramie.ops.eager import dispatch, proofs, replaced
from ramie.ops.eager.dispatch import eager_compiled
from ramie.ops.eager.proofs import numbers
from ramie.ops.eager.replaced import Rests, current, is_shipped, nothing_is_replaced, rests_of

PUBLIC = {"jax": jax, "jax.lax": lax, "jax.numpy": jnp, "jax.nn": jax.nn, "jax.random": jax.random}


@pytest.fixture(autouse=True)
def nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(proofs, "_folder", lambda: tmp_path)
    dispatch.forget()
    yield
    dispatch.forget()


@pytest.fixture
def everything_compiled():
    before = configurations.config.ramie_compiled_layers
    configurations.config.update("ramie_compiled_layers", "all")
    yield
    configurations.config.update("ramie_compiled_layers", before)


def n(*shape, start=0):
    return numbers(shape, np.float32, start)


X, MASK = n(4, 6), n(4, 6) > 0
AFFINE = n(6, start=9), n(6, start=11)
QUERY, KEY, WEIGHTS = n(2, 3, 4, 5), n(2, 6, 2, 5, start=40), n(2, 4, 3, 6)
SEQUENCE, WINDOW, BIAS = n(2, 6, 3), n(3, 3, 4), n(4)
GROUPS = {"num_groups": 3}

# Calls that reach all operations, and their branches.
RUNS = [
    lambda: linear.dense(n(3, 5), n(5, 4), BIAS),
    lambda: linear.dense_general(n(2, 3, 5), n(3, 5, 2, 2), n(2, 2), axis=(1, 2)),
    lambda: linear.einsum(n(2, 3, 5), n(5, 3, 4), BIAS, equation="abc,cbd->ad"),
    lambda: linear.embed_attend(n(3, 5), n(7, 5)),
    lambda: conv.conv(SEQUENCE, WINDOW, BIAS, padding="CIRCULAR"),
    lambda: conv.conv(SEQUENCE, WINDOW, BIAS, padding="CAUSAL"),
    lambda: conv.conv_local(SEQUENCE, n(6, 9, 4), n(6, 4), window=(3,)),
    lambda: conv.conv_transpose(SEQUENCE, WINDOW, BIAS, strides=2, padding="CIRCULAR"),
    lambda: norm.layer_norm(X, *AFFINE),
    lambda: norm.layer_norm(X, *AFFINE, MASK, use_fast_variance=False),
    lambda: norm.layer_norm(X, *AFFINE, use_mean=False, dtype=jnp.float16),
    lambda: norm.group_norm(X, *AFFINE, **GROUPS),
    lambda: norm.group_norm(X, *AFFINE, MASK, **GROUPS),
    lambda: norm.batch_norm(X, n(6), n(6) ** 2, *AFFINE),
    lambda: norm.batch_norm_update(X, n(6), n(6) ** 2, *AFFINE),
    lambda: norm.batch_norm_update(X, n(6), n(6) ** 2, *AFFINE, MASK),
    lambda: activations.prelu(X, n()),
    lambda: stochastic.dropout(X, jax.random.key(0), 0.3),
    lambda: weight_norm.weight_normalize(X, n(6)),
    lambda: weight_norm.spectral_normalize(n(2, 2, 6), n(1, 6)),
    lambda: dot_product.attention_weights(QUERY, KEY, WEIGHTS, MASK[0], in_float32=True),
    lambda: dot_product.attention_weights(QUERY, n(2, 6, 4, 5)),
    lambda: dot_product.apply_weights(WEIGHTS, KEY, WEIGHTS),
    lambda: dot_product.fused_attention(QUERY, KEY, KEY),
    lambda: dot_product.fused_attention(QUERY[None], KEY[None], KEY[None], n(1, 2, 4, 3, 6)),
]
MODULES = (linear, conv, norm, moments, activations, stochastic, weight_norm, dot_product)
WHERE = dispatch.__file__


def is_operation(value):
    code = getattr(value, "__code__", None)
    return code is not None and hasattr(value, "__wrapped__") and code.co_filename == WHERE


OPERATIONS = sorted(
    {value for module in MODULES for value in vars(module).values() if is_operation(value)},
    key=lambda operation: (operation.__module__, operation.__name__),
)


@functools.cache
def calls():
    """Return for each operation what it is called with when `RUNS` run."""
    seen = {operation: [] for operation in OPERATIONS}

    def noting(operation):
        def noted(*arrays, **settings):
            seen[operation].append((arrays, settings))
            return operation(*arrays, **settings)

        return noted

    with pytest.MonkeyPatch.context() as patch:
        for module in MODULES:
            for name, value in list(vars(module).items()):
                if is_operation(value):
                    patch.setattr(module, name, noting(value))
        for run in RUNS:
            run()
    return seen


def call_all(operation, way=None):
    way = operation if way is None else way
    return [way(*arrays, **settings) for arrays, settings in calls()[operation]]


def test_all_operations_are_tried():
    assert all(calls().values())
    files = Path(ramie.__file__).parent.rglob("*.py")
    imports = re.compile(r"^from .*dispatch import .*eager_compiled", re.M)
    users = {f for f in files if imports.search(f.read_text())}
    assert users == {Path(module.__file__) for module in MODULES}


class Spy:
    """Notes that it was called in the place of a function of JAX."""

    def __init__(self, function):
        self.function = function
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.function(*args, **kwargs)


def replaceable(operation):
    """List what the operation as written calls in modules of JAX, by trying."""
    called = []
    for place in rests_of(operation).names():
        module, _, name = place.rpartition(".")
        with pytest.MonkeyPatch.context() as patch:
            spy = Spy(getattr(PUBLIC[module], name))
            patch.setattr(PUBLIC[module], name, spy)
            call_all(operation, operation.__wrapped__)
        if spy.calls:
            called.append((PUBLIC[module], name))
    return called


def id_of(operation):
    return f"{operation.__module__.rpartition('.')[2]}.{operation.__name__}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=id_of)
def test_each_function_that_an_operation_rests_on_is_seen(operation, everything_compiled):
    called = replaceable(operation)
    assert called
    before = call_all(operation)  # compiled
    for module, name in called:
        with pytest.MonkeyPatch.context() as patch:
            spy = Spy(getattr(module, name))
            patch.setattr(module, name, spy)
            call_all(operation)
            seen = spy.calls
            call_all(operation)
        assert seen and spy.calls == 2 * seen, (module.__name__, name)
    again = call_all(operation)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(old, new)


@contextlib.contextmanager
def other_code(function, new):
    """Give a function other code, as libraries do that want to reach all its aliases."""
    shipped = function.__code__
    plain = FunctionType(shipped, function.__globals__, closure=function.__closure__)
    plain.__kwdefaults__, plain.__defaults__ = (
        function.__kwdefaults__,
        function.__defaults__,
    )
    PATCHES[function.__name__] = lambda *args, **kwargs: new(plain, *args, **kwargs)
    names = ", ".join(shipped.co_freevars)
    inner = f"def replacement(*args, **kwargs):\n  {names or None}\n"
    inner += "  import tests.unit.ops.eager.test_replaced as here\n"
    inner += f"  return here.PATCHES[{function.__name__!r}](*args, **kwargs)"
    if names:
        inner = f"def outer({names}):\n" + "".join(f" {line}\n" for line in inner.splitlines())
        inner += " return replacement"
    scope = {}
    exec(inner, scope)
    made = scope["outer"](*[None] * len(shipped.co_freevars)) if names else scope["replacement"]
    function.__code__ = made.__code__
    try:
        yield
    finally:
        function.__code__ = shipped


PATCHES = {}


@pytest.mark.parametrize("operation", OPERATIONS, ids=id_of)
def test_other_code_in_the_same_function_is_seen(operation, everything_compiled):
    called = [getattr(module, name) for module, name in replaceable(operation)]
    functions = [function for function in called if isinstance(function, FunctionType)]
    call_all(operation)
    for function in functions:
        seen = []

        def noting(shipped, *args, seen=seen, **kwargs):
            seen.append(args)
            return shipped(*args, **kwargs)

        with other_code(function, noting):
            call_all(operation)
            first = len(seen)
            call_all(operation)
        assert first and len(seen) == 2 * first, function
        call_all(operation)
        assert len(seen) == 2 * first


@pytest.mark.parametrize("operation", OPERATIONS, ids=id_of)
def test_primitives_that_are_bound_otherwise_are_seen(operation, everything_compiled):
    call_all(operation)
    bound = []
    with pytest.MonkeyPatch.context() as patch:
        shipped = Primitive.bind

        def bind(self, *args, **params):
            bound.append(self.name)
            return shipped(self, *args, **params)

        patch.setattr(Primitive, "bind", bind)
        call_all(operation)
        assert bound  # a compiled program binds nothing


@pytest.mark.parametrize("operation", OPERATIONS, ids=id_of)
def test_nothing_else_of_jax_is_called(operation):
    """What is read from the code is complete: all public functions that run are among it."""
    known = set(rests_of(operation).names())
    spies = {}
    with pytest.MonkeyPatch.context() as patch:
        for path, module in PUBLIC.items():
            for name, value in list(vars(module).items()):
                if callable(value) and not isinstance(value, type) and path != "jax":
                    spies[f"{path}.{name}"] = Spy(value)
                    patch.setattr(module, name, spies[f"{path}.{name}"])
        call_all(operation, operation.__wrapped__)
    assert {name for name, spy in spies.items() if spy.calls} <= known


def doubled(x, y, *rest, **options):
    return 2 * SHIPPED(x, y, *rest, **options)


SHIPPED = lax.dot_general
ARGUMENTS = (n(3, 5), n(5, 4)), {}


@pytest.fixture
def product():
    """A fresh operation around `lax.dot_general`, which notes how it ran."""
    seen = []

    @eager_compiled(sample=lambda dtype: ((numbers((3, 5), dtype), numbers((5, 4), dtype)), {}))
    def operation(x, kernel):
        seen.append(isinstance(x, jax.core.Tracer))
        return lax.dot_general(x, kernel, (((1,), (0,)), ((), ())))

    return operation, seen


def test_values_of_a_replaced_function_come_and_go(product, monkeypatch):
    operation, seen = product
    x, kernel = ARGUMENTS[0]
    plain = np.asarray(operation(x, kernel))
    seen.clear()
    with monkeypatch.context() as patch:
        patch.setattr(lax, "dot_general", doubled)
        np.testing.assert_array_equal(operation(x, kernel), 2 * plain)
    np.testing.assert_array_equal(operation(x, kernel), plain)
    assert seen == [False]  # the last call took the program from before


def test_a_function_replaced_before_the_first_call_does_not_stay(product, monkeypatch):
    operation, seen = product
    x, kernel = ARGUMENTS[0]
    with monkeypatch.context() as patch:
        patch.setattr(lax, "dot_general", doubled)
        changed = np.asarray(operation(x, kernel))
        assert seen == [False]  # not even the sample was compared
    np.testing.assert_array_equal(2 * np.asarray(operation(x, kernel)), changed)
    seen.clear()
    operation(x, kernel)
    assert seen == []


def test_a_function_replaced_while_the_operation_runs_is_in_no_program(everything_compiled):
    old = lax.mul
    try:

        @eager_compiled()
        def operation(x):
            lax.mul = lambda a, b: 10 * old(a, b)
            return lax.mul(x, x)

        assert operation(jnp.full(2, 3.0)).tolist() == [90.0, 90.0]
        lax.mul = old
        assert operation(jnp.full(2, 3.0)).tolist() == [90.0, 90.0]
    finally:
        lax.mul = old


def test_threads_that_replace_and_threads_that_do_not(product):
    operation, _ = product
    x, kernel = ARGUMENTS[0]
    plain = np.asarray(operation(x, kernel))
    stop = threading.Event()

    def replace():
        while not stop.is_set():
            lax.dot_general = doubled
            lax.dot_general = SHIPPED

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for size in range(1, 60):  # new shapes are traced all the time
            operation(jnp.ones((size, 5)), kernel)
    finally:
        stop.set()
        thread.join()
        lax.dot_general = SHIPPED
    for size in range(1, 60):
        given = jnp.ones((size, 5))
        np.testing.assert_array_equal(
            operation(given, kernel), SHIPPED(given, kernel, (((1,), (0,)), ((), ())))
        )
    np.testing.assert_array_equal(operation(x, kernel), plain)


def test_a_wrapper_with_the_names_of_the_original_is_a_stranger():
    @functools.wraps(lax.dot_general)
    def wrapper(*args, **kwargs):
        return SHIPPED(*args, **kwargs)

    strangers = [
        wrapper,
        jax.jit(wrapper),
        functools.partial(wrapper, precision=None),
        functools.partial(functools.partial(doubled)),
        Spy(SHIPPED),
    ]
    assert not any(map(is_shipped, strangers))
    assert is_shipped(functools.partial(lax.dot_general, precision=None))
    for module in (lax, jnp, jax.nn, jax.random):
        assert all(map(is_shipped, vars(module).values())), module


def test_what_was_replaced_before_the_import_is_learnt_when_it_is_back(monkeypatch):
    at_import = {**replaced._AT_IMPORT, lax: {**replaced._AT_IMPORT[lax], "dot_general": doubled}}
    monkeypatch.setattr(replaced, "_AT_IMPORT", at_import)
    rests = Rests({lax: ["add", "dot_general"], jnp: ["sum"]})
    with monkeypatch.context() as patch:
        patch.setattr(lax, "dot_general", doubled)
        assert not rests.are_shipped()
    assert rests.are_shipped()
    with monkeypatch.context() as patch:
        patch.setattr(lax, "add", doubled)
        assert not rests.are_shipped()
    with monkeypatch.context() as patch:
        patch.delattr(lax, "add")
        assert not rests.are_shipped()
    assert rests.are_shipped()


def test_other_code_from_before_the_import_is_learnt_when_it_is_back(monkeypatch):
    with other_code(lax.sin, lambda shipped, x: shipped(x)):
        monkeypatch.setattr(replaced, "_CODES", {**replaced._CODES, id(lax.sin): lax.sin.__code__})
        rests = Rests({lax: ["sin", "cos"]})
        assert not rests.are_shipped()
    assert rests.are_shipped()
    with other_code(lax.sin, lambda shipped, x: shipped(x)):
        assert not rests.are_shipped()
    assert rests.are_shipped()


def _helper(x):
    return lax.sin(x)


def _names(function):
    return set(rests_of(function).names())


def test_functions_are_found_wherever_they_are_reached():
    from jax import nn

    def aliased(x):
        return nn.gelu(x)

    def nested(x):
        return jax.nn.silu((lambda y: lax.cos(y))(x))

    def with_default(x, then=linear.embed_attend):
        return then(x)

    assert _names(aliased) == {"jax.nn.gelu"}
    assert _names(nested) == {"jax.nn.silu", "jax.lax.cos"}
    assert _names(with_default) == {"jax.numpy.dot"}
    around = linear.embed_attend

    @functools.wraps(aliased)
    def closure(x):
        return around(x)

    closure.__wrapped__ = closure.__wrapped__  # what is wrapped counts
    assert _names(closure) == {"jax.nn.gelu"}
    del closure.__wrapped__
    assert _names(closure) == {"jax.numpy.dot"}
    assert _names(functools.partial(with_default, then=linear.embed_attend)) == {"jax.numpy.dot"}
    assert _names(lambda x: linear.embed_attend(x, x)) == {"jax.numpy.dot"}
    assert "jax.lax.sin" in _names(_helper)


def test_current_functions(monkeypatch):
    other = object()
    assert current(other) is other and current(jnp.tanh) is jnp.tanh
    before = jnp.tanh
    assert nothing_is_replaced()
    monkeypatch.setattr(jnp, "tanh", other)
    assert current(before) is other
    assert not nothing_is_replaced()


def test_no_operation_takes_a_function_of_jax_out_of_its_module():
    """A name of its own would never notice that another function stands in the module."""
    folder = Path(ramie.__file__).parent / "ops"
    taken = re.compile(r"^from jax\.(lax|numpy|random|nn) import (.*)$", re.M)
    found = {f.name: taken.findall(f.read_text()) for f in folder.rglob("*.py")}
    only_offered = {"activations.py", "initializers.py", "requests.py"}
    assert {name for name, imports in found.items() if imports} <= only_offered
