"""Modules that see their variables through a mapping.

What it does to variables and random streams is documented at its namesake in
`ramie.core.lift.views`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ramie.core.filters import Filter
from ramie.core.lift import views as lift
from ramie.core.lift.views import id_fn
from ramie.linen.transforms.targets import lift_target, lifted_by

__all__ = ["map_variables"]

Target = TypeVar("Target")


def map_variables(
    target: Target,
    mapped_collections: Filter = True,
    trans_in_fn: Callable[[Any], Any] = id_fn,
    trans_out_fn: Callable[[Any], Any] = id_fn,
    init: bool = False,
    mutable: bool = False,
    rngs: Filter = True,
    variables: Filter = True,
    methods: Any = None,
) -> Target:
    """Let a module see its variables through a mapping.

    Args:
      target: a module class, or a function of a module.
      mapped_collections: the collections to map.
      trans_in_fn: from a dictionary of the stored collections to the one that the module sees.
      trans_out_fn: from what the module leaves behind to what is stored.
      init: while the collections may be written, run once without the mapping to make the
        variables, store them through `trans_out_fn`, and run again.
      mutable: whether the module may write the mapped collections.
      rngs: the random streams that may be used inside.
      variables: the other collections that may be used inside.
      methods: the methods of a class to transform; by default ``__call__``.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.

    Example:
      A dense layer that computes with the signs of its weights:

      >>> import jax, ramie.linen as nn
      >>> signs = lambda variables: jax.tree.map(jax.numpy.sign, variables)
      >>> SignDense = nn.map_variables(nn.Dense, "params", signs, init=True)
      >>> y, _ = SignDense(features=3).init_with_output(jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> y.shape
      (1, 3)
    """
    options = {
        "mapped_collections": mapped_collections,
        "trans_in_fn": trans_in_fn,
        "trans_out_fn": trans_out_fn,
        "init": init,
        "mutable": mutable,
        "rngs": rngs,
        "variables": variables,
    }
    return lift_target(target, "Map_variables", partial(lifted_by, _mapped), options, methods)


def _mapped(
    fn: Callable[..., Any],
    mapped_collections: Filter = True,
    trans_in_fn: Callable[[Any], Any] = id_fn,
    trans_out_fn: Callable[[Any], Any] = id_fn,
    **options: Any,
) -> Callable[..., Any]:
    return lift.map_variables(fn, mapped_collections, trans_in_fn, trans_out_fn, **options)
