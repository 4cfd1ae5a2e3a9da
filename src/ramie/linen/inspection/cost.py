"""What a method of a module costs in floating-point operations, forward and backward."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from ramie.core.filters import Filter
from ramie.core.inspection.cost import flops, shape_of, split_arrays, split_floats
from ramie.linen.machinery.base import ModuleBase

__all__ = ["Call"]


class Call:
    """A call of a module's method, remembered by shapes so that its cost can be asked later.

    Args:
      module: an unbound module.
      method: the method, a function whose first argument is the module.
      rngs: the keys of its random streams.
      args: what it was called with; arrays may be tracers, of which shape and dtype are kept.
      kwargs: as `args`.
      mutable: the collections that the call creates and changes.
    """

    def __init__(
        self,
        module: ModuleBase,
        method: Callable[..., Any],
        rngs: Mapping[str, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        mutable: Filter,
    ) -> None:
        self._module = module
        self._options = {"method": method, "mutable": mutable}
        self._rngs = {name: shape_of(key) for name, key in rngs.items()}
        arrays, rebuild = split_arrays((args, dict(kwargs)))
        self._arrays = [shape_of(array) for array in arrays]
        self._rebuild = rebuild
        self._variables: Callable[[list[Any]], Any]

    def _init(self, rngs: Any, arrays: list[Any]) -> list[Any]:
        args, kwargs = self._rebuild(arrays)
        # Without their containers: a class of the user may refuse shapes in place of arrays.
        made, self._variables = split_arrays(
            self._module.init(rngs, *args, **self._options, **kwargs)
        )
        return made

    def _apply(self, variables: list[Any], rngs: Any, arrays: list[Any]) -> list[Any]:
        args, kwargs = self._rebuild(arrays)
        result = self._module.apply(
            self._variables(variables), *args, rngs=rngs, **self._options, **kwargs
        )
        return split_arrays(result)[0]

    def _floats_of_apply(self, variables: list[Any], rngs: Any, arrays: list[Any]) -> list[Any]:
        return split_floats(self._apply(variables, rngs, arrays))[0]

    def flops(self, backward: bool = False) -> int:
        """Count the operations.

        Args:
          backward: count the call together with its gradient with respect to all variables and
            inputs; the variables of mutable collections count as outputs too.
        """
        variables = jax.eval_shape(self._init, self._rngs, self._arrays)
        if not backward:
            return flops(self._apply, variables, self._rngs, self._arrays)

        def with_gradient(variables: list[Any], rngs: Any, arrays: list[Any], change: Any) -> Any:
            floats, rebuild = split_floats((variables, arrays))

            def forward(floats: list[Any]) -> list[Any]:
                variables, arrays = rebuild(floats)
                return self._floats_of_apply(variables, rngs, arrays)

            outputs, pull_back = jax.vjp(forward, floats)
            return outputs, pull_back(change)

        # Were they constants, additions of what comes back to a variable twice would vanish.
        change = jax.eval_shape(self._floats_of_apply, variables, self._rngs, self._arrays)
        return flops(with_gradient, variables, self._rngs, self._arrays, change)
