"""State dicts without PyTorch: names, arrays, and dtypes that hold the same numbers."""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie.interop.torch_tensors import StateDict, Unfit, as_array, fitted


def test_names_with_and_without_wrappers():
    tensors = StateDict({"module.a._orig_mod.b": 1, "module.c": 2})
    assert tensors.actual("a.b") == "module.a._orig_mod.b"
    assert tensors["c"] == tensors["module.c"] == 2
    assert "b" not in tensors and tensors.actual("b") == "b"
    assert list(tensors) == ["module.a._orig_mod.b", "module.c"]
    # A name that is there as it stands comes first.
    both = StateDict({"a._orig_mod.b": 1, "a.b": 2})
    assert both["a.b"] == 2 and both["a._orig_mod.b"] == 1


@pytest.mark.parametrize(
    ("tensors", "error", "words"),
    [
        ([("a", 1)], TypeError, "this is list"),
        ({1: 2}, TypeError, r"found \[1\]"),
        ({"model": {}, "step": 3}, ValueError, r"contents\['model'\]"),
    ],
)
def test_what_is_no_state_dict(tensors, error, words):
    with pytest.raises(error, match=words):
        StateDict(tensors)


def test_one_memory_under_two_names():
    array = np.ones((2, 3))
    empty = np.ones((0,))
    tensors = StateDict(
        {"a": array, "b": array, "c": array.T, "d": array.copy(), "e": empty, "f": empty, "g": 1}
    )
    assert tensors.tied(["b"], ["a"]) == {"b": "a"}
    assert tensors.tied("cdfg", ["a", "b", "e"]) == {}


@pytest.mark.parametrize("value", [None, "text", object(), {1, 2}, [[1], [2, 3]], b"bytes"])
def test_what_is_no_tensor(value):
    with pytest.raises(Unfit):
        as_array(value)


SHORT = [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]


@pytest.mark.parametrize("dtype", [*SHORT, np.float16, np.float32, np.int8, np.bool_, np.complex64])
def test_arrays_stay_as_they_are(dtype):
    array = np.arange(4).astype(dtype)
    assert_exact(as_array(array), array)
    assert_exact(as_array(jnp.asarray(array)), array)
    assert_exact(fitted(array, dtype), array)


KEPT = [
    (np.float64, np.float32, [1.5, np.inf, np.nan]),
    (np.float32, ml_dtypes.bfloat16, [1.5, np.inf]),
    (ml_dtypes.float8_e5m2, np.float32, [1.5, np.inf]),
    (np.float32, np.complex64, [1.5]),
    (np.int64, np.int32, [1, -(2**31)]),
    (np.int64, np.float32, [3]),
    (np.float32, np.int32, [1.0, -2.0]),
    (np.bool_, np.float32, [True]),
]


@pytest.mark.parametrize(("held", "wanted", "values"), KEPT)
def test_the_same_numbers_in_another_dtype(held, wanted, values):
    array = fitted(np.array(values, held), wanted)
    assert_exact(array, np.array(values, wanted))


LOST = [
    (np.float64, np.float32, [1e300], "too large"),
    (np.float32, np.float16, [7e4], "too large"),
    (np.float32, np.int32, [0.5], "would change"),
    (np.float32, np.int32, [np.nan], "would change"),
    (np.int64, np.int32, [2**31], "would change"),
    (np.int64, np.bool_, [2], "would change"),
    (np.complex64, np.float32, [1j], "imaginary part"),
    (np.int8, np.float32, [1], "codes of quantised weights"),
    (ml_dtypes.int4, np.float32, [1], "codes of quantised weights"),
]


@pytest.mark.parametrize(("held", "wanted", "values", "words"), LOST)
def test_numbers_that_another_dtype_lacks(held, wanted, values, words):
    with pytest.raises(Unfit, match=words):
        fitted(np.array(values).astype(held), wanted)
