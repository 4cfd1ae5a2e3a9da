import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramie.configurations import config
from ramie.ops.eager import dispatch, proofs
from ramie.ops.eager.dispatch import eager_compiled
from ramie.ops.eager.proofs import numbers


@pytest.fixture(autouse=True)
def nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(proofs, "_folder", lambda: tmp_path)
    dispatch.forget()
    yield
    dispatch.forget()


def _compared(operation, seen, *arrays, **configuration):
    """Let an operation compare its sample; return it and the list of what it sees from now on."""
    operation(*arrays, **configuration)
    seen.clear()
    return operation, seen


@pytest.fixture
def counted():
    """An operation that notes whether it ran on real arrays or on tracers."""
    seen = []

    def sample(dtype):
        return (numbers((5,), dtype), None), {"power": 2}

    @eager_compiled(static_argnames=("power",), sample=sample)
    def operation(x, y, *, power):
        seen.append(isinstance(x, jax.core.Tracer))
        return x**power if y is None else x**power + y

    return _compared(operation, seen, jnp.ones(1), None, power=1)


def test_one_program_serves_all_calls_of_a_shape(counted):
    operation, seen = counted
    for _ in range(3):
        assert operation(jnp.full(2, 3.0), None, power=2).tolist() == [9.0, 9.0]
    assert seen == [True]
    operation(jnp.ones(3), None, power=2)
    operation(jnp.ones(3), None, power=3)
    operation(jnp.ones(3), jnp.ones(3), power=3)
    assert seen == [True] * 4


def test_under_a_transformation_the_function_itself_is_traced(counted):
    operation, _ = counted
    jaxpr = jax.make_jaxpr(lambda x: operation(x, None, power=2))(jnp.ones(2))
    assert [e.primitive.name for e in jaxpr.eqns] == ["integer_pow"]
    assert jax.grad(lambda x: operation(x, None, power=2))(3.0) == 6.0
    assert jax.vmap(lambda x: operation(x, None, power=2))(jnp.ones(4)).shape == (4,)


def test_constants_inside_a_trace_leave_no_nested_program(counted):
    operation, _ = counted
    constant = jnp.ones(2)
    jaxpr = jax.make_jaxpr(lambda x: x + operation(constant, None, power=2))(jnp.ones(2))
    assert {e.primitive.name for e in jaxpr.eqns} <= {"integer_pow", "add"}


@pytest.mark.parametrize(
    "switch",
    [
        jax.disable_jit,
        lambda: jax.debug_nans(True),
        lambda: jax.debug_infs(True),
    ],
)
def test_debugging_switches_see_the_single_operations(counted, switch):
    operation, seen = counted
    with switch():
        operation(jnp.ones(2), None, power=2)
    assert seen == [False]


def test_nan_checks_name_the_operation():
    operation = eager_compiled()(lambda x: jnp.log(x))
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="log"):
        operation(jnp.array(-1.0))


def test_cases_without_proof_run_as_written(monkeypatch):
    seen = []

    @eager_compiled(
        sample=lambda dtype: ((numbers((3,), dtype),), {}),
        proven=lambda x: x.dtype == jnp.float32,
    )
    def operation(x):
        seen.append(isinstance(x, jax.core.Tracer))
        return x + x

    operation, seen = _compared(operation, seen, jnp.ones(1))
    operation(jnp.ones(2, jnp.float32))
    operation(jnp.ones(2, jnp.bfloat16))
    assert seen == [True, False]
    monkeypatch.setattr(dispatch, "_on_proven_platform", lambda: False)
    operation(jnp.ones(3, jnp.float32))
    assert seen == [True, False, False]


@pytest.fixture
def unproven():
    """An operation that is compiled on request only, and notes how it ran."""
    seen = []

    @eager_compiled(static_argnames=("factor", "then"), fused=False)
    def operation(x, *, factor, then=None):
        seen.append(isinstance(x, jax.core.Tracer))
        return x * factor if then is None else then(x * factor)

    return operation, seen


def test_everything_is_compiled_on_request(unproven, counted):
    operation, seen = unproven
    x = jnp.ones(2)
    assert operation(x, factor=2).tolist() == [2.0, 2.0]
    with config.temp_flip_flag("compiled_layers", "all"):
        assert operation(x, factor=2).tolist() == operation(x, factor=2).tolist() == [2.0, 2.0]
        with jax.debug_nans(True):
            operation(x, factor=2)
    assert seen == [False, True, False]
    operation, seen = counted
    with config.temp_flip_flag("compiled_layers", "off"):
        operation(x, None, power=2)
    assert seen == [False]


def test_no_program_is_kept_for_what_may_be_new_at_each_call(unproven):
    operation, seen = unproven
    with config.temp_flip_flag("compiled_layers", "all"):
        operation(jnp.ones(2), factor=2, then=lambda x: x)
        operation(jnp.ones(2), factor=np.ones(2))
    assert seen == [False, False]


def test_request_holds_on_every_platform(unproven, monkeypatch):
    operation, seen = unproven
    monkeypatch.setattr(dispatch, "_on_proven_platform", lambda: False)
    with config.temp_flip_flag("compiled_layers", "all"):
        operation(jnp.ones(2), factor=2)
    assert seen == [True]


@pytest.mark.parametrize("fused", [True, False])
def test_an_operation_that_rounds_otherwise_when_compiled_runs_as_written(fused, tmp_path):
    seen = []

    @eager_compiled(sample=lambda dtype: ((numbers((3,), dtype),), {}), fused=fused)
    def operation(x):
        traced = isinstance(x, jax.core.Tracer)
        seen.append(traced)
        return jnp.nextafter(x, jnp.inf) if traced and x.dtype == jnp.float32 else x + 0

    x = jnp.ones(2)
    assert operation(x).tolist() == [1.0, 1.0]
    assert seen == [False, True, False]  # the sample both ways, then the call
    operation(x)
    assert seen[3:] == [False]
    assert operation(x.astype(jnp.bfloat16)).tolist() == [1.0, 1.0]
    assert seen[4:] == [False, True, True]  # the sample of another dtype; compiled from here on
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == ["0", "none"]


def test_nothing_is_compared_inside_a_trace(tmp_path):
    seen = []

    @eager_compiled(sample=lambda dtype: ((numbers((3,), dtype),), {}))
    def operation(x):
        seen.append(type(x))
        return x + x

    constant = jnp.ones(2)
    jax.make_jaxpr(lambda x: x + operation(constant))(constant)
    assert len(seen) == 1 and not list(tmp_path.iterdir())


def test_a_sample_that_cannot_be_made_leaves_the_operation_as_written():
    @eager_compiled(sample=lambda dtype: ((numbers((3,), dtype) @ 1,), {}))
    def operation(x):
        return jnp.sin(x) if isinstance(x, jax.core.Tracer) else x

    assert operation(jnp.ones(2)).tolist() == [1.0, 1.0]
