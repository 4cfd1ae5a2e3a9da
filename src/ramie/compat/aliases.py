"""Which Ramie module answers to which Flax path.

One rule covers everything below `flax`: `flax.a.b` is `ramie.a.b`, where `compat/paths` answers to
what is no room of ours. The table holds what must differ, and the other package; an entry also
carries every path beneath it.
"""

ROOTS = ("flax", "flax_extra")

ALIASES: dict[str, str] = {
    "flax.optim": "ramie.compat.optim",
    "flax.version": "ramie.compat.version",
    "flax_extra.checkpoint": "ramie.checkpoint",
    "flax_extra.checkpoint._best_checkpoint_file_reader": "ramie.checkpoint.summaries.best",
    "flax_extra.checkpoint._best_checkpoint_file_writer": "ramie.checkpoint.summaries.best",
    "flax_extra.checkpoint._checkpoint": "ramie.checkpoint.summaries.summary",
    "flax_extra.checkpoint._checkpoint_file": "ramie.checkpoint.summaries.files",
    "flax_extra.checkpoint._checkpoint_file_reader": "ramie.checkpoint.summaries.files",
    "flax_extra.checkpoint._checkpoint_file_writer": "ramie.checkpoint.summaries.files",
    "flax_extra.checkpoint._summary": "ramie.checkpoint.summaries.summary",
    "flax_extra.checkpoint._summary_logger": "ramie.checkpoint.summaries.summary",
    "flax_extra.checkpoint._summary_writer": "ramie.checkpoint.summaries.summary",
}


def is_aliased(name: str) -> bool:
    """Tell whether a dotted module name belongs to the packages that are aliased.

    Example:
        >>> is_aliased("flax.linen"), is_aliased("flaxlib"), is_aliased("ramie.linen")
        (True, False, False)
    """
    return name.partition(".")[0] in ROOTS


def target_of(name: str) -> str | None:
    """Return the Ramie module behind a Flax path, or None for the package roots.

    The roots have no counterpart: `flax.__version__` and `ramie.__version__` differ, so each root
    is a small namespace (see `ramie.compat.namespace`) and everything below it is shared.

    Args:
        name: a dotted path that starts with one of `ROOTS`.

    Returns:
        The dotted path to import instead; it need not exist.

    Example:
        >>> target_of("flax.linen.linear"), target_of("flax.core.frozen_dict")
        ('ramie.linen.linear', 'ramie.core.frozen_dict')
    """
    if name in ROOTS:
        return None
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        known = ALIASES.get(".".join(parts[:length]))
        if known is not None:
            return ".".join([known, *parts[length:]])
    if parts[0] == "flax":
        return ".".join(["ramie", *parts[1:]])
    return ".".join(["ramie", "compat", *parts])
