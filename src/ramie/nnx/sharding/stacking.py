"""States of a tower of equal layers: one entry a layer, or stacked along a first axis."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from ramie.core.meta import PARTITION_NAME
from ramie.core.stacking import join_layers, part_layers
from ramie.nnx.graph.functional import merge, split
from ramie.nnx.graph.walk import iter_graph
from ramie.nnx.sharding.axes import add_axis, remove_axis
from ramie.nnx.variable.base import Variable
from ramie.trees import towers

__all__ = ["stack_layers", "stack_modules", "unstack_layers"]

A = TypeVar("A")


def _is_leaf(x: Any) -> bool:
    return isinstance(x, Variable)


def stack_layers(tree: A, name: str = "layers", *, partition_name: str | None = None) -> A:
    """Stack the variables of the layers in a list called ``layers``.

    So the state of `nnx.Repeat` with ``scan=False`` becomes that with ``scan=True``, bit for bit.
    Everything else in the tree stays as it is.

    Args:
      tree: a state, pure or with variables, of a model or of an optimizer; or any pytree that holds
        such. Entries ``layers_0``, ``layers_1`` and so on are layers, too.
      name: what the layers are called; ``encoder/layers`` takes only those below ``encoder``.
      partition_name: what the metadata of variables call the new axis.

    Returns:
      A tree of the same classes, with variables of its own where layers were stacked.

    Raises:
      ValueError: if there are no such layers, if one is missing, if they differ in structure,
        metadata, shapes or dtypes, or if the name is taken.

    Example:
      >>> from functools import partial
      >>> from ramie import nnx
      >>> block = partial(nnx.Linear, 4, 4)
      >>> tower = nnx.Repeat(block, 3, rngs=nnx.Rngs(0))
      >>> scanned = nnx.Repeat(block, 3, rngs=nnx.Rngs(1), scan=True)
      >>> nnx.update(scanned, nnx.stack_layers(nnx.state(tower)))
      >>> bool((scanned.layers.kernel[2] == tower.layers[2].kernel[...]).all())
      True
    """
    told = {PARTITION_NAME: partition_name}

    def join(layers: Sequence[Any], places: Sequence[str]) -> Any:
        return join_layers(layers, places, lambda made: add_axis(made, 0, told))

    made: A = towers.stack(tree, name, join, _is_leaf)
    return made


def unstack_layers(tree: A, name: str = "layers", *, partition_name: str | None = None) -> A:
    """Divide the entry ``layers`` into one for each layer, below numbers: `stack_layers` undone.

    Args:
      tree: a state, or any pytree that holds such an entry.
      name: what the layers are called; ``encoder/layers`` takes only those below ``encoder``.
      partition_name: what the metadata of variables call the axis.

    Raises:
      ValueError: if there is no such entry, if its arrays have first axes of several lengths or
        none, or if the axis has another name.

    Example:
      >>> from functools import partial
      >>> from ramie import nnx
      >>> scanned = nnx.Repeat(partial(nnx.Linear, 4, 4), 3, rngs=nnx.Rngs(0), scan=True)
      >>> state = nnx.unstack_layers(nnx.state(scanned))
      >>> list(state.layers), state.layers[2].kernel.shape
      ([0, 1, 2], (4, 4))
    """
    told = {PARTITION_NAME: partition_name}

    def part(stacked: Any, place: str) -> Sequence[Any]:
        return part_layers(stacked, place, lambda held: remove_axis(_copied(held), 0, told))

    made: A = towers.unstack(tree, name, part, _is_leaf, below=True)
    return made


def _copied(tree: Any) -> Any:
    """Return a tree of other variables: those of the caller keep their metadata."""
    return jax.tree.map(lambda x: x, tree)


def stack_modules(layers: list[Any], partition_name: str | None) -> Any:
    """Make one module of several equal ones, whose variables have a first axis for them.

    Args:
      layers: the modules of a `Repeat`; the list is emptied, so that their arrays can go.
      partition_name: what the metadata of variables call the new axis.

    Raises:
      ValueError: if they differ, or share variables.
    """
    _refuse_shared(layers)
    graphdef: Any = None
    flat: list[list[Any]] = []
    trees: list[Any] = []
    for number, layer in enumerate(layers):
        found, state = split(layer)
        graphdef = found if number == 0 else graphdef
        leaves, tree = jax.tree_util.tree_flatten(state)
        flat.append(leaves)
        trees.append(tree)
        if found != graphdef or tree != trees[0]:
            raise ValueError(
                f"The layers 0 and {number} of nnx.Repeat differ in structure, static attributes "
                "or metadata, and a scan runs equal ones. Build them alike, or set scan=False."
            )
    layers.clear()  # of each array the parts go as soon as they are stacked
    values = []
    for place in range(len(flat[0])):
        parts = [leaves[place] for leaves in flat]
        kinds = {(jnp.shape(x), jnp.result_type(x)) for x in parts}
        if len(kinds) > 1:
            raise ValueError(
                f"The layers of nnx.Repeat have arrays of several kinds in one place, "
                f"{sorted(map(str, kinds))}, and a scan runs equal ones. Build them alike, or set "
                "scan=False."
            )
        values.append(jnp.stack(parts))
        for leaves in flat:
            leaves[place] = None
    state = jax.tree_util.tree_unflatten(trees[0], values)
    return merge(graphdef, add_axis(state, 0, {PARTITION_NAME: partition_name}))


def _refuse_shared(layers: list[Any]) -> None:
    owners: dict[int, int] = {}
    for number, layer in enumerate(layers):
        for path, node in iter_graph(layer):
            if isinstance(node, Variable) and owners.setdefault(id(node), number) != number:
                raise ValueError(
                    f"The layers {owners[id(node)]} and {number} of nnx.Repeat share the "
                    f"{type(node).__name__} at {'/'.join(map(str, path))}; in a scan each has its "
                    "own. Make it inside of the layer, pass its value to the call, or set "
                    "scan=False."
                )
