"""NumPy on the left of a variable: the variable computes, as it does on the right."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import nnx

ARITHMETIC = (
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv),
    *(operator.mod, operator.pow, operator.matmul, divmod),
)
COMPARISONS = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)
BITS = (operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift)
IN_PLACE = (
    *(operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv),
    *(operator.imod, operator.ipow, operator.imatmul),
)
BITS_IN_PLACE = (operator.iand, operator.ior, operator.ixor, operator.ilshift, operator.irshift)
FLOATS = np.array([[1.0, 2.5], [-3.0, 4.0]])
INTEGERS = np.array([[1, 2], [3, 4]])
VALUE = jnp.array([[2.0, 3.0], [0.5, 1.0]])
WHOLE = jnp.array([[2, 3], [1, 5]])
SCALARS = (np.float32(2), np.float64(2), np.int32(2), np.float16(2))
KINDS = {
    "plain": lambda value: nnx.Param(value),
    "ref": lambda value: nnx.Param(value, ref=True),
    "hijax": lambda value: nnx.Param(value, hijax=True),
}


def _same(result, expected):
    for mine, other in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        assert isinstance(mine, jax.Array)
        assert_exact(mine, other)
        assert mine.dtype == other.dtype


CASES = [
    *((op, FLOATS, VALUE) for op in (*ARITHMETIC, *COMPARISONS, *IN_PLACE)),
    *((op, INTEGERS, WHOLE) for op in (*ARITHMETIC, *BITS, *COMPARISONS, *BITS_IN_PLACE)),
    *(
        (op, scalar, VALUE)
        for op in (*ARITHMETIC, *COMPARISONS)
        for scalar in SCALARS
        if op is not operator.matmul
    ),
]


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_leaves_its_operators_to_the_variable(kind):
    for op, left, value in CASES:
        _same(op(np.copy(left)[()], KINDS[kind](value)), op(jnp.asarray(left), value))


def test_inside_of_a_trace_too():
    def results(value, whole, make):
        values = {id(VALUE): make(value), id(WHOLE): make(whole)}
        return [op(np.copy(left)[()], values[id(right)]) for op, left, right in CASES]

    traced = jax.jit(lambda x, y: results(x, y, nnx.Param))(VALUE, WHOLE)
    plain = jax.jit(lambda x, y: results(x, y, jnp.asarray))(VALUE, WHOLE)
    _same(traced, plain)


def test_classes_derived_from_arrays_of_numpy_do_so_too():
    _same(np.ma.array(FLOATS) + nnx.Param(VALUE), jnp.asarray(FLOATS) + VALUE)


def test_functions_of_numpy_compute_with_numpy():
    variable = nnx.Param(VALUE)
    for result in (np.dot(FLOATS, variable), np.matmul(FLOATS, variable), np.sin(variable)):
        assert type(result) is np.ndarray
    assert np.dot(FLOATS, variable).dtype == np.float64


def test_a_part_of_an_array_of_numpy_changes_in_place():
    array = np.ones((2, 2))
    array[0] = nnx.Param(jnp.array([3.0, 4.0]))
    array[1] += np.asarray(nnx.Param(jnp.array([3.0, 4.0])))
    assert_exact(array, np.array([[3.0, 4.0], [4.0, 5.0]]))
