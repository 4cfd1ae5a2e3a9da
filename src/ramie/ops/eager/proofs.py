"""Whether a faster way gives the bits of the plain one, found out on the JAX that is there.

JAX may round differently from one version to the next, and a program that was compiled as a whole
differently from its single operations. So what runs in place of plain JAX is compared with it once,
on a few numbers, before it is used; where a bit differs it steps aside. A future JAX can then cost
speed, but no bits.

A comparison takes two programs to be compiled, a good part of a second. What it found is therefore
kept: in this process, and on disk in a file of one word, beside the programs that JAX keeps
(`jax_compilation_cache_dir`), else in the user's cache folder. The name of the file covers all that
the result may depend on: the versions of JAX and NumPy, the processor, flags of the compiler, and
the code of this folder. The flag ``ramie_keep_proofs`` turns the files off.
"""

import contextlib
import functools
import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np

from ramie.foundation.configurations import config
from ramie.typing import Shape

__all__ = ["first_equal", "forget", "numbers"]

_NONE: Final = "none"
_known: dict[str, int | None] = {}
_jax_config: Any = jax.config


def first_equal(
    name: str, plain: Callable[[], Any], ways: Sequence[Callable[[], Any]]
) -> int | None:
    """Find the first of several ways that gives the very bits of the plain one.

    Args:
      name: what is compared; calls of one name are answered by the first of them.
      plain: returns arrays as JAX computes them.
      ways: return the same arrays, if they do, at less cost.

    Returns:
      Its place in `ways`; or None if there is none, or if they could not be compared.
    """
    if name in _known:
        return _known[name]
    place = _folder()
    file = None if place is None else place / f"{_surroundings()}-{name}"
    kept = None if file is None else _read(file)
    if kept is not None and (kept == _NONE or int(kept) < len(ways)):
        found = None if kept == _NONE else int(kept)
    else:
        try:
            found = _compared(plain, ways)
        except Exception:  # whatever it is, the plain way raises it where the user can see it
            found = None
        else:
            if file is not None:
                _write(file, _NONE if found is None else str(found))
    return _known.setdefault(name, found)


def forget() -> None:
    """Forget what was found in this process; files stay."""
    _known.clear()


def numbers(shape: Shape, dtype: Any, start: int = 0) -> jax.Array:
    """Return an array of a few unremarkable numbers, for a comparison.

    Args:
      shape: its shape.
      dtype: any dtype of arrays; integers are 0, 1 and 2.
      start: tells arrays apart.
    """
    kind = np.dtype(dtype)
    steps = np.arange(start, start + int(np.prod(shape, dtype=np.int64)), dtype=np.float64)
    values: Any
    if kind.kind in "biu":
        values = steps % (2 if kind.kind == "b" else 3)
    else:
        values = 1.7 * np.sin(12.9898 * steps + 0.5)
        if kind.kind == "c":
            values = values + 1j * np.cos(7.233 * steps)
    return jax.device_put(values.astype(kind).reshape(shape))


def _compared(plain: Callable[[], Any], ways: Sequence[Callable[[], Any]]) -> int | None:
    with jax.transfer_guard("allow"), jax.log_compiles(False):
        expected = _bits(plain())
        return next((i for i, way in enumerate(ways) if _bits(way()) == expected), None)


def _bits(arrays: Any) -> list[tuple[Any, ...]]:
    return [
        (np.shape(x), np.asarray(x).dtype, getattr(x, "weak_type", False), np.asarray(x).tobytes())
        for x in jax.tree_util.tree_leaves(arrays)
    ]


def _folder() -> Path | None:
    """Return where results are kept, or None if nowhere."""
    if not config.ramie_keep_proofs:
        return None
    programs = _jax_config.jax_compilation_cache_dir
    if programs:
        return None if "://" in programs else Path(programs) / "ramie-proofs"
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        # A relative path is to be ignored, says the XDG Base Directory Specification.
        caches = chosen if chosen.is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # there is no home
        return None
    return caches / "ramie" / "proofs" if len(caches.parts) > 2 else None  # no home: "/.cache"


@functools.cache
def _surroundings() -> str:
    """Return a short name for all that the bits of a program may depend on."""
    compiler: Any = jax.lib  # its version is public, but not declared
    parts: list[Any] = [jax.__version__, compiler.__version__, np.__version__]
    parts += [sys.platform, platform.machine(), _processor(), os.environ.get("XLA_FLAGS", "")]
    parts.append(_jax_config.jax_default_matmul_precision)
    with contextlib.suppress(OSError):  # the code may come out of an archive
        ops = Path(__file__).parents[1]
        for file in sorted(ops.rglob("*.py")):
            found = file.stat()
            parts += [file.relative_to(ops).as_posix(), found.st_size, found.st_mtime_ns]
    return hashlib.sha1(repr(parts).encode(), usedforsecurity=False).hexdigest()[:20]


def _processor() -> str:
    """Return what tells instruction sets apart, where the system says it."""
    try:
        # The first processor is all that is needed, and the whole file is slow to make.
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            lines = file.read(4096).decode("ascii", "replace").splitlines()
    except OSError:
        return platform.processor()
    return "".join(x for x in lines if x.startswith(("model name", "flags", "Features", "CPU ")))


def _read(file: Path) -> str | None:
    """Return what a file holds, if that is a result."""
    try:
        with open(file, "rb") as stream:
            text = stream.read(16).decode("ascii", "replace")
    except OSError:
        return None
    return text if text == _NONE or (text.isascii() and text.isdigit()) else None


def _write(file: Path, text: str) -> None:
    """Keep a result; where that is not possible, the next process compares again."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".")
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(text)
            os.replace(temporary, file)
        except OSError:
            os.unlink(temporary)
