"""What Orbax cannot hold is refused before anything is written; the rest comes back bit for bit."""

import collections
import enum
import fractions
import functools
import os
import subprocess
import sys
from collections import defaultdict

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.configurations import config
from ramie.training import checkpoints

ocp = pytest.importorskip("orbax.checkpoint")

EXTENDED = [getattr(ml_dtypes, name) for name in dir(ml_dtypes)]
DTYPES = [
    *(each for each in EXTENDED if isinstance(each, type) and issubclass(each, np.generic)),
    *"?bBhHiIlLqQefdgFDG",
    *("S3", "U3", "M8[s]", "m8[s]", "V4", "O", "i4,f4", "T"),
]
NAMES = [np.dtype(each).name for each in DTYPES]


def ones(dtype, shape=(3, 2)):
    kind = np.dtype(dtype).kind
    return np.full(shape, "ab", dtype) if kind in "SUT" else np.zeros(shape, np.int8).astype(dtype)


@pytest.fixture(params=["foreground", "background", "checkpointer of the user"])
def save(request):
    """Save a tree with Orbax in one of three ways."""

    def call(folder, tree):
        if request.param == "checkpointer of the user":
            with ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler()) as user:
                return checkpoints.save_checkpoint(folder, tree, 1, orbax_checkpointer=user)
        manager = checkpoints.AsyncManager() if request.param == "background" else None
        config.update("flax_use_orbax_checkpointing", True)
        try:
            path = checkpoints.save_checkpoint(folder, tree, 1, async_manager=manager)
        finally:
            config.update("flax_use_orbax_checkpointing", False)
        if manager is not None:
            manager.wait_previous_save()
        return path

    return call


