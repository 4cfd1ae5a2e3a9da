"""Which Ramie module answers to which Flax path.

One rule covers nearly everything: `flax.a.b` is `ramie.a.b`. The table below holds the paths whose
subject lives under another name here; an entry also carries every path beneath it.
"""

ROOTS = ("flax", "flax_extra")

ALIASES: dict[str, str] = {
    "flax.core.frozen_dict": "ramie.core.frozen",
    "flax.core.nn": "ramie.linen.scoped",
    "flax.core.spmd": "ramie.core.sharding",
    "flax.core.tracers": "ramie.core.trace",
    "flax.core.variables": "ramie.core.collections",
    "flax.nnx.extract": "ramie.nnx.transforms.trees",
    "flax.nnx.filterlib": "ramie.nnx.filters",
    "flax.nnx.graph": "ramie.nnx.graphlib",
    "flax.nnx.helpers": "ramie.nnx.containers",
    "flax.nnx.ids": "ramie.ids",
    "flax.nnx.nn": "ramie.nnx.layers",
    "flax.nnx.nn.activations": "ramie.nnx.activations",
    "flax.nnx.nn.initializers": "ramie.ops.initializers",
    "flax.nnx.nn.linear": "ramie.nnx.linear",
    "flax.nnx.nn.normalization": "ramie.nnx.normalization",
    "flax.nnx.nn.recurrent": "ramie.nnx.recurrent",
    "flax.nnx.object": "ramie.nnx.pytree",
    "flax.nnx.pytreelib": "ramie.nnx.pytree",
    "flax.nnx.training.ema": "ramie.nnx.ema",
    "flax.nnx.training.metrics": "ramie.nnx.metrics",
    "flax.nnx.training.optimizer": "ramie.nnx.optimizer",
    "flax.nnx.transforms.transforms": "ramie.nnx.transforms.control",
    "flax.nnx.variablelib": "ramie.nnx.variable",
    "flax.optim": "ramie.compat.optim",
    "flax.version": "ramie.compat.version",
    "flax_extra.checkpoint": "ramie.checkpoint",
    "flax_extra.checkpoint._best_checkpoint_file_reader": "ramie.checkpoint.best",
    "flax_extra.checkpoint._best_checkpoint_file_writer": "ramie.checkpoint.best",
    "flax_extra.checkpoint._checkpoint": "ramie.checkpoint.summary",
    "flax_extra.checkpoint._checkpoint_file": "ramie.checkpoint.files",
    "flax_extra.checkpoint._checkpoint_file_reader": "ramie.checkpoint.files",
    "flax_extra.checkpoint._checkpoint_file_writer": "ramie.checkpoint.files",
    "flax_extra.checkpoint._summary": "ramie.checkpoint.summary",
    "flax_extra.checkpoint._summary_logger": "ramie.checkpoint.summary",
    "flax_extra.checkpoint._summary_writer": "ramie.checkpoint.summary",
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
        ('ramie.linen.linear', 'ramie.core.frozen')
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
