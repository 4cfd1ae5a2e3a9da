"""Drawing arrays of any shape with one compiled program per distribution and dtype.

Drawing random numbers is cheap, compiling the program that draws them is not: about a second for
each shape of a convolution kernel. With partitionable threefry, JAX's default, the bits of element
`i` depend on the key and on `i` alone, whatever the shape. So one program that draws a block of
elements from a given offset serves every shape, and arrays are put together from blocks.

How bits become numbers is left to `jax.random`: the program calls the public sampler with a key of
a random number generator of its own, threefry whose counter starts at the offset. Whoever draws
here compares the bits with JAX's first (`ramie.ops.drawing.requests`), for each initializer, dtype
and size of block. Keys, dtypes and shapes of no known kind are left to JAX.
"""

import functools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from jax.extend import random as jex_random
from jax.extend.core import get_opaque_trace_state
from jax.sharding import Mesh, Sharding

from ramie.foundation.configurations import config
from ramie.ops.eager.dispatch import no_trace, plain_path_wanted
from ramie.ops.eager.replaced import Rests, rests_of
from ramie.typing import Array, PRNGKey, Shape

__all__ = [
    "KeyWords",
    "Request",
    "block_size",
    "call",
    "draw",
    "filled",
    "full",
    "is_direct",
    "key_words",
    "known_shape",
    "merged",
    "proven_dtype",
    "without_mesh",
]

BLOCK = 1 << 12
LARGE_BLOCK = 1 << 16

_IN_FLIGHT = 8  # blocks computed ahead of their copy into the result
_UINT = {8: np.uint8, 16: np.uint16, 32: np.uint32}
_DTYPES = frozenset(np.dtype(t) for t in ("float32", "float16", jax.numpy.bfloat16))
_WIDE = np.dtype("float64")
_INTEGERS = frozenset(np.dtype(t) for t in ("bool", "int32", "int8", "uint8", "uint32"))
_config: Any = jax.config

KeyWords = tuple[tuple[int, int], Any]
"""The two words of a threefry key, and the device that it is committed to or None."""


class Request(NamedTuple):
    """What to draw: numbers of a sampler, times a factor.

    Args:
      routine: "uniform", "normal", "truncated_normal", or "inverse_error": the inverse of the error
        function at uniform numbers, which is a normal distribution over the root of two; a step
        of its own, which rounds as it does for arrays of that shape.
      bounds: of the distribution, before scaling; "normal" has none and ignores them.
      factor: a Python number, or a scalar of the dtype that is drawn.
    """

    routine: str
    bounds: tuple[Any, Any] = (0.0, 1.0)
    factor: Any = 1.0


def merged(request: Request, dtype: np.dtype[Any]) -> Request:
    """Say how to draw normal numbers in steps, the root of two multiplied into the factor.

    `jax.nn.initializers` does so from JAX 0.12 on. It rounds differently from `jax.random.normal`
    times a factor, and from one shape to another: XLA has two forms of the inverse error function.

    Args:
      request: asks for "normal".
      dtype: what is drawn.
    """
    one = np.ones((), dtype)
    bounds = np.nextafter(-one, np.zeros((), dtype), dtype=dtype), one
    factor = np.asarray(np.sqrt(2), dtype) * np.asarray(request.factor, dtype)
    return Request("inverse_error", bounds, factor)


def _refuse(*_: Any) -> Any:
    raise NotImplementedError("Keys with an offset draw bits; they are not split or folded.")


def _bits_from_offset(state: Array, width: int, shape: Shape) -> Array:
    """Draw what partitionable threefry draws for the elements from an offset on.

    Args:
      state: the two words of the key, then the high and the low word of the offset.
      width: bits per element.
      shape: one axis.
    """
    start = lax.broadcast_in_dim(state[3], shape, ())
    low = lax.add(lax.iota(np.dtype("uint32"), shape[0]), start)
    carry = lax.convert_element_type(lax.lt(low, start), np.uint32)
    high = lax.add(lax.broadcast_in_dim(state[2], shape, ()), carry)
    first, second = jex_random.threefry2x32_p.bind(state[0], state[1], high, low)
    if width == 64:
        first, second = (lax.convert_element_type(word, np.uint64) for word in (first, second))
        return lax.bitwise_or(lax.shift_left(first, lax.full_like(first, 32)), second)
    return lax.convert_element_type(lax.bitwise_xor(first, second), _UINT[width])


_FROM_OFFSET = jex_random.define_prng_impl(
    key_shape=(4,),
    seed=_refuse,
    split=_refuse,
    random_bits=_bits_from_offset,
    fold_in=_refuse,
    name="threefry2x32_from_offset",
    tag="ofs",
)


