"""Arrays as the wire format holds them: a shape, a dtype name, and the bytes in C order."""

import math
import re
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import ml_dtypes  # noqa: F401  (teaches numpy the names of bfloat16, float8 and int4)
import numpy as np

__all__ = [
    "Deferred",
    "check_bits",
    "check_key",
    "check_value",
    "dtype_from_name",
    "is_plain",
    "is_prng_key",
    "key_from_parts",
    "key_parts",
    "may_be_a_view",
    "nbytes_of",
    "own",
    "raw_bytes",
    "to_host",
]

_MAX_NDIM = 64
_BIG_ENDIAN = (">",) if sys.byteorder == "little" else (">", "=")
_FLEXIBLE = re.compile(r"(bytes|str|void)([1-9][0-9]{0,9})")
_FLEXIBLE_CODES = {"bytes": ("S", 8), "str": ("U", 32), "void": ("V", 8)}


def is_prng_key(value: Any) -> bool:
    """Tell whether an array holds typed PRNG keys, which have no bytes of their own."""
    return jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key)


def key_parts(keys: jax.Array) -> tuple[str, jax.Array]:
    """Return the name of the generator of typed keys, and their words.

    Raises:
      ValueError: if the generator has no registered name.
    """
    name = jax.random.key_impl(keys)
    if not isinstance(name, str):
        raise ValueError(f"PRNG keys of the unregistered generator {name} have no name to save")
    return name, jax.random.key_data(keys)


def key_from_parts(name: str, words: np.ndarray[Any, Any]) -> jax.Array:
    """Return typed keys; the inverse of `key_parts`.

    Raises:
      ValueError: if there is no such generator, or its keys are of another shape.
    """
    check_key(name, words.shape, words.dtype)
    return jax.random.wrap_key_data(jax.numpy.asarray(words), impl=name)


