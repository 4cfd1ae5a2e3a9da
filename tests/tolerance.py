"""The one table of numeric tolerances: tests name a kind, never a number.

`exact` is for copies, codecs, names, random streams and initial values; `op` for one layer or
operation against another implementation; `model` for a chain of layers or a few training steps.
"""

from typing import Any

import numpy as np

_RELATIVE = {
    "op": {"float64": 1e-12, "float32": 2e-6, "bfloat16": 1.6e-2, "float16": 2e-3},
    "model": {"float64": 1e-10, "float32": 2e-5, "bfloat16": 4e-2, "float16": 1e-2},
}


def _real_name(dtype: np.dtype[Any]) -> str:
    return {"complex64": "float32", "complex128": "float64"}.get(dtype.name, dtype.name)


def assert_close(actual: Any, desired: Any, kind: str = "op") -> None:
    """Assert equal shape and dtype, and values within the tolerance of `kind` for the dtype."""
    if kind == "exact":
        return assert_exact(actual, desired)
    got, want = np.asarray(actual), np.asarray(desired)
    assert got.shape == want.shape, f"shape {got.shape} is not {want.shape}"
    assert got.dtype == want.dtype, f"dtype {got.dtype} is not {want.dtype}"
    name = _real_name(got.dtype)
    if name not in _RELATIVE[kind]:
        return assert_exact(got, want)
    tolerance = _RELATIVE[kind][name]
    wide = np.complex128 if got.dtype.kind == "c" else np.float64
    got, want = got.astype(wide), want.astype(wide)
    finite = np.abs(want[np.isfinite(want)])
    scale = float(finite.max(initial=0.0))
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * max(scale, 1e-3))


def assert_exact(actual: Any, desired: Any) -> None:
    """Assert the same shape, dtype and bits."""
    got, want = np.asarray(actual), np.asarray(desired)
    assert got.shape == want.shape, f"shape {got.shape} is not {want.shape}"
    assert got.dtype == want.dtype, f"dtype {got.dtype} is not {want.dtype}"
    assert got.tobytes() == want.tobytes(), f"values differ: {got!r} is not {want!r}"
