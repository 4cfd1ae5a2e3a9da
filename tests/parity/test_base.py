"""Errors, flags, types, identities and device helpers against Flax's."""

# ruff: noqa: E402
import pytest

flax = pytest.importorskip("flax")

import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
from flax import errors as flax_errors
from tests.tolerance import assert_exact

from ramie import errors

LIBRARIES = ("ramie", "flax")
DOCUMENTED = sorted(
    name
    for name, cls in vars(flax_errors).items()
    if inspect.isclass(cls) and issubclass(cls, flax_errors.FlaxError)
)


def module(library, name):
    return importlib.import_module(f"{library}.{name}")


@pytest.mark.parametrize("name", DOCUMENTED)
def test_errors_take_the_same_arguments(name):
    ours, theirs = getattr(errors, name), getattr(flax_errors, name)
    required = [
        [(p.name, p.default) for p in inspect.signature(cls).parameters.values() if p.kind != 3]
        for cls in (ours, theirs)
    ]
    assert required[0] == required[1]
    assert issubclass(ours, errors.FlaxError)
    assert ours.__name__ == theirs.__name__ or ours is errors.RamieError


def test_flags_have_the_same_names_and_defaults():
    ours, theirs = (module(lib, "configurations").config for lib in LIBRARIES)
    decided_otherwise = {"flax_use_orbax_checkpointing"}
    assert set(theirs._values) <= {flag.name for flag in module("ramie", "configurations").FLAGS}
    for name, value in theirs._values.items():
        if name not in decided_otherwise:
            assert getattr(ours, name) == value, name


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 1049, 10**6, 10**6 + 1, 2**31, 10**15])
def test_sizes_are_written_alike(size):
    ours, theirs = (module(lib, "typing").SizeBytes(size, size) for lib in LIBRARIES)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(
    "array", [np.ones((3, 4)), jnp.ones(5, jnp.bfloat16), jnp.ones(3, jnp.int4), 3, None]
)
def test_sizes_are_counted_alike(array):
    ours, theirs = (module(lib, "typing").SizeBytes.from_any(array) for lib in LIBRARIES)
    assert (ours.size, ours.bytes) == (theirs.size, theirs.bytes)


def test_replication_gives_equal_arrays_and_shardings():
    tree = {"w": np.arange(6.0).reshape(2, 3), "n": 4}
    ours, theirs = (module(lib, "jax_utils").replicate(tree) for lib in LIBRARIES)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert_exact(a, b)
        assert a.sharding == b.sharding
    one, other = (
        module(lib, "jax_utils").unreplicate(x)
        for lib, x in zip(LIBRARIES, (ours, theirs), strict=True)
    )
    assert one["w"].sharding == other["w"].sharding


@pytest.mark.parametrize("size", [1, 2, 5])
def test_prefetching_draws_at_the_same_moments(size):
    histories = []
    for lib in LIBRARIES:
        history = []

        def source(history=history):
            for i in range(4):
                history.append(f"drawn {i}")
                yield np.full(jax.local_device_count(), i)

        for batch in module(lib, "jax_utils").prefetch_to_device(source(), size):
            history.append(f"used {int(batch[0])}")
        histories.append(history)
    assert histories[0] == histories[1]


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 1), (1, 0), (2,), (2, 0), (0, 2, 1)])
@pytest.mark.parametrize("keepdims", [True, False])
def test_scans_over_any_axis(axis, keepdims):
    x = jnp.arange(24.0).reshape(2, 3, 4)
    results = []
    for lib in LIBRARIES:
        carry, ys = module(lib, "jax_utils").scan_in_dim(
            lambda c, part: (c * 2 + part.sum(), part + c), 0.0, x, axis=axis, keepdims=keepdims
        )
        results.append((carry, ys))
    assert_exact(results[0][0], results[1][0])
    assert_exact(results[0][1], results[1][1])


def test_partial_evaluation():
    def init(x, y):
        return {
            "out": x @ y,
            "w": jax.random.normal(jax.random.key(1), (2,)),
            "jit": jax.jit(lambda a, b: (a.sum(), b + 1))(x, jnp.ones(2)),
        }

    spec = [(4, 3), ((3, 2), jnp.float16)]
    ours, theirs = (module(lib, "jax_utils").partial_eval_by_shape(init, spec) for lib in LIBRARIES)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        if isinstance(b, jax.ShapeDtypeStruct):
            assert a == b
        else:
            assert_exact(a, b)


@pytest.mark.parametrize("size", [1, 4, 5, 9])
def test_padding(size):
    results = []
    for lib in LIBRARIES:
        shapes = []

        def double(params, x, shapes=shapes):
            shapes.append(x.shape)
            return params * x

        padded = module(lib, "jax_utils").pad_shard_unpad(double)
        out = padded(2.0, np.arange(size * 3.0).reshape(size, 3), min_device_batch=2)
        results.append((shapes, type(out), out))
    assert results[0][:2] == results[1][:2]
    assert_exact(results[0][2], results[1][2])