def call(routine: str, key: PRNGKey, shape: Shape, dtype: Any, bounds: tuple[Any, Any]) -> Array:
    """Call a sampler of `jax.random`.

    Args:
      routine: its name: "uniform", "normal" or "truncated_normal".
      key: the random key.
      shape: the shape of the result.
      dtype: its dtype.
      bounds: of the distribution; "normal" has none and ignores them.
    """
    if routine == "truncated_normal":
        return jax.random.truncated_normal(key, *bounds, shape, dtype)
    if routine == "normal":
        return jax.random.normal(key, shape, dtype)
    return jax.random.uniform(key, shape, dtype, *bounds)


@functools.partial(jax.jit, static_argnames=("routine", "dtype", "size"))
def _block(
    state: Any, lower: Any, upper: Any, factor: Any, *, routine: str, dtype: Any, size: int
) -> Array:
    key = jax.random.wrap_key_data(state, impl=_FROM_OFFSET)
    drawn = call(routine, key, (size,), dtype, (lower, upper))
    # JAX's initializers scale in a step of its own. The barrier keeps the compiler from joining the
    # factor with one inside the sampler, which would round differently.
    return lax.mul(lax.optimization_barrier(drawn), lax.broadcast_in_dim(factor, (size,), ()))


def is_direct(sharding: Sharding | None = None) -> bool:
    """Tell whether arrays may be made by the sampler and by transfer from the host, here and now.

    Not inside a JAX transformation, nor with debugging switches on, nor off the CPU, nor when the
    flag `flax_fast_init` is off, nor while a function that draws is not JAX's. Under a mesh only
    where it is known how the array is to lie.

    Args:
      sharding: how it is to lie, if that is known.
    """
    if not config.flax_fast_init or plain_path_wanted() or _config.jax_debug_key_reuse:
        return False
    if get_opaque_trace_state() != no_trace() or not _rests().are_shipped():
        return False
    if sharding is not None:
        devices: Any = sharding.device_set
        return all(device.platform == "cpu" for device in devices)
    device = _config.jax_default_device
    if device is None:
        on_cpu = _default_backend() == "cpu"
    else:
        on_cpu = (device if isinstance(device, str) else device.platform) == "cpu"
    return on_cpu and bool(jax.sharding.get_abstract_mesh().empty)


@functools.cache
def _rests() -> Rests:
    return rests_of(draw)


@functools.cache
def _default_backend() -> str:
    return jax.default_backend()


def without_mesh() -> AbstractContextManager[Any]:
    """Leave the mesh of `jax.set_mesh`, where each device would compute the same blocks."""
    return jax.set_mesh(_no_axes())


@functools.cache
def _no_axes() -> Mesh:
    return Mesh(np.array(jax.local_devices(backend="cpu")[0]), ())


def key_words(key: PRNGKey, *, sharded: bool = False) -> KeyWords | None:
    """Read a key, if it is one whose numbers the sampler reproduces: threefry, partitionable.

    Args:
      key: a single key, typed or raw; a NumPy array is taken as the data of a threefry key.
      sharded: whether the numbers go to several devices, where the key may lie as well.

    Returns:
      Its two words, and the device that it is committed to or None.
    """
    if not isinstance(key, jax.Array | np.ndarray) or isinstance(key, jax.core.Tracer):
        return None
    if not _config.jax_threefry_partitionable:
        return None
    device = None
    if sharded:
        if isinstance(key, jax.Array) and not key.is_fully_replicated:
            return None
    elif isinstance(key, jax.Array) and key.committed:
        devices = key.devices()
        if len(devices) != 1:
            return None
        (device,) = devices
        if device.platform != "cpu":
            return None
    data: Any = key
    if jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key):
        if jax.random.key_impl(key) != "threefry2x32":
            return None
        data = jax.random.key_data(key)
    elif isinstance(key, jax.Array) and _config.jax_default_prng_impl != "threefry2x32":
        return None
    words = np.asarray(data)
    if words.shape != (2,) or words.dtype != np.uint32:
        return None
    return (int(words[0]), int(words[1])), device


def proven_dtype(dtype: Any) -> np.dtype[Any] | None:
    """Return a dtype as NumPy's if its bits were proven; None stands for JAX's default.

    Args:
      dtype: a dtype in any spelling.

    Returns:
      The dtype, or None if it was not proven or JAX would not keep it as it is.
    """
    if dtype is None:
        return np.dtype(jax.dtypes.canonicalize_dtype(float))
    try:
        found = np.dtype(dtype)
    except TypeError:
        return None
    if found in _DTYPES or (found == _WIDE and _config.jax_enable_x64):
        return found
    return None


def known_shape(shape: Any) -> tuple[int, ...] | None:
    """Return a shape as Python integers, or None if it is not made of known sizes.

    Args:
      shape: a sequence.
    """
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        return None
    sizes = tuple(shape)
    if all(type(size) is int and size >= 0 for size in sizes):
        return sizes
    if all(isinstance(size, int | np.integer) and size >= 0 for size in sizes):
        return tuple(map(int, sizes))
    return None


