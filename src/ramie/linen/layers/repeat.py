"""A tower of equal layers, written out or as one loop."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ramie.core.lift.repeating import (
    begin_layer,
    check_carried,
    check_settings,
    check_whole,
    divided,
    draw_streams,
    split_arguments,
    split_streams,
    stacked,
)
from ramie.core.meta import PARTITION_NAME
from ramie.linen.layers.linear import place
from ramie.linen.machinery.adopt import map_modules
from ramie.linen.module import Module, compact, nowrap
from ramie.linen.transforms.compilation import remat as lift_remat
from ramie.linen.transforms.mapping import scan as lift_scan

__all__ = ["Repeat"]


class Repeat(Module):
    """Call `length` layers of one kind one after another: in a loop of Python, or in one scan.

    Both forms compute the same from the same keys: the i-th layer begins with the same values, bit
    for bit (but for rounding in orthogonal matrices that are made outside of `jit`), and draws the
    same numbers; what it computes differs by rounding at most. In a loop of Python the layers are
    called ``layers_0``, ``layers_1`` and so on. A scan has one set of variables called ``layers``,
    each with a first axis for the layers; it is traced and compiled once for all of them.
    `stack_layers` and `unstack_layers` turn variables of one form into those of the other.

    The first `carried` positional arguments go from layer to layer: a layer returns what the next
    one gets (a tuple if there are several). All others, and keyword arguments, reach each layer as
    they are; numbers, strings and booleans are static.

    Attributes:
      block: a module class, or a `functools.partial` of one. Modules among its fields are made anew
        for each layer.
      length: the number of layers.
      scan: whether to run them as one `jax.lax.scan`. Then each has to return its carried arguments
        in the shapes, dtypes and shardings in which they came.
      remat: whether to recompute each layer in the backward pass instead of storing what is inside.
      policy: what to store after all, with `remat`; from `jax.checkpoint_policies`.
      unroll: how many layers one iteration of the scan runs.
      carried: the number of arguments that are carried.
      has_aux: whether a layer returns a pair, what is carried and an output of its own.
      partition_name: what the boxes of partitioned variables call the axis of a scan. That axis can
        be divided over an automatic axis of a mesh; over an explicit one `jax.lax.scan` takes none.

    Example:
      >>> import jax, jax.numpy as jnp, ramie.linen as nn
      >>> from functools import partial
      >>> x = jnp.ones((2, 4))
      >>> tower = nn.Repeat(partial(nn.Dense, 4), 3)
      >>> variables = tower.init(jax.random.key(0), x)
      >>> sorted(variables["params"])
      ['layers_0', 'layers_1', 'layers_2']
      >>> scanned = tower.clone(scan=True)
      >>> stacked = nn.stack_layers(variables)
      >>> stacked["params"]["layers"]["kernel"].shape, scanned.apply(stacked, x).shape
      ((3, 4, 4), (2, 4))
    """

    block: Callable[..., Module]
    length: int
    scan: bool = False
    remat: bool = False
    policy: Callable[..., Any] | None = None
    unroll: int = 1
    carried: int = 1
    has_aux: bool = False
    partition_name: str | None = None

    def __post_init__(self) -> None:
        """Refuse settings that make no tower.

        Raises:
          TypeError: if `block` is a module or something else that is no class.
          ValueError: if a number is below 1, or `policy` is given without `remat`.
        """
        made = self.block.func if isinstance(self.block, partial) else self.block
        if not (isinstance(made, type) and issubclass(made, Module)):
            found = f"a {type(made).__name__}" if isinstance(made, Module) else repr(made)
            raise TypeError(
                f"nn.Repeat makes its layers: give it a module class, or a functools.partial of "
                f"one, such as nn.Repeat(partial(nn.Dense, 8), 3), not {found}."
            )
        numbers = {name: getattr(self, name) for name in ("length", "unroll", "carried")}
        check_settings("nn.Repeat", self.policy, self.remat, **numbers)
        super().__post_init__()

    @compact
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
          ValueError: if the layers of a scan are divided over an explicit axis of the mesh.
        """
        carry, others = split_arguments(args, self.carried, place(self))

        @nowrap  # in tables and among captured values there are only calls of layers
        def step(layer: Module, carry: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
            begin_layer(layer.__dict__["scope"])
            y = layer(*carry, *others, **kwargs)  # type: ignore[operator]
            following, aux = divided(y, self.carried, self.has_aux, place(layer))
            if self.scan:
                check_carried(carry, following, place(layer))
            return following, aux

        if self.remat:
            # In a scan there is nothing that the compiler could join the recomputation with.
            step = lift_remat(step, policy=self.policy, prevent_cse=not self.scan)
        run = self._scanned if self.scan else self._written_out
        carry, aux = run(step, carry)
        result = carry[0] if self.carried == 1 else carry
        return (result, aux) if self.has_aux else result

    @nowrap
    def _layer(self, name: str) -> Module:
        return _anew(self.block(parent=None), {}).clone(parent=self, name=name)

    @nowrap
    def _written_out(self, step: Callable[..., Any], carry: tuple[Any, ...]) -> tuple[Any, Any]:
        outputs = []
        streams = split_streams(draw_streams(self.__dict__["scope"]), self.length)
        for i, of_layer in enumerate(streams):
            layer = self._layer(f"layers_{i}")
            begin_layer(layer.__dict__["scope"], of_layer)
            carry, aux = step(layer, carry)
            outputs.append(aux)
        return carry, stacked(*outputs)

    @nowrap
    def _scanned(self, step: Callable[..., Any], carry: tuple[Any, ...]) -> tuple[Any, Any]:
        scope = self.__dict__["scope"]
        held = scope.variables().items()
        check_whole(((f"{col}/layers", x.get("layers", {})) for col, x in held), place(self))
        streams = draw_streams(scope)
        layer = self._layer("layers")
        begin_layer(layer.__dict__["scope"], streams)
        run = lift_scan(
            step,
            variable_axes={True: 0},
            split_rngs={True: True},
            length=self.length,
            unroll=self.unroll,
            metadata_params={PARTITION_NAME: self.partition_name},
            check_constancy_invariants=False,  # nothing is shared, and one trace is enough
        )
        result: tuple[Any, Any] = run(layer, carry)
        return result


def _anew(module: Any, memo: dict[int, Any]) -> Any:
    """Copy a module with those in its fields, which else all layers would share.

    Modules that have a place already stay the ones they are.
    """
    if module.scope is not None or module.parent is not None:
        return module
    if id(module) not in memo:
        fields = {
            name: map_modules(module.__dict__[name], lambda inner, _: _anew(inner, memo))
            for name in module._plan.init_fields
            if name in module.__dict__ and name not in ("name", "parent")
        }
        others = {n: x for n, x in fields.items() if x is not module.__dict__[n]}
        memo[id(module)] = module.clone(name=module.name, **others), module
    return memo[id(module)][0]