def orbax_alone_holds(folder, array):
    """Tell whether Orbax, without us, gives back what it was given."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        try:
            checkpointer.save(folder, {"a": array})
            how = {"a": ocp.RestoreArgs(restore_type=np.ndarray)}
            found = checkpointer.restore(folder, restore_args=how)["a"]
        except ValueError:
            return False
    return found.dtype == array.dtype and found.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=NAMES)
@pytest.mark.parametrize("shape", [(3, 2), ()])
def test_a_dtype_comes_back_or_is_refused(tmp_path, dtype, shape):
    array = ones(dtype, shape)
    config.update("flax_use_orbax_checkpointing", True)
    try:
        path = checkpoints.save_checkpoint(tmp_path / "run", {"a": {"b": array}}, 1)
    except errors.FormatLimitError as error:
        assert f"of dtype {array.dtype} at a/b. Cast it" in str(error)
        assert not (tmp_path / "run").exists()
        assert not orbax_alone_holds(tmp_path / "alone", array)
    else:
        assert_exact(checkpoint.restore(path, None)["a"]["b"], array)
        assert orbax_alone_holds(tmp_path / "alone", array)
    finally:
        config.update("flax_use_orbax_checkpointing", False)


def test_which_dtypes_are_refused(tmp_path):
    lacking = set()
    with ocp.PyTreeCheckpointer() as user:
        for number, dtype in enumerate(DTYPES):
            tree = {"a": ones(dtype)}
            try:
                checkpoints.save_checkpoint(tmp_path, tree, number, orbax_checkpointer=user)
            except errors.FormatLimitError:
                lacking.add(NAMES[number])
    assert {"uint2", "uint4", "float8_e4m3", "float6_e2m3fn", np.dtype("g").name} <= lacking
    assert not lacking & {"bool", "bfloat16", "int2", "int4", "float8_e4m3fn", "float4_e2m1fn"}


class Level(enum.IntEnum):
    high = 3


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, True, 2**63, 2**64 - 1, -(2**63), Level.high, 1.5, -0.0, float("inf")),
        *("", "text", "a\0b", "é", np.str_("text")),
        *(np.int8(3), np.uint64(2**64 - 1), np.float16(0.5), np.float32(0.1), np.complex64(1j)),
    ],
)
def test_plain_values_come_back(tmp_path, save, value):
    found = checkpoint.restore(save(tmp_path, {"a": {"b": value}}), None)["a"]["b"]
    assert found == value
    assert str(found) == str(value) or isinstance(value, np.generic | Level)


REFUSED = {
    "float6": ones(ml_dtypes.float6_e2m3fn),
    "uint4 of JAX": jnp.ones(3, "uint4"),
    "float8 of JAX": jnp.ones((), "float8_e4m3"),
    "long double": np.longdouble(1.0),
    "objects": np.array([None]),
    "bytes": b"raw",
    "bytes of numpy": np.bytes_(b"raw"),
    "date": np.datetime64("2026-01-01"),
    "time": np.timedelta64(3, "s"),
    "bfloat16": ml_dtypes.bfloat16(1),
    "bool of numpy": np.bool_(True),
    "complex": 1j,
    "fraction": fractions.Fraction(1, 3),
    "integer": 2**64,
    "negative integer": -(2**63) - 1,
    "axes": np.ones((1,) * 33),
    "mask": np.ma.masked_array([1.0, 2.0], [True, False]),
    "text": "half \ud800",
    "no elements": jnp.ones((0, 2)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_come_first_and_name_the_leaf(tmp_path, save, name, capfd):
    folder = tmp_path / "run"
    with pytest.raises(errors.FormatLimitError, match=r"An Orbax file cannot hold .* at a/0/b\. "):
        save(folder, {"z": np.ones(2), "a": [{"b": REFUSED[name]}]})
    assert not folder.exists()
    assert capfd.readouterr().err == ""


def test_partials_are_saved_like_the_values_in_them(tmp_path, save):
    def tree(value):
        partial = jax.tree_util.Partial(len, jnp.full(2, value), scale=jnp.full(3, value))
        return {"f": partial, "bare": jax.tree_util.Partial(len), "w": jnp.full(1, value)}

    save(tmp_path, tree(2.0))
    found = checkpoints.restore_checkpoint(tmp_path, tree(0.0), strict=True)
    jax.tree.map(assert_exact, found, tree(2.0))


def test_keys_that_jax_cannot_sort_are_saved_and_restored(tmp_path, save):
    save(tmp_path, {"a": {1: np.ones(2), "one": {"b": 3}}})
    found = checkpoints.restore_checkpoint(tmp_path, {"a": {1: np.zeros(2), "one": {"b": 0}}})
    assert_exact(found["a"][1], np.ones(2))
    assert found["a"]["one"] == {"b": 3}
    with pytest.raises(errors.CheckpointMismatchError, match="a/2"):
        checkpoints.restore_checkpoint(tmp_path, {"a": {1: np.zeros(2), "one": 0, 2: 0}})


@pytest.mark.parametrize("kind", [collections.OrderedDict, functools.partial(defaultdict, int)])
def test_dictionaries_of_other_types_keep_their_type_and_order(tmp_path, save, kind):
    def tree(value):
        inner = kind({"z": np.full(2, value), "a": value, "none": None})
        return kind({"inner": inner, "bare": inner}), [inner]

    save(tmp_path, tree(2.0))
    found = checkpoints.restore_checkpoint(tmp_path, tree(0.0), strict=True)
    jax.tree.map(assert_exact, found, tree(2.0))
    assert type(found[1][0]) is type(kind())
    if kind is collections.OrderedDict:
        assert list(found[1][0]) == ["z", "a", "none"]


@pytest.mark.parametrize("name", REFUSED)
def test_msgpack_is_advised_only_where_it_holds_the_value(tmp_path, name):
    with pytest.raises(errors.FormatLimitError) as caught:
        tree = {"a": REFUSED[name]}
        user = ocp.PyTreeCheckpointer()
        checkpoints.save_checkpoint(tmp_path / "orbax", tree, 1, orbax_checkpointer=user)
    try:
        checkpoint.save(tmp_path / "msgpack", tree, 1)
    except (TypeError, ValueError, OverflowError):
        assert "msgpack" not in str(caught.value)
    else:
        assert "msgpack" in str(caught.value)


@jax.tree_util.register_pytree_node_class
class Arrays:
    """A container whose constructor takes arrays alone."""

    def __init__(self, value):
        self.value = value + 0

    def tree_flatten(self):
        return (self.value,), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def test_containers_that_hold_arrays_alone_are_named(tmp_path, save):
    match = "a pytree of type Arrays that accepts nothing but its values at a/b. Save its values"
    with pytest.raises(errors.FormatLimitError, match=match):
        save(tmp_path / "run", {"a": {"b": Arrays(np.ones(2)), "c": 1}})
    assert not (tmp_path / "run").exists()


def test_a_key_that_is_no_text_is_refused(tmp_path, save):
    with pytest.raises(errors.FormatLimitError, match=r"surrogate pair.* at a\\ud800/b\. Replace"):
        save(tmp_path / "run", {"a\ud800": {"b": 1}})
    assert not (tmp_path / "run").exists()


def test_arrays_without_a_value_are_refused(tmp_path, save):
    gone = jnp.ones(3)
    gone.delete()
    with pytest.raises(ValueError, match="a/b: the array was deleted or donated"):
        save(tmp_path / "run", {"a": {"b": gone}})
    with pytest.raises(ValueError, match="a/b: a traced array has no value yet"):
        jax.jit(lambda x: save(tmp_path / "run", {"a": {"b": x}}))(jnp.ones(3))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", [ones(ml_dtypes.uint4), np.longdouble(2), b"raw"])
def test_converting_refuses_before_anything_is_written(tmp_path, value):
    path = checkpoint.save(tmp_path, {"a": {"b": value}, "c": np.ones(2)}, 1)
    new = tmp_path / "new.orbax"
    with pytest.raises(errors.FormatLimitError, match="at a/b"):
        checkpoint.convert(path, new)
    assert not new.exists()


@pytest.mark.parametrize("manager", ["None", "checkpoints.AsyncManager()"])
def test_a_failure_is_raised_and_not_printed_by_threads(tmp_path, manager):
    code = f"""if True:
        import resource, sys, numpy as np
        from ramie.configurations import config
        from ramie.training import checkpoints
        config.update("flax_use_orbax_checkpointing", True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        manager = {manager}
        tree = {{"a": np.random.default_rng(0).random(100_000)}}
        try:
            checkpoints.save_checkpoint(sys.argv[1], tree, 1, async_manager=manager)
            if manager is not None:
                manager.wait_previous_save()
        except ValueError as error:
            print("File too large" in str(error))
    """
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert os.listdir(tmp_path) == []
