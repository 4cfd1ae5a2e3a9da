"""What an initializer asks of a sampler, and the form in which this JAX computes it.

JAX's initializers call a sampler of `jax.random` and scale what it gives. Which sampler, with which
bounds and factor, follows from the settings; whether the numbers that `ramie.ops.drawing.sampling`
then draws are JAX's is found out by comparing, once for each kind of initializer.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.nn import initializers as jax_initializers

from ramie.ops.drawing import sampling
from ramie.ops.drawing.sampling import Request
from ramie.ops.eager import proofs
from ramie.typing import Array, Shape

__all__ = ["as_jax_draws", "request_of"]

Axes = int | Sequence[int]
_config: Any = jax.config


def _is_number(value: Any) -> bool:
    return type(value) is float or type(value) is int


def request_of(
    distribution: str, settings: Mapping[str, Any], shape: Shape, dtype: Any
) -> Request | None:
    """Say which sampler of `jax.random` an initializer calls, with which bounds and factor.

    Args:
      distribution: the name of the initializer in `jax.nn.initializers`.
      settings: what it was made with.
      shape: the shape of the result.
      dtype: its dtype.

    Returns:
      The request; or None for settings that are left to JAX.
    """
    if distribution == "uniform" and _is_number(settings["scale"]):
        return Request("uniform", factor=settings["scale"])
    if distribution == "normal" and _is_number(settings["stddev"]):
        return Request("normal", factor=settings["stddev"])
    if distribution == "truncated_normal":
        bounds = settings["lower"], settings["upper"]
        if all(map(_is_number, (*bounds, settings["stddev"]))):
            return Request("truncated_normal", bounds, settings["stddev"])
    if distribution == "variance_scaling":
        return _scaled_request(settings, shape, dtype)
    return None


def _size(shape: Shape, axes: Axes) -> int:
    return math.prod(shape[axis] for axis in ((axes,) if isinstance(axes, int) else axes))


def _scaled_request(settings: Mapping[str, Any], shape: Shape, dtype: Any) -> Request | None:
    """As `request_of`, for variance scaling. The factor is rounded after each step, as JAX does."""
    routine, mode, in_axis = settings["distribution"], settings["mode"], settings["in_axis"]
    if not _is_number(settings["scale"]) or 0 in shape or (in_axis == -2 and len(shape) < 2):
        return None
    try:
        fan_in, fan_out = _size(shape, in_axis), _size(shape, settings["out_axis"])
        batch = _size(shape, settings["batch_axis"])
    except (IndexError, TypeError):
        return None
    field = math.prod(shape) / fan_in / fan_out / batch
    fans = {"fan_in": fan_in * field, "fan_out": fan_out * field}
    fans["fan_avg"] = (fans["fan_in"] + fans["fan_out"]) / 2
    fans["fan_geo_avg"] = (fans["fan_in"] * fans["fan_out"]) ** 0.5
    kind = sampling.proven_dtype(dtype)
    if mode not in fans or kind is None:
        return None
    variance = np.asarray(settings["scale"] / fans[mode], kind)
    if not jax.numpy.finfo(kind).tiny <= variance < np.inf:
        return None
    if routine == "truncated_normal":
        # The standard deviation of a normal distribution that is cut off at -2 and 2.
        factor = np.sqrt(variance) / np.asarray(0.87962566103423978, kind)
        return Request(routine, (-2.0, 2.0), factor)
    if routine == "normal":
        return Request(routine, factor=np.sqrt(variance))
    if routine == "uniform":
        return Request(routine, (-1.0, 1.0), np.sqrt(np.asarray(3, kind) * variance))
    return None


# One initializer of each kind, with numbers that no arithmetic leaves as they are.
_EXAMPLES: dict[str, dict[str, Any]] = {
    "uniform": {"scale": 0.0123, "dtype": None},
    "normal": {"stddev": 0.0123, "dtype": None},
    "truncated_normal": {"stddev": 0.0123, "dtype": None, "lower": -1.3, "upper": 0.9},
    "variance_scaling": {
        "scale": 1.7,
        "mode": "fan_in",
        "in_axis": -2,
        "out_axis": -1,
        "batch_axis": (),
        "dtype": None,
    },
}
_LONG_ROW = 16
_WORDS = (271828, 314159)


def _ways(request: Request, kind: np.dtype[Any]) -> tuple[Request, ...]:
    """Return the forms in which versions of JAX draw what is asked for."""
    return (request, sampling.merged(request, kind)) if request.routine == "normal" else (request,)


def _row(shape: tuple[int, ...]) -> int:
    """Return the length of the rows of an array, as far as its bits may depend on it; 0 if long.

    XLA unrolls a loop over short rows and vectorises the rounds together, with functions that round
    differently from those of the loop over a long one.
    """
    last = next((n for n in reversed(shape) if n != 1), 1)
    return last if last <= _LONG_ROW else 0


def as_jax_draws(
    distribution: str, request: Request, kind: np.dtype[Any], shape: tuple[int, ...]
) -> Request | None:
    """Bring a request to the form that gives the bits of JAX's initializer, or return None.

    Args:
      distribution: the name of the initializer.
      request: what it asks for.
      kind: the dtype.
      shape: the shape that is drawn.
    """
    size, routine, row = sampling.block_size(math.prod(shape)), request.routine, _row(shape)
    example = (64, row) if row else (7, 67)
    wide = "-x64" if _config.jax_enable_x64 else ""
    settings = _EXAMPLES[distribution]
    if distribution == "variance_scaling":
        settings = {**settings, "distribution": routine}

    def plain() -> Any:
        key = jax.random.wrap_key_data(jax.numpy.array(_WORDS, np.uint32), impl="threefry2x32")
        return getattr(jax_initializers, distribution)(**settings)(key, example, kind)

    def drawn(place: int) -> Array:
        asked = request_of(distribution, settings, example, kind)
        assert asked is not None
        return sampling.draw(_ways(asked, kind)[place], (_WORDS, None), example, kind, size=size)

    ways = _ways(request, kind)
    found = proofs.first_equal(
        f"{distribution}-{routine}-{kind}-{size}-{row}{wide}",
        plain,
        [functools.partial(drawn, place) for place in range(len(ways))],
    )
    return None if found is None else ways[found]
