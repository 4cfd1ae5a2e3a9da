"""The standard streams: any letters can be printed, and it does not matter if nobody reads."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

__all__ = ["discard_output", "tolerant_streams"]


@contextmanager
def tolerant_streams() -> Iterator[None]:
    """Print what an encoding lacks as an escape, and to nowhere where a stream is closed."""
    with ExitStack() as stack:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                setattr(sys, name, nowhere)
                stack.callback(setattr, sys, name, None)
            elif hasattr(stream, "reconfigure") and stream.errors != "backslashreplace":
                stack.callback(_set_errors, stream, stream.errors)
                stream.reconfigure(errors="backslashreplace")
        yield


def _set_errors(stream: object, errors: str) -> None:
    with suppress(OSError, ValueError):
        stream.reconfigure(errors=errors)  # type: ignore[attr-defined]


def discard_output() -> None:
    """Let what is still to be printed go nowhere, so that the interpreter ends without a word."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
