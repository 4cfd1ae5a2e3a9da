"""Initializers: functions ``(key, shape, dtype) -> array`` that fill parameters.

Names, parameters and numbers are those of `jax.nn.initializers`, which does the sampling. What
is different is that the result of ``lecun_normal()`` and its kin is not an opaque closure but a
small immutable value which says what it draws: it compares and hashes by its settings, it can be
pickled, and the shape of what it returns is known without running it.
"""

import functools
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn import initializers as _jax
from jax.nn.initializers import ones as ones
from jax.nn.initializers import zeros as zeros
from jax.sharding import Sharding

from ramie.foundation.jax_versions import INLINE
from ramie.ops.drawing import inside, sampling
from ramie.ops.drawing.requests import as_jax_draws, request_of
from ramie.typing import Array, Dtype, PRNGKey, Shape
from ramie.typing import Initializer as Initializer

__all__ = [
    "DescribedInitializer",
    "Initializer",
    "ReshapedInitializer",
    "constant",
    "delta_orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "ones_init",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
    "zeros_init",
]

Axes = int | Sequence[int]

_NARROW = frozenset((np.dtype("float16"), np.dtype(jnp.bfloat16)))

_interned: weakref.WeakValueDictionary[Hashable, "DescribedInitializer"] = (
    weakref.WeakValueDictionary()
)


def _setting_key(value: Any) -> Hashable:
    """Return what stands for a setting in comparisons: 1, 1.0, True and -0.0 against 0.0 differ."""
    if isinstance(value, bool | int | float | complex | np.generic):
        return (type(value), repr(value))
    if isinstance(value, tuple):
        return tuple(map(_setting_key, value))
    try:
        hash(value)
    except TypeError:
        return ("identity", id(value))
    return value


def _as_dtype(dtype: Any) -> Any:
    """Return `dtype` as a NumPy dtype where there is one, so that its spellings compare equal."""
    try:
        return None if dtype is None else np.dtype(dtype)
    except TypeError:
        return dtype


