"""Random keys that are derived only when somebody asks for them.

Every stream of randomness has one root key. The key for the n-th request at a place in the module
tree is `fold_in(root, h)`, where `h` is a hash of the path and of n. Walking down the tree only
appends to a tuple; the hash and the folding happen at the request.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

from ramie import errors
from ramie.core.tracing.program import NotShared
from ramie.foundation.configurations import config
from ramie.foundation.jax_versions import INLINE
from ramie.typing import PRNGKey

__all__ = [
    "KeysInside",
    "LazyRng",
    "PathWatch",
    "check_rngs",
    "fold_in_path",
    "host_key",
    "is_valid_rng",
    "key_here",
    "keys_inside",
    "path_hash",
    "see_keys",
    "watch_paths",
    "watched_paths",
]

PathPart = str | int

KeysInside: TypeAlias = tuple[Mapping[tuple[str, int], tuple[Any, Any]], ...]
"""Keys in the transformations being traced, outermost first.

By stream and identity of a key outside: that key, so that it lives as long, and the one inside.
"""

_RAW_KEY_SHAPES = frozenset({(2,), (4,)})  # threefry, and the rbg family


def _encode(part: PathPart) -> bytes:
    if isinstance(part, str):
        return part.encode("utf-8")
    if isinstance(part, int):
        return part.to_bytes((part.bit_length() + 7) // 8, "big")
    raise ValueError(
        f"A random key is derived from strings and integers, but the path holds {part!r} of type "
        f"{type(part).__name__}."
    )


def fold_in_path(rng: PRNGKey, path: Iterable[PathPart]) -> PRNGKey:
    """Derive a key from `rng` and a path.

    The first four bytes (big-endian) of the SHA-1 digest of the encoded parts are folded into the
    key. Strings are encoded as UTF-8, integers as minimal big-endian bytes. Parts are joined
    without a separator, so ``("ab", "c")`` and ``("a", "bc")`` collide, unless the flag
    `flax_fix_rng_separator` puts a zero byte before each part.

    Args:
      rng: a typed key or raw key data, shape `()` or `(2,)`.
      path: names and counters. An empty path gives back `rng`.

    Raises:
      ValueError: if a part is neither a string nor an integer.
    """
    parts = tuple(path)
    if not parts:
        return rng
    return _fold_in(rng, path_hash(parts))


class PathWatch:
    """Sees the paths of all keys that are derived while a module runs.

    Args:
      prefix: the path of the module.
      given: where the module is traced for calls at other places too, what stands for the hashes
        of paths, by the part of a path below the prefix.

    Attributes:
      below: the paths seen so far, the prefix left out.
      elsewhere: whether a path was seen that does not begin with the prefix.
      copy: the module that is traced for other places too, if it is.
      spoiled: whether it read where it is.
    """

    __slots__ = ("below", "copy", "elsewhere", "given", "outer", "prefix", "spoiled")

    def __init__(
        self, prefix: tuple[PathPart, ...], given: Mapping[Any, Any] | None = None
    ) -> None:
        self.prefix = prefix
        self.given = given
        self.below: dict[tuple[PathPart, ...], None] = {}
        self.elsewhere = False
        self.copy: Any = None
        self.spoiled = False
        self.outer: PathWatch | None = None

    def refuse(self, why: str, of: Any = None) -> None:
        """Say that what is traced for several places read something of its own place.

        Args:
          why: what it did.
          of: the module of which it read something that submodules may tell; None for any.

        Raises:
          NotShared: unless each place has its own trace.
        """
        if self.given is not None and (of is None or of is self.copy):
            self.spoiled = True  # should somebody catch the error
            raise NotShared(why)
        if self.outer is not None:
            self.outer.refuse(why, of)

    def hash_of(self, parts: tuple[PathPart, ...]) -> Any:
        """Return the hash of a path, or what stands for it."""
        length = len(self.prefix)
        below = parts[length:]
        if parts[:length] != self.prefix:
            self.elsewhere = True
        elif self.given is None:
            self.below[below] = None
        elif below in self.given:
            return self.given[below]
        if self.given is not None:
            self.refuse("draws keys that the first call did not draw")
        return _hash_for(self.outer, parts)


class _Watched(threading.local):
    by: PathWatch | None = None


_watched = _Watched()


@contextlib.contextmanager
def watch_paths(watch: PathWatch) -> Iterator[None]:
    """Let `watch` see the paths of keys for the length of a ``with`` block."""
    outer = watch.outer = _watched.by
    _watched.by = watch
    try:
        yield
    finally:
        _watched.by = outer


def watched_paths() -> PathWatch | None:
    """Return what sees the paths of keys now, if anything does."""
    return _watched.by


def path_hash(parts: tuple[PathPart, ...]) -> Any:
    """Return the number that `fold_in_path` folds into a key for a path."""
    return _hash_for(_watched.by, parts)


def _hash_for(watch: PathWatch | None, parts: tuple[PathPart, ...]) -> Any:
    return np.uint32(_path_hash(parts)) if watch is None else watch.hash_of(parts)


def _path_hash(parts: tuple[PathPart, ...]) -> int:
    separator = b"\x00" if config.flax_fix_rng_separator else b""
    digest = hashlib.sha1(b"".join([separator + _encode(part) for part in parts])).digest()
    return int.from_bytes(digest[:4], "big")


# One program for every key: tracing `fold_in` anew costs more than the hash.
_fold_in = jax.jit(jax.random.fold_in, inline=INLINE)


@jax.tree_util.register_pytree_node_class
class LazyRng:
    """A root key and the path that is still to be folded into it.

    As a pytree its only child is the key; the path is static.

    Args:
      rng: the root key.
      suffix: names and counters, outermost first.
    """

    __slots__ = ("rng", "suffix")

    rng: PRNGKey
    suffix: tuple[PathPart, ...]

    def __init__(self, rng: PRNGKey, suffix: tuple[PathPart, ...] = ()) -> None:
        self.rng = rng
        self.suffix = suffix

    @staticmethod
    def create(rng: "LazyRng | PRNGKey", *suffix: PathPart) -> "LazyRng":
        """Extend a lazy key, or start one from a plain key."""
        if isinstance(rng, LazyRng):
            return LazyRng(rng.rng, rng.suffix + suffix)
        return LazyRng(rng, suffix)

    def as_jax_rng(self) -> PRNGKey:
        """Fold the path in and return the key."""
        return fold_in_path(self.rng, self.suffix)

    def clear_suffix(self) -> "LazyRng":
        """Return a lazy key without its path: for re-rooting, not for drawing the same numbers."""
        return LazyRng(self.rng, ())

    def replace(self, **changes: Any) -> "LazyRng":
        """Return a copy with `rng`, `suffix` or both replaced."""
        return LazyRng(**{"rng": self.rng, "suffix": self.suffix, **changes})

    def tree_flatten(self) -> tuple[tuple[PRNGKey], tuple[PathPart, ...]]:
        """Split into the key and the static path."""
        return (self.rng,), self.suffix

    @classmethod
    def tree_unflatten(cls, suffix: tuple[PathPart, ...], children: tuple[PRNGKey]) -> "LazyRng":
        """Rebuild from the key and the static path."""
        return cls(children[0], suffix)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LazyRng):
            return NotImplemented
        return self.rng is other.rng and self.suffix == other.suffix

    def __hash__(self) -> int:
        return hash((id(self.rng), self.suffix))

    def __repr__(self) -> str:
        return f"LazyRng(rng={self.rng!r}, suffix={self.suffix!r})"


_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def _threefry(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    """Hash two words under a key of two words: Threefry-2x32 with 20 rounds.

    Reference: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011.
    """
    mask = 0xFFFFFFFF
    schedule = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    x, y = (counter[0] + key[0]) & mask, (counter[1] + key[1]) & mask
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            x = (x + y) & mask
            y = ((y << turn | y >> (32 - turn)) & mask) ^ x
        x = (x + schedule[(group + 1) % 3]) & mask
        y = (y + schedule[(group + 2) % 3] + group + 1) & mask
    return x, y


# In a list: no variable of a module may change often, see `ramie.core.tracing.replaced`.
_last_root: list[tuple[Any, tuple[int, int] | None]] = [(None, None)]


def _root_words(rng: Any) -> tuple[int, int] | None:
    """Return the words of a threefry key that is committed to no device."""
    known, words = _last_root[0]
    if known is rng:
        return words
    words = None
    if isinstance(rng, jax.Array) and not isinstance(rng, jax.core.Tracer):
        is_typed = jax.numpy.issubdtype(rng.dtype, jax.dtypes.prng_key)
        if is_typed:
            is_threefry = rng.shape == () and jax.random.key_impl(rng) == "threefry2x32"
        else:
            is_threefry = rng.shape == (2,) and rng.dtype == np.uint32 and _raw_is_threefry()
        if is_threefry and not rng.committed:
            data = np.asarray(jax.random.key_data(rng) if is_typed else rng)
            words = int(data[0]), int(data[1])
    _last_root[0] = (rng, words)  # one assignment: other threads see the pair or another pair
    return words


def _raw_is_threefry() -> bool:
    default: Any = jax.config.jax_default_prng_impl  # type: ignore[attr-defined]
    return bool(default == "threefry2x32")


def host_key(lazy: LazyRng) -> np.ndarray[Any, Any] | None:
    """Derive a key without JAX.

    Returns:
      The two words of the key that `LazyRng.as_jax_rng` gives; or None if that is not a threefry
      key, or is committed to a device.
    """
    words = _root_words(lazy.rng)
    if words is None:
        return None
    if lazy.suffix:
        words = _threefry(words, (0, _path_hash(lazy.suffix)))
    return np.array(words, np.uint32)


def is_valid_rng(rng: Any) -> bool:
    """Tell whether `rng` is one random key: typed, raw key data, or a `LazyRng`."""
    if isinstance(rng, LazyRng):
        return True
    if not isinstance(rng, jax.Array | np.ndarray):
        return False
    if jax.numpy.issubdtype(rng.dtype, jax.dtypes.prng_key):
        return rng.shape == ()
    return rng.dtype == np.uint32 and rng.shape in _RAW_KEY_SHAPES


def check_rngs(rngs: Any, what: str) -> None:
    """Refuse anything but a dictionary from stream names to single keys.

    Args:
      rngs: what the user gave.
      what: the sentence that says what was expected.

    Raises:
      InvalidRngError: with `what` and the first thing that is wrong.
    """
    if not isinstance(rngs, Mapping):
        raise errors.InvalidRngError(f"{what} Found {type(rngs).__name__}.")
    for name, rng in rngs.items():
        if not isinstance(name, str):
            raise errors.InvalidRngError(f"{what} Found the stream name {name!r}, not a string.")
        if not is_valid_rng(rng):
            found = f"{rng.dtype}{list(rng.shape)}" if hasattr(rng, "dtype") else repr(rng)
            raise errors.InvalidRngError(f"{what} Stream {name!r} holds {found}.")


class _Seen(threading.local):
    keys: KeysInside = ()


_seen = _Seen()


def keys_inside() -> KeysInside:
    """Return the keys in the transformations that are being traced by this thread."""
    return _seen.keys


def see_keys(keys: KeysInside) -> None:
    """Set what `keys_inside` returns."""
    _seen.keys = keys


def key_here(name: str, rng: PRNGKey) -> PRNGKey:
    """Return what the root key of a stream is inside of the transformations being traced.

    A scope that a function captures holds the key as it is outside. Drawn from that, all steps of
    a loop and all copies of a map would get the same numbers.
    """
    for keys in _seen.keys:
        found = keys.get((name, id(rng)))
        if found is not None:
            rng = found[1]
    return rng