def filled(shape: Shape, value: Any, dtype: Any = None) -> Array:
    """Return an array full of one number, without the compiler where that is possible.

    Args:
      shape: its shape.
      value: a Python number.
      dtype: its dtype; by default JAX's for floating point numbers.
    """
    made = full(shape, value, dtype) if is_direct() else None
    if made is not None:
        return made
    return jax.numpy.full(shape, value, jax.numpy.dtype(float) if dtype is None else dtype)


def full(shape: Any, value: Any, dtype: Any) -> Array | None:
    """Make an array of one number by transfer from the host; see `filled`.

    Returns:
      The array; or None for dtypes, shapes and numbers that are left to JAX.
    """
    if type(value) not in (int, float, bool):
        return None
    known = proven_dtype(dtype)
    if known is None:
        try:
            known = np.dtype(dtype)
        except TypeError:
            return None
        if known not in _INTEGERS:
            return None
    sizes = known_shape(shape)
    if sizes is None or (known in _INTEGERS and value not in (0, 1)):
        return None
    return _filler(sizes, np.asarray(value, known).tobytes(), known)()


# Arrays of one kind after which a program is compiled, in 30 ms; it saves 0.02 ms each.
_WORTH_COMPILING = 256
_SMALL = 1 << 16


class _Filler:
    """Makes arrays of one number: by transfer, and after many of them with a program."""

    def __init__(self, shape: Shape, number: Any) -> None:
        self.shape = shape
        self.number = number
        self.left = _WORTH_COMPILING if math.prod(shape) <= _SMALL else -1
        self.program: Any = None

    def __call__(self) -> Array:
        if self.program is None:
            if self.left:
                self.left -= 1
                return jax.device_put(np.full(self.shape, self.number))
            self.program = jax.jit(lambda: lax.full(self.shape, self.number))
        made: Array = self.program()
        return made


@functools.lru_cache(maxsize=256)
def _filler(shape: tuple[int, ...], number: bytes, dtype: np.dtype[Any]) -> _Filler:
    # Bytes tell 0.0 from -0.0, which are equal as numbers.
    return _Filler(shape, np.frombuffer(number, dtype)[0])


def draw(
    request: Request,
    key: KeyWords,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    final_shape: Shape | None = None,
    size: int | None = None,
    sharding: Sharding | None = None,
) -> Array:
    """Draw what a sampler of `jax.random` gives, times a factor.

    Args:
      request: the sampler, its bounds, and the factor.
      key: what `key_words` found.
      shape: the shape of the result, as `known_shape` returns it.
      dtype: the dtype of the result and of the sampler, as `proven_dtype` returns it.
      final_shape: a shape of the same size that the result is brought to.
      size: how many numbers a block has, if not what `block_size` says.
      sharding: how the result is laid out; by default it lies where the key is committed to.
    """
    words, device = key
    in_steps = request.routine == "inverse_error"
    drawn = request._replace(routine="uniform", factor=1.0) if in_steps else request
    values = _drawn(words, math.prod(shape), drawn, dtype, size)
    if in_steps:
        normal = lax.erf_inv(jax.device_put(values.reshape(shape), device))
        values = np.asarray(normal) * np.asarray(request.factor, dtype)
    values = values.reshape(shape if final_shape is None else final_shape)
    return jax.device_put(values, device) if sharding is None else _spread(values, sharding)


def _spread(values: np.ndarray[Any, Any], sharding: Sharding) -> Array:
    """Give each device its part, in memory of its own: what is shared cannot be donated."""
    return jax.make_array_from_callback(
        values.shape, sharding, lambda index: np.array(values[index], order="C")
    )


def block_size(count: int) -> int:
    """Return how many numbers a block has for an array of `count` numbers.

    A model without small matrices needs one program: compiling another takes as long as drawing a
    thousand small arrays in large blocks.
    """
    return BLOCK if count < BLOCK else LARGE_BLOCK


def _drawn(
    words: tuple[int, int],
    count: int,
    request: Request,
    dtype: np.dtype[Any],
    size: int | None,
) -> np.ndarray[Any, Any]:
    """Put `count` numbers together from blocks, on the host."""
    size = block_size(count) if size is None else size
    routine, bounds, factor = request
    factor = np.asarray(factor, dtype)
    out = np.empty(count, dtype)
    pending: list[tuple[int, Any]] = []

    def store() -> None:
        start, block = pending.pop(0)
        stop = min(start + size, count)
        out[start:stop] = np.asarray(block)[: stop - start]

    for start in range(0, count, size):
        state = np.array([*words, start >> 32, start & 0xFFFFFFFF], np.uint32)
        block = _block(state, *bounds, factor, routine=routine, dtype=dtype, size=size)
        pending.append((start, block))
        if len(pending) > _IN_FLIGHT:
            store()
    while pending:
        store()
    return out
