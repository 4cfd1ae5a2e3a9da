"""Making the parameters of a layer, and keeping its settings."""

import functools
import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import jax
import numpy as np
from jax import lax
from jax.sharding import NamedSharding

from ramie.core import laying
from ramie.nnx.modules.module import Module
from ramie.nnx.modules.places import running
from ramie.nnx.objects.marks import data
from ramie.nnx.randomness.rng import Rngs, RngStream
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.kinds import Param
from ramie.nnx.variable.placement import initial_sharding
from ramie.ops import initializers
from ramie.ops.drawing.sampling import filled
from ramie.ops.eager.replaced import current
from ramie.typing import Array, Dtype, Initializer, Shape

__all__ = [
    "NO_METADATA",
    "an_instance",
    "configured",
    "default_bias_init",
    "default_kernel_init",
    "drawn",
    "filling",
    "keep",
    "new_param",
    "of_stream",
    "optional_param",
    "raw",
    "refuse_sizes",
    "stream_of_params",
    "write",
]

A = TypeVar("A")
V = TypeVar("V", bound=Variable[Any])

default_kernel_init: Initializer = initializers.lecun_normal()
default_bias_init: Initializer = initializers.zeros
NO_METADATA: Mapping[str, Any] = MappingProxyType({})


def filling(init: Initializer) -> Any:
    """Return the number that an initializer fills arrays with, or None if it does something else.

    Those of arrays or of numbers that JAX rounds in its own way are something else.
    """
    if init is initializers.zeros:
        return 0
    if init is initializers.ones:
        return 1
    if isinstance(init, initializers.DescribedInitializer) and not init.needs_key:
        value = init.settings["value"]
        return value if isinstance(value, int | float) else None
    return None


def drawn(
    stream: Any,
    init: Initializer,
    shape: Shape,
    dtype: Dtype,
    sharding: NamedSharding | None = None,
) -> Any:
    """Initialise an array with the next key of a stream.

    A key that the initializer would not read is counted, but not derived. With a sharding, no
    device holds more than its part, if the initializer can do that.
    """
    if type(stream) is not RngStream:
        return init(stream(), shape, dtype)
    constant = filling(init)
    if constant is not None:
        stream._skip()
        return filled(shape, constant, dtype)
    if getattr(init, "needs_key", True):
        return laying.made(init, (stream(), shape, dtype), {}, sharding)
    stream._skip()
    key: Any = None
    return init(key, shape, dtype)


def new_param(
    rngs: Rngs,
    init: Initializer,
    shape: Shape,
    dtype: Dtype,
    metadata: Mapping[str, Any],
    kind: type[Variable[Any]] = Param,
) -> Any:
    """Make a parameter with the next key of the stream `params`.

    Args:
      rngs: the streams.
      init: the initializer; what it returns may bring metadata of its own.
      shape: the shape.
      dtype: the dtype.
      metadata: of the parameter.
      kind: its class.

    Raises:
      TypeError: if `rngs` is not an `Rngs`, or a size is no integer.
    """
    stream = stream_of_params(rngs)
    sharding = initial_sharding(metadata) if metadata else None
    try:
        value = drawn(stream, init, shape, dtype, sharding)
    except TypeError as error:
        refuse_sizes(error, shape)
        raise
    return kind(value, **metadata)


def an_instance(layer: Module, given: A, name: str) -> A:
    """Return an argument that is to be a layer.

    Args:
      layer: whose argument it is.
      given: the argument.
      name: its name.

    Raises:
      TypeError: if it is a class.
    """
    if isinstance(given, type):
        raise TypeError(
            f"nnx.{type(layer).__name__} takes a layer as {name}, not the class {given.__name__}. "
            f"Make one: {given.__name__}(..., rngs=rngs)."
        )
    return given


def stream_of_params(rngs: Any) -> Any:
    """Return the stream `params`.

    Raises:
      TypeError: if `rngs` has no streams.
    """
    try:
        return rngs.params
    except AttributeError:
        if isinstance(rngs, Rngs):
            raise
    is_key = isinstance(rngs, jax.Array) and not isinstance(rngs, RngStream)
    is_seed = isinstance(rngs, int | np.integer)
    found = "a random key" if is_key else f"a {type(rngs).__name__}"
    if is_seed:
        found = f"the {type(rngs).__name__} {rngs!r}"
    elif isinstance(rngs, type):
        found = f"the class {rngs.__name__}"
    write = "key" if is_key else rngs if is_seed else 0
    raise TypeError(
        f"rngs must be an nnx.Rngs, which has a stream of keys for each purpose, but "
        f"{_layer_in_making()} got {found}. Write rngs=nnx.Rngs({write})."
    ) from None


