"""Adapters beside the layers of a model that is there: put in, taken out, merged.

Hu et al., *LoRA: Low-Rank Adaptation of Large Language Models*, 2021.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ramie import nnx


def linear_layers(model: nnx.Module) -> dict[str, nnx.Linear]:
    """Return the layers that can have an adapter, by their paths, such as ``layers/gate``.

    The layers of a scan are one layer here, whose kernel has a first axis for them.
    """
    found = {}
    for path, part in nnx.iter_graph(model):
        if isinstance(part, nnx.Linear):
            found["/".join(map(str, path))] = part
    return found


def chosen(model: nnx.Module, names: list[str]) -> dict[str, nnx.Linear]:
    """Return the layers whose paths hold one of the names as a part.

    Args:
      model: the model; shapes are enough.
      names: such as ``attention`` or ``head``.

    Raises:
      ValueError: a name that matches no layer, or none at all.
    """
    layers = linear_layers(model)
    known = sorted({part for path in layers for part in path.split("/")})
    for name in names or [""]:
        if name not in known:
            raise ValueError(
                f"where: {name!r} is in the path of no layer; take {', '.join(known)}."
            )
    return {path: x for path, x in layers.items() if not set(names).isdisjoint(path.split("/"))}


def check_rank(layers: dict[str, nnx.Linear], rank: int) -> None:
    """Refuse a rank that is no less than that of the layer itself."""
    for path, layer in layers.items():
        most = min(layer.in_features, layer.out_features)
        if rank >= most:
            raise ValueError(
                f"rank is {rank}; it has to be below {most}, the rank of {path} itself "
                f"({layer.in_features} to {layer.out_features} features)."
            )


def adapter(layer: nnx.Linear, rank: int, rngs: nnx.Rngs) -> nnx.LoRA:
    """Put an adapter around a layer; as its second matrix is zero, it computes what it did before.

    Args:
      layer: whose kernel may have axes in front, for the layers of a scan.
      rank: numbers between the two matrices.
      rngs: for the first one.
    """
    make: Callable[[nnx.Rngs], nnx.LoRA] = lambda rngs: nnx.LoRA(
        layer.in_features, rank, layer.out_features, rngs=rngs
    )
    for length in layer.kernel.shape[:-2]:
        make = nnx.split_rngs(splits=length)(nnx.vmap(make))
    found = make(rngs)
    found.base_module = nnx.data(layer)
    return found


def added(model: Any, names: list[str], rank: int, rngs: nnx.Rngs) -> Any:
    """Return the model with adapters around the layers that are named; the arrays are the same.

    Args:
      model: stays as it is.
      names: as for `chosen`.
      rank: of each adapter.
      rngs: for their first values.
    """
    layers = chosen(model, names)
    check_rank(layers, rank)

    def wrapped(path: tuple[Any, ...], part: Any) -> Any:
        if "/".join(map(str, path)) not in layers:
            return part
        return adapter(part, rank, rngs)

    return nnx.recursive_map(wrapped, model)


def merged(model: Any) -> Any:
    """Return the plain model that computes the same: each product is added to its kernel.

    Args:
      model: with adapters; stays as it is.
    """

    def plain(path: tuple[Any, ...], part: Any) -> Any:
        if not isinstance(part, nnx.LoRA):
            return part
        layer = part.base_module
        a, b = part.lora_a[...], part.lora_b[...]  # of a scan with an axis for its layers in front
        layer.kernel[...] += jnp.matmul(a, b, precision="highest")
        return layer

    return nnx.recursive_map(plain, nnx.clone(model))


def count(tree: Any) -> int:
    """Return how many numbers a state holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
