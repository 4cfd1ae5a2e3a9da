"""A tower of equal layers, as a list or stacked for one loop."""

from collections.abc import Callable, Iterator
from typing import Any

import jax

from ramie.core.lift.repeating import (
    check_carried,
    check_settings,
    check_whole,
    divided,
    split_arguments,
    stacked,
)
from ramie.core.meta import PARTITION_NAME
from ramie.nnx.graph.walk import iter_graph
from ramie.nnx.modules.containers import List
from ramie.nnx.modules.module import Module
from ramie.nnx.randomness.rng import Rngs
from ramie.nnx.sharding.stacking import refuse_boxes, stack_modules
from ramie.nnx.transforms.autodiff.rematerialization import remat as nnx_remat
from ramie.nnx.transforms.iteration.axes import Carry
from ramie.nnx.transforms.iteration.scanning import scan as nnx_scan
from ramie.nnx.variable.base import Variable

__all__ = ["Repeat"]

# In tree mode, too, what layers sow comes out: a call of the tower is one call for its user.
_UPDATES: dict[str, Any] = {"graph": True, "graph_updates": True}


class Repeat(Module):
    """Call `length` layers of one kind one after another: in a loop of Python, or in one scan.

    Both forms compute the same from the same keys: the i-th layer begins with the same values, bit
    for bit, and draws the same numbers; what it computes differs by rounding at most. The attribute
    `layers` is a list of layers, or for a scan one layer whose variables have a first axis for the
    layers; the scan is traced and compiled once for all of them. `stack_layers` and
    `unstack_layers` turn a state of one form into that of the other.

    The first `carried` positional arguments go from layer to layer: a layer returns what the next
    one gets (a tuple if there are several). All others, and keyword arguments, reach each layer as
    they are; numbers, strings and booleans are static, and modules are not among them.

    Args:
      block: makes a layer, called as ``block(rngs=rngs)``: a class, a `functools.partial` of one,
        or any function.
      length: the number of layers.
      rngs: from each of its streams one key is drawn for all layers.
      scan: whether to run them as one `jax.lax.scan`. Then each has to return its carried arguments
        in the shapes, dtypes and shardings in which they came.
      remat: whether to recompute each layer in the backward pass instead of storing what is inside.
      policy: what to store after all, with `remat`; from `jax.checkpoint_policies`.
      unroll: how many layers one iteration of the scan runs.
      carried: the number of arguments that are carried.
      has_aux: whether a layer returns a pair, what is carried and an output of its own.
      partition_name: what the metadata of sharded variables calls the axis of a scan. If it is, or
        logical axis rules make it, an automatic axis of the mesh around, layers are divided over
        it. Over an explicit one `jax.lax.scan` takes none, so each device then holds all layers.

    Raises:
      ValueError: if a number is below 1, if `policy` is given without `remat`, if the layers
        for a scan differ, share variables or have some in boxes, or cannot be divided over the
        mesh axis `partition_name`.

    Example:
      >>> import jax.numpy as jnp
      >>> from functools import partial
      >>> from ramie import nnx
      >>> tower = nnx.Repeat(partial(nnx.Linear, 4, 4), 3, rngs=nnx.Rngs(0), scan=True)
      >>> tower.layers.kernel.shape, tower(jnp.ones((2, 4))).shape
      ((3, 4, 4), (2, 4))
    """

    def __init__(
        self,
        block: Callable[..., Any],
        length: int,
        *,
        rngs: Rngs,
        scan: bool = False,
        remat: bool = False,
        policy: Callable[..., Any] | None = None,
        unroll: int = 1,
        carried: int = 1,
        has_aux: bool = False,
        partition_name: str | None = None,
    ) -> None:
        if not callable(block) or isinstance(block, Module):
            raise TypeError(
                "nnx.Repeat makes its layers: give it a class of modules, or a functools.partial "
                "of one, such as nnx.Repeat(partial(nnx.Linear, 8, 8), 3, rngs=rngs), not a "
                f"{type(block).__name__}."
            )
        check_settings("nnx.Repeat", policy, remat, length=length, unroll=unroll, carried=carried)
        layers = [block(rngs=of_layer) for of_layer in _split_streams(rngs, length)]
        self.layers: Any = stack_modules(layers, partition_name) if scan else List(layers)
        self.length = length
        self.scan = scan
        self.remat = remat
        self.policy = policy
        self.unroll = unroll
        self.carried = carried
        self.has_aux = has_aux
        self.partition_name = partition_name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run all layers.

        Args:
          *args: what is carried, then what each layer gets as it is.
          **kwargs: what each layer gets as it is.

        Returns:
          What the last layer handed on; with `has_aux` a pair, the second of which holds the
          outputs of all layers, stacked along a new first axis.

        Raises:
          TypeError: if there are fewer arguments than are carried, or a layer returns something
            else than it should.
          ValueError: if the layers of a scan are divided over an explicit axis of the mesh, or
            variables are in boxes, with `scan` or `remat`.
        """
        carry, others = split_arguments(args, self.carried, "nnx.Repeat")

        def step(layer: Any, carry: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
            y = layer(*carry, *others, **kwargs)
            name = type(layer).__name__
            following, aux = divided(y, self.carried, self.has_aux, name)
            if self.scan:
                check_carried(carry, following, f"{name} in nnx.Repeat")
            return following, aux

        run: Any = step
        if self.scan or self.remat:
            refuse_boxes(self.layers, "scan=True" if self.scan else "remat=True")
        if self.remat:
            # In a scan there is nothing that the compiler could join the recomputation with.
            run = nnx_remat(step, policy=self.policy, prevent_cse=not self.scan, **_UPDATES)
        carry, aux = (self._scanned if self.scan else self._written_out)(run, carry)
        result = carry[0] if self.carried == 1 else carry
        return (result, aux) if self.has_aux else result

    def _written_out(self, step: Callable[..., Any], carry: tuple[Any, ...]) -> tuple[Any, Any]:
        outputs = []
        for layer in self.layers:
            carry, aux = step(layer, carry)
            outputs.append(aux)
        return carry, stacked(*outputs)

    def _scanned(self, step: Callable[..., Any], carry: tuple[Any, ...]) -> tuple[Any, Any]:
        check_whole(_named_values(self.layers), "nnx.Repeat")
        run = nnx_scan(
            step,
            in_axes=(0, Carry),
            out_axes=(Carry, 0),
            length=self.length,
            unroll=self.unroll,
            transform_metadata={PARTITION_NAME: self.partition_name},
            **_UPDATES,
        )
        result: tuple[Any, Any] = run(self.layers, carry)
        return result


def _named_values(layers: Any) -> Iterator[tuple[str, Any]]:
    """List the values of variables, with their paths."""
    for path, node in iter_graph(layers):
        if isinstance(node, Variable):
            yield "/".join(map(str, ("layers", *path))), node._raw_value


def _split_streams(rngs: Rngs, count: int) -> list[Rngs]:
    """Give each layer streams of its own, which do not depend on how the layers are held."""
    keys = {name: list(jax.random.split(stream(), count)) for name, stream in rngs.items()}
    return [Rngs({name: of_stream[i] for name, of_stream in keys.items()}) for i in range(count)]