@lru_cache(maxsize=256)
def check_key(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Check that a generator has keys whose words are of this shape and dtype.

    Raises:
      ValueError: if there is no such generator, or its keys are of another shape.
    """
    if dtype != np.uint32:
        raise ValueError(f"the words of PRNG keys are uint32, not {dtype.name}")
    words = jax.ShapeDtypeStruct(shape, np.uint32)
    try:
        jax.eval_shape(lambda data: jax.random.wrap_key_data(data, impl=name), words)
    except TypeError as error:
        raise ValueError(
            f"keys of the generator {name!r} cannot have words of shape {shape}"
        ) from error


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Tell whether the items of a dtype are bytes in the order of the file format."""
    return not (
        dtype.hasobject
        or dtype.names is not None
        or dtype.itemsize == 0
        or dtype.byteorder in _BIG_ENDIAN
    )


def to_host(value: Any) -> np.ndarray[Any, Any]:
    """Return an array in host memory: in C order, little-endian, without a copy where possible.

    Args:
      value: a numpy array, or a jax array whose shards this process can all reach, or that is
        replicated.

    Raises:
      ValueError: if the array is traced, deleted or donated, spread over other processes, or
        of a dtype without bytes of its own (objects, structures, masks).
    """
    if isinstance(value, jax.Array):
        host = _fetch(value)
    elif isinstance(value, Deferred):
        host = value.load()
    elif isinstance(value, np.ma.MaskedArray):
        raise ValueError("a masked array would lose its mask; save its data and mask as two arrays")
    else:
        host = np.asarray(value)
    dtype = host.dtype
    if dtype.hasobject or dtype.names is not None:
        raise ValueError(
            f"Object and structured dtypes not supported: {dtype} has no portable bytes; save "
            "numeric arrays, one for each field"
        )
    if dtype.itemsize == 0:
        raise ValueError(f"the items of an array of dtype {dtype} hold no bytes")
    if dtype.byteorder in _BIG_ENDIAN:
        host = host.astype(dtype.newbyteorder("<"))
    return np.asarray(host, order="C")


class Deferred(np.ndarray[Any, Any]):
    """An array that is read when it is written: it has a shape and a dtype, and takes no memory.

    Args:
      shape: its shape.
      dtype: its dtype.
      load: returns the array itself.
    """

    load: Callable[[], np.ndarray[Any, Any]]

    def __new__(
        cls,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        load: Callable[[], np.ndarray[Any, Any]],
    ) -> "Deferred":
        """Make one."""
        stand_in = np.broadcast_to(np.zeros((), dtype), shape).view(cls)
        stand_in.load = load
        return stand_in


def check_value(array: jax.Array) -> None:
    """Check that an array has a value.

    Raises:
      ValueError: if it is traced, deleted or donated.
    """
    if isinstance(array, jax.core.Tracer):
        raise ValueError("a traced array has no value yet; serialize outside jit, grad and vmap")
    if array.is_deleted():
        raise ValueError("the array was deleted or donated to a jitted function")


def _fetch(value: jax.Array) -> np.ndarray[Any, Any]:
    check_value(value)
    if not value.is_fully_addressable:
        if not value.is_fully_replicated:
            raise ValueError(
                f"the array of shape {value.shape} is sharded over several processes, so this one "
                "cannot reach all of it; gather it first, or save it through Orbax"
            )
        value = value.addressable_data(0)
    return np.asarray(value)


def may_be_a_view(array: jax.Array) -> bool:
    """Tell whether an array may lie in memory that is not of JAX alone.

    `jax.device_put` on a CPU, and DLPack, take the memory of the program as it is, which may go on
    writing there. JAX does not tell whose memory it is, so all host memory counts.
    """
    sharding: Any = array.sharding
    kind = sharding.memory_kind or ""
    return "host" in kind or any(device.platform == "cpu" for device in sharding.device_set)


def own(array: jax.Array) -> jax.Array:
    """Return an array whose memory nobody else can write; a copy where that is not certain.

    Example:
      >>> import jax, numpy as np
      >>> from ramie.serialization.arrays import own
      >>> memory = np.zeros(16)
      >>> array = own(jax.device_put(memory))
      >>> memory[:] = 7.0
      >>> float(array[0])
      0.0
    """
    # Waiting matters: a copy that is under way still reads the memory.
    return jax.block_until_ready(array.copy()) if may_be_a_view(array) else array


def raw_bytes(array: np.ndarray[Any, Any]) -> memoryview:
    """Return the bytes of an array from `to_host`, without copying them."""
    return array.reshape(-1).view(np.uint8).data


@lru_cache(maxsize=256)
def dtype_from_name(name: str) -> np.dtype[Any]:
    """Return the dtype that a file names.

    Raises:
      ValueError: if there is none, or its items could not be plain bytes.
    """
    problem = f"there is no array dtype called {name[:40]!r}"
    flexible = _FLEXIBLE.fullmatch(name)
    if flexible:
        code, unit = _FLEXIBLE_CODES[flexible[1]]
        count, rest = divmod(int(flexible[2]), unit)
        if rest or count > 2**31 // unit:
            raise ValueError(problem)
        return np.dtype(f"{code}{count}")
    # NumPy warns of the letter "a", and newer ones do not know it.
    if not re.fullmatch(r"(?![<>=|]?a\d*$)[A-Za-z0-9_<>=|\[\]]{1,40}", name):
        raise ValueError(problem)
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError, SyntaxError) as error:
        raise ValueError(problem) from error
    if dtype.hasobject or dtype.names is not None or dtype.subdtype or dtype.itemsize == 0:
        raise ValueError(problem)
    return dtype


def nbytes_of(shape: Sequence[Any], dtype: np.dtype[Any]) -> int:
    """Return how many bytes an array takes, having checked that such an array can exist.

    Raises:
      ValueError: if the shape is not one.
    """
    if len(shape) > _MAX_NDIM:
        raise ValueError(f"an array of {len(shape)} dimensions exceeds the limit of {_MAX_NDIM}")
    for size in shape:
        if type(size) is not int or not 0 <= size < 2**62:
            raise ValueError(f"an array cannot have the shape {list(shape)}")
    if math.prod(size for size in shape if size) * dtype.itemsize >= 2**62:
        raise ValueError(f"an array cannot have the shape {list(shape)}")
    return math.prod(shape) * dtype.itemsize


def check_bits(array: np.ndarray[Any, Any]) -> None:
    """Check that an array filled from a file holds values of its dtype.

    Raises:
      ValueError: if a boolean is neither 0 nor 1; numpy would behave unpredictably with it.
    """
    if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise ValueError("a boolean array holds bytes other than 0 and 1")
