"""Mistakes in taking weights over from other frameworks."""

from __future__ import annotations

from collections.abc import Sequence

from ramie.errors.base import RamieError

__all__ = ["StateDictMismatchError"]


class StateDictMismatchError(RamieError, ValueError):
    """A state dict does not hold what a model needs, or holds more.

    Args:
        missing: What the model needs and the state dict lacks, one line each.
        unused: Names in the state dict that nothing in the model asks for.
        misshapen: What has another shape than the model needs, one line each.
        unfit: What cannot be converted, and why, one line each.
    """

    def __init__(
        self,
        missing: Sequence[str] = (),
        unused: Sequence[str] = (),
        misshapen: Sequence[str] = (),
        unfit: Sequence[str] = (),
    ) -> None:
        parts = ["The state dict does not fit the model."]
        for title, lines in (
            ("Missing (map a path to another name with names=)", missing),
            ("Not used (leave it out with ignore=)", unused),
            ("Of another shape", misshapen),
            ("Not to be converted", unfit),
        ):
            if lines:
                parts.append("\n  ".join([f"{title}:", *lines]))
        super().__init__("\n".join(parts))
        self.missing = tuple(missing)
        self.unused = tuple(unused)
        self.misshapen = tuple(misshapen)
        self.unfit = tuple(unfit)