def _sampler(distribution: str, settings: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the function of JAX that draws; of 16-bit orthogonal matrices it knows none."""
    sample: Callable[..., Any] = getattr(_jax, distribution)(**settings)
    if not distribution.endswith("orthogonal"):
        return sample

    def rounded(key: PRNGKey, shape: Shape, dtype: Any, *sharding: Any) -> Any:
        if dtype is None or np.dtype(dtype) not in _NARROW:
            return sample(key, shape, dtype, *sharding)
        return lax.convert_element_type(sample(key, shape, np.float32, *sharding), dtype)

    return rounded


@functools.partial(jax.jit, static_argnums=(0, 2, 3), inline=INLINE)
def _traced_once(
    initializer: "DescribedInitializer", key: PRNGKey, shape: Shape, dtype: Any
) -> Array:
    """Draw inside a trace: JAX keeps the traced program per initializer, shape and dtype."""

    def draw(key: PRNGKey) -> Array:
        drawn: Array = initializer._sample(key, shape, dtype)
        return drawn

    if initializer.distribution in ("constant", "orthogonal", "delta_orthogonal"):
        return draw(key)
    return inside.apart(draw, key, shape, dtype)


class DescribedInitializer:
    """An initializer that knows what it draws. The functions of this module return it.

    Two with the same settings are one object while either is alive.

    Args:
      distribution: the name of the function of `jax.nn.initializers` that makes the sampler.
      settings: the keyword arguments of that function.
    """

    __slots__ = ("__weakref__", "_hash", "_key", "_sample", "distribution", "settings")

    distribution: str
    settings: Mapping[str, Any]
    _key: Hashable
    _hash: int
    _sample: Callable[..., Any]
    __name__ = "init"  # how the repr of a module prints it, as for the closures of JAX
    takes_host_keys = True
    reads_nothing = True  # that could change: see `ramie.core.tracing.reads`

    def __new__(cls, distribution: str, settings: Mapping[str, Any]) -> "DescribedInitializer":
        """Return the initializer with these settings: the one there is, or a new one."""
        own = {
            name: tuple(value) if name.endswith("_axis") and isinstance(value, list) else value
            for name, value in settings.items()
        }
        own["dtype"] = _as_dtype(own.get("dtype"))
        key = (distribution, *((name, _setting_key(value)) for name, value in own.items()))
        known = _interned.get(key)
        if known is not None:
            return known
        self = super().__new__(cls)
        for name, value in (
            ("distribution", distribution),
            ("settings", MappingProxyType(own)),
            ("_key", key),
            ("_hash", hash(key)),
            ("_sample", _sampler(distribution, own)),
        ):
            object.__setattr__(self, name, value)
        return _interned.setdefault(key, self)

    def __call__(
        self, key: PRNGKey, shape: Shape, dtype: Dtype | None = None, out_sharding: Any = None
    ) -> Array:
        """Draw an array.

        Args:
          key: the random key.
          shape: the shape of the result.
          dtype: the dtype of the result; that of the initializer if None.
          out_sharding: how the result is laid out over devices.
        """
        if out_sharding is None:
            if isinstance(key, jax.core.Tracer):
                dtype = self.settings["dtype"] if dtype is None else dtype
                return _traced_once(self, key, tuple(shape), dtype)
            drawn = self.draw(key, shape, dtype)
            if drawn is not None:
                return drawn
        dtype = self.settings["dtype"] if dtype is None else dtype
        if isinstance(key, np.ndarray) and key.shape == (2,):
            key = jax.random.wrap_key_data(key, impl="threefry2x32")
        if out_sharding is not None:
            return self._sample(key, shape, dtype, out_sharding)
        return self._sample(key, shape, dtype)

    def laid_out(
        self,
        sharding: Sharding,
        key: PRNGKey,
        shape: Shape,
        dtype: Dtype | None = None,
        final_shape: Shape | None = None,
    ) -> Array | None:
        """Draw the numbers of a plain call so that no device holds what is not its part.

        Args:
          sharding: how the result is to lie.
          key: see `draw`, as the others.
          shape: ...
          dtype: ...
          final_shape: ...

        Returns:
          The array; or None where that is not possible: draw it as a whole, and lay it out then.
        """
        sizes = shape if final_shape is None else final_shape
        if not inside.fits(sharding, sizes):
            return None
        if not isinstance(key, jax.core.Tracer):
            if not sampling.is_direct(sharding):
                return None
            with sampling.without_mesh():
                return self.draw(key, shape, dtype, final_shape, sharding)

        def drawn(key: PRNGKey) -> Array:
            values = self(key, shape, dtype)
            return values if final_shape is None else jnp.reshape(values, final_shape)

        return inside.in_place(drawn, key, sizes, sharding)

    def draw(
        self,
        key: PRNGKey,
        shape: Shape,
        dtype: Dtype | None,
        final_shape: Shape | None = None,
        sharding: Sharding | None = None,
    ) -> Array | None:
        """Draw an array (see `ramie.ops.drawing`), without compiling anything for its shape.

        Args:
          key: the random key, or the data of a threefry key as a NumPy array.
          shape: the shape to draw.
          dtype: the dtype of the result; that of the initializer if None.
          final_shape: a shape of the same size that the result is brought to.
          sharding: how the result is laid out over devices.

        Returns:
          The array; or None where that was not shown to give the bits of a plain call.
        """
        if not sampling.is_direct(sharding):
            return None
        settings = self.settings
        dtype = settings["dtype"] if dtype is None else dtype
        if self.distribution == "constant":
            if sharding is not None:
                return None
            return sampling.full(
                shape if final_shape is None else final_shape, settings["value"], dtype
            )
        kind, sizes = sampling.proven_dtype(dtype), sampling.known_shape(shape)
        if kind is None or sizes is None:
            return None
        request = request_of(self.distribution, settings, sizes, kind)
        is_laid_out = sharding is not None
        words = None if request is None else sampling.key_words(key, sharded=is_laid_out)
        if request is None or words is None:
            return None
        request = as_jax_draws(self.distribution, request, kind, sizes)
        if request is None:
            return None
        return sampling.draw(
            request, words, sizes, kind, final_shape=final_shape, sharding=sharding
        )

    @property
    def needs_key(self) -> bool:
        """Whether the result depends on the key."""
        return self.distribution != "constant"

    def output_shape(
        self, shape: Shape, dtype: Dtype | None = None, out_sharding: Any = None
    ) -> tuple[int, ...]:
        """Return the shape of the result of a call, without a trace."""
        return tuple(map(int, shape))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{self!r} cannot be changed ({name}): make another initializer.")

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, DescribedInitializer) and self._key == other._key
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"{self.distribution}({given})"

    def __reduce__(self) -> tuple[Any, ...]:
        return DescribedInitializer, (self.distribution, dict(self.settings))


class ReshapedInitializer:
    """An initializer applied to a matrix (or vector), then reshaped to the parameter.

    A kernel with several input and output axes is drawn as the matrix that it multiplies as, so
    that fan-in and fan-out count whole groups of axes. Two with the same settings are equal, so
    layers may make one at each call.

    Args:
      initializer: draws the array.
      groups: how many leading axes of the parameter make up each axis of that array; axes that no
        group counts make up a last one.

    Example:
      >>> kernel_init = ReshapedInitializer(lecun_normal(), (2,))  # two input axes, then outputs
      >>> kernel_init.flat_shape((4, 8, 3))
      (32, 3)
    """

    __slots__ = ("groups", "initializer")

    __name__ = "init"

    def __init__(self, initializer: Callable[..., Any], groups: tuple[int, ...]) -> None:
        self.initializer = initializer
        self.groups = groups

    def flat_shape(self, shape: Shape) -> tuple[int, ...]:
        """Return the shape in which the values of a parameter of `shape` are drawn."""
        sizes, start = [], 0
        for count in self.groups:
            sizes.append(int(np.prod(shape[start : start + count], dtype=np.int64)))
            start += count
        sizes.append(int(np.prod(shape[start:], dtype=np.int64)))
        return tuple(sizes)

    def output_shape(self, shape: Shape, dtype: Any = None) -> tuple[int, ...]:
        """Return the shape of the result of a call, without a trace."""
        return tuple(map(int, shape))

    @property
    def needs_key(self) -> bool:
        """Whether the result depends on the key."""
        inner = self.initializer
        if inner is zeros or inner is ones:
            return False
        return bool(getattr(inner, "needs_key", True))

    @property
    def takes_host_keys(self) -> bool:
        """Whether a key may be given as the words of a threefry key, in a NumPy array."""
        return getattr(self.initializer, "takes_host_keys", False)

    def laid_out(
        self, sharding: Sharding, key: PRNGKey, shape: Shape, dtype: Any = None
    ) -> Array | None:
        """Draw an array of `shape` in place; see `DescribedInitializer.laid_out`."""
        inner = self.initializer
        if not isinstance(inner, DescribedInitializer):
            return None
        return inner.laid_out(sharding, key, self.flat_shape(shape), dtype, tuple(shape))

    def __call__(self, key: PRNGKey, shape: Shape, dtype: Any = None) -> Any:
        """Draw an array of `shape`. Boxes with metadata keep their box."""
        inner = self.initializer
        boxed = getattr(inner, "boxing", None)
        if boxed is not None:  # the names in the box are of the axes of the parameter
            box, drawing = boxed
            return box(ReshapedInitializer(drawing, self.groups))(key, shape, dtype)
        if not isinstance(key, jax.core.Tracer):
            made = None
            if isinstance(inner, DescribedInitializer):
                made = inner.draw(key, self.flat_shape(shape), dtype, shape)
            elif (inner is zeros or inner is ones) and sampling.is_direct():
                made = sampling.full(shape, int(inner is ones), dtype)
            if made is not None:
                return made
        drawn = self.initializer(key, self.flat_shape(shape), dtype)
        return jax.tree_util.tree_map(lambda x: jax.numpy.reshape(x, shape), drawn)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, ReshapedInitializer)
            and self.groups == other.groups
            and self.initializer == other.initializer
        )

    def __hash__(self) -> int:
        return hash((self.initializer, self.groups))

    def __repr__(self) -> str:
        return f"ReshapedInitializer({self.initializer!r}, {self.groups!r})"


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Dtype | None = None,
) -> DescribedInitializer:
    """Draw with variance ``scale / n``, n being the fan of the parameter.

    Args:
      scale: the factor.
      mode: which fan: "fan_in", "fan_out", "fan_avg" or "fan_geo_avg".
      distribution: "truncated_normal", "normal" or "uniform".
      in_axis: axis or axes of the inputs.
      out_axis: axis or axes of the outputs.
      batch_axis: axis or axes that count for neither; all others are receptive field.
      dtype: the dtype where a call names none.
    """
    return DescribedInitializer(
        "variance_scaling",
        {
            "scale": scale,
            "mode": mode,
            "distribution": distribution,
            "in_axis": in_axis,
            "out_axis": out_axis,
            "batch_axis": batch_axis,
            "dtype": dtype,
        },
    )


def glorot_uniform(
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Dtype | None = None,
) -> DescribedInitializer:
    """Draw uniformly, with variance 1 / mean of fan-in and fan-out (Glorot and Bengio 2010).

    Parameters as in `variance_scaling`.
    """
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis, batch_axis, dtype)


def glorot_normal(
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Dtype | None = None,
) -> DescribedInitializer:
    """Draw from a truncated normal, with variance 1 / mean of fan-in and fan-out.

    Parameters as in `variance_scaling`.
    """
    return variance_scaling(
        1.0, "fan_avg", "truncated_normal", in_axis, out_axis, batch_axis, dtype
    )


def lecun_uniform(
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Dtype | None = None,
) -> DescribedInitializer:
    """Draw uniformly, with variance 1 / fan-in (LeCun et al. 1998).

    Parameters as in `variance_scaling`.
    """
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def lecun_normal(
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Dtype | None = None,
) -> DescribedInitializer:
    """Draw from a truncated normal, with variance 1 / fan-in.

    Parameters as in `variance_scaling`.
    """
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def he_uniform(
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Dtype | None = None,
) -> DescribedInitializer:
    """Draw uniformly, with variance 2 / fan-in, for ReLU (He et al. 2015).

    Parameters as in `variance_scaling`.
    """
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def he_normal(
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Dtype | None = None,
) -> DescribedInitializer:
    """Draw from a truncated normal, with variance 2 / fan-in, for ReLU.

    Parameters as in `variance_scaling`.
    """
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


xavier_uniform = glorot_uniform
xavier_normal = glorot_normal
kaiming_uniform = he_uniform
kaiming_normal = he_normal


def normal(stddev: Any = 1e-2, dtype: Dtype | None = None) -> DescribedInitializer:
    """Draw from a normal distribution around 0 with standard deviation `stddev`."""
    return DescribedInitializer("normal", {"stddev": stddev, "dtype": dtype})


def truncated_normal(
    stddev: Any = 1e-2, dtype: Dtype | None = None, lower: Any = -2.0, upper: Any = 2.0
) -> DescribedInitializer:
    """Draw from a normal distribution cut off at `lower` and `upper`.

    The bounds apply before the scaling by `stddev`; what is cut off makes the standard deviation
    of the result smaller than `stddev`.
    """
    settings = {"stddev": stddev, "dtype": dtype, "lower": lower, "upper": upper}
    return DescribedInitializer("truncated_normal", settings)


def uniform(scale: Any = 1e-2, dtype: Dtype | None = None) -> DescribedInitializer:
    """Draw uniformly from [0, scale)."""
    return DescribedInitializer("uniform", {"scale": scale, "dtype": dtype})


def orthogonal(
    scale: Any = 1.0, column_axis: int = -1, dtype: Dtype | None = None
) -> DescribedInitializer:
    """Draw a matrix with orthonormal rows or columns, whichever are fewer, times `scale`.

    All axes but `column_axis` are taken as one. In bfloat16 and float16 they are float32, rounded.
    """
    settings = {"scale": scale, "column_axis": column_axis, "dtype": dtype}
    return DescribedInitializer("orthogonal", settings)


def delta_orthogonal(
    scale: Any = 1.0, column_axis: int = -1, dtype: Dtype | None = None
) -> DescribedInitializer:
    """Draw a convolution kernel that is zero except for an orthogonal matrix at its centre.

    Reference: Xiao et al., Dynamical Isometry and a Mean Field Theory of CNNs, 2018.
    """
    settings = {"scale": scale, "column_axis": column_axis, "dtype": dtype}
    return DescribedInitializer("delta_orthogonal", settings)


def constant(value: Any, dtype: Dtype | None = None) -> DescribedInitializer:
    """Fill with `value`, a scalar or something that broadcasts to the shape."""
    return DescribedInitializer("constant", {"value": value, "dtype": dtype})


def zeros_init() -> Initializer:
    """Return the initializer `zeros`, for code that expects to call a maker."""
    return zeros


def ones_init() -> Initializer:
    """Return the initializer `ones`, for code that expects to call a maker."""
    return ones
