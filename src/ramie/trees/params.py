"""The traversal of parameters selected by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ramie.trees.nested import empty_node, flatten_dict, is_nested, unflatten_dict
from ramie.trees.traversal import Traversal

__all__ = ["ModelParamTraversal"]


class ModelParamTraversal(Traversal):
    """Selects parameters in a nested dictionary by their path.

    Paths are texts such as ``"/encoder/dense/kernel"`` and come in sorted order.

    Args:
        filter_fn: Called as ``filter_fn(path, value)``; true selects the parameter.

    Example:
        >>> biases = ModelParamTraversal(lambda path, _: path.endswith("bias"))
        >>> biases.update(lambda x: 0, {"dense": {"kernel": 1, "bias": 2}})
        {'dense': {'bias': 0, 'kernel': 1}}
    """

    def __init__(self, filter_fn: Callable[[str, Any], bool]) -> None:
        self._filter_fn = filter_fn

    def _flat(self, inputs: Any) -> list[tuple[tuple[Any, ...], Any]]:
        if not is_nested(inputs):
            raise ValueError(
                "Can only traverse a flax Model instance or a nested dict, not "
                f"{type(inputs)}. Pass variables['params'], a dict or FrozenDict."
            )
        flat = flatten_dict(inputs, keep_empty_nodes=True)
        try:
            paths = sorted(flat)
        except TypeError:  # keys of several types have no order: take the dictionary's own
            paths = list(flat)
        return [(path, flat[path]) for path in paths]

    def _selects(self, path: tuple[Any, ...], value: Any) -> bool:
        if value is empty_node:
            return False
        return self._filter_fn("/" + "/".join(str(key) for key in path), value)

    def update(self, fn: Callable[[Any], Any], inputs: Mapping[Any, Any]) -> Any:
        """Return parameters, in a dictionary of the same type, with the selected ones replaced."""
        result = unflatten_dict(
            {
                path: fn(value) if self._selects(path, value) else value
                for path, value in self._flat(inputs)
            }
        )
        return result if isinstance(inputs, dict) else type(inputs)(result)  # type: ignore[call-arg]

    def iterate(self, inputs: Mapping[Any, Any]) -> Iterator[Any]:
        """Yield the selected parameters."""
        for path, value in self._flat(inputs):
            if self._selects(path, value):
                yield value
