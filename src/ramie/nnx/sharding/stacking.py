"""States of a tower of equal layers: one entry a layer, or stacked along a first axis."""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

from ramie.core.meta import PARTITION_NAME
from ramie.core.stacking import join_layers, part_layers
from ramie.core.tracing.trace import is_box
from ramie.nnx.graph.functional import merge, split
from ramie.nnx.graph.walk import iter_graph
from ramie.nnx.sharding.axes import add_axis, remove_axis
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.cells import contents, is_ref
from ramie.nnx.variable.placement import initial_sharding, placed_on
from ramie.trees import towers

__all__ = ["refuse_boxes", "stack_layers", "stack_modules", "unstack_layers"]

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
        metadata, shapes or dtypes, if the name is taken, or if variables are in boxes.

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
        plain = [_read(layer, place) for layer, place in zip(layers, places, strict=True)]
        made = join_layers(plain, places, lambda made: add_axis(made, 0, told))
        return _held_like(layers[0], made)

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
        none, if the axis has another name, or if variables are in boxes.

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
        plain = _read(stacked, place)
        parts = part_layers(plain, place, lambda held: remove_axis(_copied(held), 0, told))
        return [_held_like(stacked, layer) for layer in parts]

    made: A = towers.unstack(tree, name, part, _is_leaf, below=True)
    return made


def _read(tree: Any, place: str) -> Any:
    """Return a tree of values in place of the references that they are in.

    Raises:
      ValueError: for boxes, which also hold what variable they belong to.
    """
    leaves, treedef = jax.tree.flatten(tree)
    if any(map(is_box, leaves)):
        raise ValueError(
            f"The variables at {place} are in boxes (hijax=True), which are not stacked or taken "
            "apart. Give the state without: nnx.with_vars(state, hijax=False)."
        )
    return jax.tree.unflatten(treedef, map(contents, leaves)) if any(map(is_ref, leaves)) else tree


def _held_like(before: Any, made: Any) -> Any:
    """Return a tree with new references, where there were some before."""
    old = jax.tree.leaves(before)
    if not any(map(is_ref, old)):
        return made
    new, treedef = jax.tree.flatten(made)
    pairs = zip(old, new, strict=True)
    return jax.tree.unflatten(treedef, [jax.new_ref(y) if is_ref(x) else y for x, y in pairs])


def _copied(tree: Any) -> Any:
    """Return a tree of other variables: those of the caller keep their metadata."""
    return jax.tree.map(lambda x: x, tree)


def stack_modules(layers: list[Any], partition_name: str | None) -> Any:
    """Make one module of several equal ones, whose variables have a first axis for them.

    Args:
      layers: the modules of a `Repeat`; the list is emptied, so that their arrays can go.
      partition_name: what the metadata of variables call the new axis.

    Raises:
      ValueError: if they differ, share variables or have some in boxes, or cannot be divided over
        the mesh axis of that name.
    """
    _refuse_shared(layers)
    for layer in layers:
        refuse_boxes(layer, "scan=True")
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
        is_in_ref = is_ref(flat[0][place])
        parts = [contents(x) if is_in_ref else x for x in (leaves[place] for leaves in flat)]
        kinds = {(jnp.shape(x), jnp.result_type(x)) for x in parts}
        if len(kinds) > 1:
            raise ValueError(
                f"The layers of nnx.Repeat have arrays of several kinds in one place, "
                f"{sorted(map(str, kinds))}, and a scan runs equal ones. Build them alike, or set "
                "scan=False."
            )
        stack = jnp.stack(parts)
        values.append(jax.new_ref(stack) if is_in_ref else stack)
        for leaves in flat:
            leaves[place] = None
    state = jax.tree_util.tree_unflatten(trees[0], values)
    made = merge(graphdef, add_axis(state, 0, {PARTITION_NAME: partition_name}))
    if partition_name is not None:
        _divide(made)
    return made


def _divide(tower: Any) -> None:
    """Lay variables out as their metadata says, where layers can be divided over the mesh.

    Over explicit axes they cannot: `jax.lax.scan` takes no such stacks.

    Raises:
      ValueError: if a mesh axis does not divide the number of layers.
    """
    for path, node in iter_graph(tower):
        if not isinstance(node, Variable) or not isinstance(node._raw_value, jax.Array):
            continue
        sharding = initial_sharding(node._var_metadata)
        if sharding is None or set(sharding.mesh.axis_types) != {AxisType.Auto}:
            continue
        axes = sharding.spec[0] if sharding.spec else None
        if axes is None:
            continue
        count, length = _count(sharding.mesh, axes), node._raw_value.shape[0]
        if length % count:
            raise ValueError(
                f"The {length} layers of nnx.Repeat cannot be divided over the {count} devices "
                f"along the mesh axis {axes!r}, which partition_name stands for (at "
                f"{'/'.join(map(str, path))}). Give it another name, or none, or take a length "
                f"that {count} divides."
            )
        node.set_raw_value(placed_on(node._raw_value, sharding))


def _count(mesh: Any, axes: Any) -> int:
    return math.prod(mesh.shape[axis] for axis in (axes if isinstance(axes, tuple) else (axes,)))


def refuse_boxes(tree: Any, setting: str) -> None:
    """Refuse variables in JAX's experimental boxes, for which some transformations have no rules.

    Args:
      tree: the layers of a `Repeat`.
      setting: which of its settings needs such a transformation.

    Raises:
      ValueError: if there are some.
    """
    for path, node in iter_graph(tree):
        if isinstance(node, Variable) and is_box(node._raw_value):
            raise ValueError(
                f"{setting} of nnx.Repeat takes no variables with hijax=True, of which this "
                "version of JAX makes boxes, but its layers have one at "
                f"{'/'.join(map(str, path))}. Make the tower within nnx.var_defaults(hijax=False) "
                f"(or nnx.with_vars(tower, hijax=False) of it), or leave {setting} out."
            )


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