def refuse_sizes(error: TypeError, shape: Any) -> None:
    """Explain an error of an initializer by a shape with entries that are no sizes, if it has any.

    Raises:
      TypeError: if so.
    """
    wrong = [size for size in shape if not isinstance(size, int | np.integer)]
    if wrong:
        raise TypeError(
            f"Sizes are integers, but {_layer_in_making()} got {wrong[0]!r}, a "
            f"{type(wrong[0]).__name__}, for a parameter of shape {tuple(shape)}. Give features "
            "and kernel sizes as int."
        ) from error


def _layer_in_making() -> str:
    """Name the class of the layer that makes a parameter, which may make other layers for that."""
    classes = [type(found[0]) for found in running()]
    ours = itertools.takewhile(lambda c: c.__module__.startswith("ramie.nnx.layers"), classes)
    return ([cls.__name__ for cls in (*classes[:1], *ours)] or ["the layer"])[-1]


def optional_param(
    wanted: bool,
    rngs: Rngs,
    init: Initializer,
    shape: Shape,
    dtype: Dtype,
    metadata: Mapping[str, Any],
) -> Any:
    """Make a parameter as `new_param` does if it is wanted; else what marks the attribute as data.

    Args:
      wanted: whether there is one; the attribute is None otherwise.
      rngs: see `new_param`, as all others.
      init: ...
      shape: ...
      dtype: ...
      metadata: ...
    """
    return new_param(rngs, init, shape, dtype, metadata) if wanted else data(None)


def configured(function: Any, preferred: Dtype | None) -> Any:
    """Return what a layer multiplies or convolves with; None for the function of JAX as it is.

    Args:
      function: `jax.lax.dot_general`, `jax.lax.conv_general_dilated`, or what takes their place.
      preferred: the dtype to accumulate in and to return.
    """
    function = current(function)  # the default was looked up when the class was made
    if preferred is None:
        is_usual = function is lax.dot_general or function is lax.conv_general_dilated
        return None if is_usual else function
    return functools.partial(function, preferred_element_type=preferred)


def keep(module: Module, **settings: Any) -> None:
    """Store settings of a layer as attributes, under their names."""
    for name, value in settings.items():
        setattr(module, name, value)


def raw(held: Any) -> Any:
    """Return the value of a parameter.

    Args:
      held: a variable, or what a program put in its place: None, an array, a number, an array
        reference, or any object whose value is `held[...]`.
    """
    if isinstance(held, Variable):
        return held.get_value()
    if isinstance(held, jax.Array | np.ndarray) or not hasattr(type(held), "__getitem__"):
        return held
    return held[...]


def write(module: Module, **values: Array) -> None:
    """Store new values of variables of a layer, under the names of the attributes.

    An array in the place of a variable is replaced by the new one; any other object is asked to
    take the value as `held[...]`.

    Args:
      module: the layer.
      **values: the new values.

    Raises:
      TraceContextError: under another transformation than variable or layer were made under.
    """
    for name, value in values.items():
        held = getattr(module, name)
        now = stored(held, value)
        if now is not held:
            setattr(module, name, now)


def stored(held: Any, value: Array) -> Any:
    """Store a value in what a layer holds, as `write` does; return what is to stand there now.

    Args:
      held: a variable, or what a program put in its place.
      value: the new value.
    """
    if isinstance(held, Variable):
        held.set_value(value)
    elif isinstance(held, jax.Array | np.ndarray) or not hasattr(type(held), "__setitem__"):
        return value
    else:
        held[...] = value
    return held


def of_stream(rngs: Any, name: str, layer: Module, others: str = "") -> Any:
    """Return what gives keys: a stream as it is, or the stream `name` of an `Rngs`.

    Args:
      rngs: the stream or streams.
      name: the stream to take.
      layer: whose argument `rngs` is.
      others: what else that may be, for a message.

    Raises:
      TypeError: if it is neither.
    """
    if isinstance(rngs, RngStream):
        return rngs
    if isinstance(rngs, Rngs):
        return rngs[name]
    raise TypeError(
        f"rngs must be a Rngs, RngStream{others}, but got {type(rngs)}: "
        f"{type(layer).__name__} takes nnx.Rngs(0), for example, or one of its streams."
    )
