"""Rngs: named streams of random keys, as part of a model."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.randomness.draws import Draws
from ramie.nnx.states.filters import Filter, to_predicate
from ramie.nnx.variable.base import A, Variable
from ramie.ops.drawing.sampling import filled
from ramie.typing import PRNGKey

__all__ = ["RngCount", "RngKey", "RngState", "RngStream", "Rngs"]

Shape: TypeAlias = int | tuple[int, ...]
Pattern: TypeAlias = Shape | Mapping[Filter, Shape | None] | None


class RngState(Variable[A]):
    """State of a random stream. The metadata entry `tag` is the name of the stream."""

    __slots__ = ()


class RngKey(RngState[A]):
    """The key of a random stream."""

    __slots__ = ()


class RngCount(RngState[A]):
    """How many keys a random stream has given."""

    __slots__ = ()


def _as_key(value: Any) -> PRNGKey:
    """Return a typed key for a seed or a key of either kind."""
    if isinstance(value, int):
        return jax.random.key(value)
    if isinstance(value, jax.Array):
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            return value
        if value.ndim and value.dtype == jnp.uint32:
            return jax.random.wrap_key_data(value)
    raise ValueError(
        f"Invalid rng value: {value}, expected a jax.Array of jax.dtypes.prng_key sub-dtype: an "
        "integer as a seed, or a key of jax.random.key."
    )


@jax.jit
def _next(key: PRNGKey, count: Any) -> tuple[PRNGKey, Any]:
    """Derive the key number `count`, and count on: one program for both."""
    return jax.random.fold_in(key, count), count + 1


@jax.jit
def _counted_on(count: Any) -> Any:
    return count + 1


def _sized(shape: Shape) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


class RngStream(Draws, Pytree):
    """A stream of random keys: calling it gives the next one, ``fold_in(key, count)``.

    Args:
      key: the key of the stream, or an integer as a seed.
      tag: the name of the stream; a filter that is this string takes its state.

    Example:
        >>> from ramie import nnx
        >>> stream = nnx.RngStream(0, tag="dropout")
        >>> first, second = stream(), stream()
        >>> int(stream.count[...])
        2
    """

    tag: str
    key: RngKey[PRNGKey]
    count: RngCount[jax.Array]

    def __init__(self, key: PRNGKey | int, *, tag: str) -> None:
        typed = _as_key(key)
        self.tag = tag
        self.key = RngKey(typed, tag=tag)
        self.count = RngCount(filled(typed.shape, 0, jnp.uint32), tag=tag)

    def __call__(self) -> PRNGKey:
        """Return the next key.

        Raises:
          TraceContextError: under another JAX transformation than the stream was made under.
          ValueError: if this is several streams, as `split` makes them; use it under `vmap`.
        """
        self.count._check_can_update()
        root, count = self.key.get_value(), self.count.get_value()
        if root.shape:
            raise ValueError(
                f"The stream {self.tag!r} is {root.shape} streams side by side, and gives keys "
                "only inside of a function over one of them, such as jax.vmap runs."
            )
        key, following = _next(root, count)
        self.count.set_value(following)
        return key

    def _skip(self) -> None:
        """Count the next key without deriving it, for callers that would not read it."""
        if self.key.get_value().shape:
            self()  # which says why that is not possible
        self.count._check_can_update()
        self.count.set_value(_counted_on(self.count.get_value()))

    def fork(self, *, split: Shape | None = None) -> "RngStream":
        """Return an independent stream; this one counts on by one.

        Args:
          split: return so many streams side by side, as one object.
        """
        key = self()
        return type(self)(key if split is None else jax.random.split(key, split), tag=self.tag)

    def split(self, k: Shape) -> "RngStream":
        """Return several independent streams side by side, as one object.

        Args:
          k: how many, as a number or a shape.
        """
        return self.fork(split=k)

    def broadcast(self, k: Shape) -> "RngStream":
        """Return an independent stream several times side by side, as one object.

        Args:
          k: how often, as a number or a shape.
        """
        return type(self)(jnp.broadcast_to(self(), _sized(k)), tag=self.tag)

    def _itself(self) -> "RngStream":
        return self


class Rngs(Draws, Pytree):
    """Named streams of random keys: ``rngs.params()`` gives the next key of the stream `params`.

    A name without a stream is answered by the stream `default`; calling the object itself asks
    that one, too, and so do its samplers.

    Args:
      default: the seed or key of the stream `default`; or a mapping of names to seeds or keys.
      **rngs: seeds or keys by name. A stream becomes part of this object as it is, and goes on; its
        tag stays.

    Example:
        >>> from ramie import nnx
        >>> rngs = nnx.Rngs(0, params=1)
        >>> key, noise = rngs.params(), rngs.normal((3,))
        >>> int(rngs.params.count[...]), int(rngs.default.count[...])
        (1, 1)

    Differs from Flax: streams of other objects, and those that `split` and `broadcast` leave alone,
    do not start again, so that no key is drawn twice.
    """

    def __init__(self, default: Any = None, **rngs: Any) -> None:
        if isinstance(default, Mapping):
            rngs = {**default, **rngs}
        elif default is not None:
            rngs["default"] = default
        for name, value in rngs.items():
            is_stream = isinstance(value, RngStream)
            setattr(self, name, value if is_stream else RngStream(value, tag=name))

    def __call__(self) -> PRNGKey:
        """Return the next key of the stream `default`."""
        return self._stream("default", AttributeError)()

    def _stream(self, name: str, error: type[Exception]) -> RngStream:
        streams = vars(self)
        found: RngStream | None = streams.get(name, streams.get("default"))
        if found is None:
            raise error(
                f"No RngStream named {name!r} found in Rngs. There is {sorted(streams)}, and no "
                "'default'."
            )
        return found

    def __getattr__(self, name: str) -> RngStream:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._stream(name, AttributeError)

    def __getitem__(self, name: str) -> RngStream:
        return self._stream(name, KeyError)

    def __contains__(self, name: object) -> bool:
        return name in vars(self)

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self))

    def __len__(self) -> int:
        return len(vars(self))

    def items(self) -> Iterator[tuple[str, RngStream]]:
        """List names and streams."""
        return iter(vars(self).items())

    def fork(self, /, *, split: Pattern = None) -> "Rngs":
        """Return independent streams of the same names; these ones count on by one.

        Args:
          split: return so many streams side by side in place of each; or a mapping from filters
            (names, usually) to such numbers.
        """
        return self._changed(split, lambda stream, k: stream.fork(split=k), RngStream.fork)

    def split(self, k: Pattern) -> "Rngs":
        """Return several independent streams side by side in place of each.

        Args:
          k: how many, as a number or a shape; or a mapping from filters (names, usually) to such
            numbers. Streams that no filter takes are those of this object.
        """
        return self._changed(k, lambda stream, n: stream.fork(split=n), RngStream._itself)

    def broadcast(self, k: Pattern) -> "Rngs":
        """Return an independent stream several times side by side in place of each.

        Args:
          k: how often; see `split`.
        """
        return self._changed(k, RngStream.broadcast, RngStream._itself)

    def _changed(self, pattern: Pattern, change: Any, otherwise: Any) -> "Rngs":
        rules: Mapping[Any, Any] = pattern if isinstance(pattern, Mapping) else {...: pattern}
        wanted = [(to_predicate(filter), k) for filter, k in rules.items()]
        made: dict[str, RngStream] = {}
        for name, stream in vars(self).items():
            k = next((k for predicate, k in wanted if predicate((name,), stream)), None)
            made[name] = otherwise(stream) if k is None else change(stream, k)
        return type(self)._of(made)

    @classmethod
    def _of(cls, streams: Mapping[str, RngStream]) -> "Rngs":
        self = cls()
        for name, stream in streams.items():
            setattr(self, name, stream)
        return self
