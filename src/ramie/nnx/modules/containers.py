"""Containers that are modules: List, Dict, Sequential."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence
from typing import Any, Generic, TypeVar

from ramie.nnx.modules.module import Module
from ramie.nnx.modules.sowing import ATTRIBUTE
from ramie.nnx.objects.marks import Mark
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.printing.text import Parts

__all__ = ["Dict", "List", "Sequential"]

A = TypeVar("A")


class List(Module, MutableSequence[A], Generic[A]):
    """A list of modules, variables, arrays and static values.

    Args:
      it: the elements.

    Example:
        >>> from ramie import nnx
        >>> rngs = nnx.Rngs(0)
        >>> layers = nnx.List(nnx.Linear(2, 2, rngs=rngs) for _ in range(3))
        >>> len(layers), nnx.state(layers).flat_state().paths[-1]
        (3, (2, 'kernel'))
    """

    _pytree__as_index = True

    def __init__(self, it: Iterable[A] | None = None, /) -> None:
        for value in () if it is None else it:
            self.append(value)

    def _place(self, index: int) -> str:
        length = len(self)
        place = index + length if index < 0 else index
        if not 0 <= place < length:
            raise IndexError(f"Index out of bounds: {index}, for a List of {length} elements.")
        return str(place)

    def _items(self) -> list[Any]:
        """List the elements, each marked with its status."""
        attributes, status = vars(self), self._pytree__status
        return [Mark(attributes[name], status[name]) for name in map(str, range(len(self)))]

    def _replace_items(self, items: Iterable[Any]) -> None:
        for index in reversed(range(len(self))):
            delattr(self, str(index))
        for item in items:
            self.append(item)

    def __len__(self) -> int:
        names = vars(self)
        if not names or str(len(names) - 1) in names:
            return len(names)
        return sum(map(str.isdecimal, names))  # there are other attributes besides the elements

    def __iter__(self) -> Iterator[A]:
        index = 0
        while str(index) in vars(self):
            yield vars(self)[str(index)]
            index += 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(self)[index]
        return vars(self)[self._place(index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            items = self._items()
            items[index] = value
            self._replace_items(items)
        else:
            setattr(self, self._place(index), value)

    def __delitem__(self, index: Any) -> None:
        items = self._items()
        del items[index]
        self._replace_items(items)

    def insert(self, index: int, value: A) -> None:
        """Put an element before the one at `index`."""
        items: list[Any] = self._items()
        items.insert(index, value)
        self._replace_items(items)

    def append(self, value: A) -> None:
        """Put an element at the end."""
        setattr(self, str(len(self)), value)

    def reverse(self) -> None:
        """Turn the order around."""
        self._replace_items(reversed(self._items()))

    def _nnx_parts(self) -> Parts:
        return f"{type(self).__name__}([", [("", value) for value in self], "])"


class Dict(Module, MutableMapping[str, A], Generic[A]):
    """A dictionary of modules, variables, arrays and static values; names are attributes, too.

    Args:
      mapping: the entries, or pairs.
      **kwargs: more entries.

    Example:
        >>> from ramie import nnx
        >>> heads = nnx.Dict(left=nnx.Param(1), right=nnx.Param(2))
        >>> heads["left"] is heads.left, sorted(heads)
        (True, ['left', 'right'])
    """

    def __init__(
        self, mapping: Mapping[str, A] | Iterable[tuple[str, A]] = (), /, **kwargs: A
    ) -> None:
        for name, value in dict(mapping, **kwargs).items():
            self[name] = value

    def __getitem__(self, key: str) -> A:
        try:
            found: A = vars(self)[key]
        except KeyError:
            raise KeyError(f"{key!r}: the Dict has {sorted(vars(self))}") from None
        return found

    def __setitem__(self, key: str, value: A) -> None:
        if not isinstance(key, str):
            raise TypeError(f"Keys of a Dict are strings, as they name attributes, not {key!r}.")
        self._check_valid_context(self._made_elsewhere)
        self._pytree__store(key, value)

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return (name for name in vars(self) if name != ATTRIBUTE)

    def __len__(self) -> int:
        return len(vars(self)) - (ATTRIBUTE in vars(self))

    def __hash__(self) -> int:
        return id(self) >> 4

    def __eq__(self, other: object) -> bool:
        return self is other

    def _nnx_parts(self) -> Parts:
        entries = [(f"{key!r}: ", value) for key, value in vars(self).items()]
        return f"{type(self).__name__}({{", entries, "})"


class Sequential(Module):
    """Functions and modules called one after the other.

    A tuple that one returns becomes the positional arguments of the next, a dictionary its keyword
    arguments, anything else its only argument. Keyword arguments of the call go to each layer whose
    signature takes them. Iterating gives the layers.

    Args:
      *fns: the functions.

    Raises:
      ValueError: if they are in a list.
      TypeError: if one is a class of modules.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ramie import nnx
        >>> rngs = nnx.Rngs(0)
        >>> model = nnx.Sequential(nnx.Linear(2, 8, rngs=rngs), jax.nn.relu)
        >>> model(jnp.ones((1, 2))).shape
        (1, 8)
    """

    def __init__(self, *fns: Callable[..., Any]) -> None:
        if len(fns) == 1 and isinstance(fns[0], list | tuple):
            raise ValueError(
                f"nnx.Sequential takes layers one by one, not a {type(fns[0]).__name__} of "
                f"{len(fns[0])}. Write nnx.Sequential(*layers), or nnx.Sequential(first, second)."
            )
        for index, fn in enumerate(fns):
            if isinstance(fn, type) and issubclass(fn, Module):
                raise TypeError(
                    f"Layer {index} of nnx.Sequential is the class {fn.__name__}, not a layer. "
                    f"Make one: {fn.__name__}(..., rngs=rngs)."
                )
        self.layers: List[Callable[..., Any]] = List(fns)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(self.layers)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call them all.

        Args:
          *args: for the first.
          **kwargs: for each that takes an argument of this name and has not got it by position.

        Raises:
          TypeError: if one is no function, or gets a name from the layer before and from the call.
        """
        output: Any = (args[0] if len(args) == 1 else args) if args else kwargs or None
        named: dict[str, Any] = {}
        for index, fn in enumerate(self.layers):
            if not callable(fn):
                raise TypeError(f"Sequence[{index}] is not callable: {fn!r}")
            if index:
                args, named = _as_arguments(output)
            if kwargs:
                accepted = _accepted(fn, kwargs, len(args))
                twice = sorted(named.keys() & accepted.keys())
                if twice:
                    raise TypeError(
                        f"Got multiple values for arguments {', '.join(map(repr, twice))} in "
                        f"Sequential[{index}], which is {_title(fn)}: the layer before returned "
                        "them in a dictionary, and they are keyword arguments of the call."
                    )
                named = named | accepted
            output = fn(*args, **named)
        return output


def _title(fn: Any) -> str:
    return f"a {type(fn).__name__}" if isinstance(fn, Pytree) else getattr(fn, "__name__", repr(fn))


def _as_arguments(output: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(output, tuple):
        return output, {}
    return ((), dict(output)) if isinstance(output, dict) else ((output,), {})


def _accepted(fn: Callable[..., Any], offered: dict[str, Any], count: int) -> dict[str, Any]:
    """Return those keyword arguments that a function takes beside a number of positional ones."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except ValueError:  # of some functions written in C
        return {}
    plain = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    positional = [p for p in parameters if p.kind in plain]
    filled = {p.name for p in positional[:count] if p.kind is plain[1]}
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return {name: x for name, x in offered.items() if name not in filled}
    takes = {p.name for p in parameters if p.kind in (plain[1], inspect.Parameter.KEYWORD_ONLY)}
    return {name: x for name, x in offered.items() if name in takes - filled}
