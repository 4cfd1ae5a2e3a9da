"""Towers of equal layers in trees: entries with numbers, or one entry with a first axis for them.

This file knows names and places; what becomes of the arrays, callers say.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

__all__ = ["stack", "unstack"]

Path = tuple[str, ...]
Join = Callable[[Sequence[Any], Sequence[str]], Any]
Part = Callable[[Any, str], Sequence[Any]]

_NUMBER = re.compile(r"0|[1-9][0-9]*")


def stack(tree: Any, name: str, join: Join, is_leaf: Callable[[Any], bool]) -> Any:
    """Replace the layers of each tower of a name by one entry.

    Layers are the entries ``name_0``, ``name_1`` and so on of a mapping, or the entries with only
    a number below `name`.

    Args:
      tree: any pytree.
      name: the name of towers; ``encoder/layers`` takes only those below a key ``encoder``.
      join: makes one entry of layers, in the order of their numbers, given their paths as text.
      is_leaf: tells what is not entered.

    Raises:
      ValueError: if there is no such tower, if a number is missing, or if the name is taken.
    """
    work = _Work(name, is_leaf)
    made = work.walk(tree, (), lambda node, path: _stacked(work, node, path, join))
    work.check_found("no layers with numbers")
    return made


def unstack(
    tree: Any, name: str, part: Part, is_leaf: Callable[[Any], bool], *, below: bool = False
) -> Any:
    """Replace the entry of each tower of a name by one for each layer: `stack` backwards.

    Args:
      tree: any pytree.
      name: the name of towers, as for `stack`.
      part: makes the layers of one entry, given its path as text.
      is_leaf: tells what is not entered.
      below: put the layers below the name, with only a number each.

    Raises:
      ValueError: if there is no such tower, or a name is taken.
    """
    work = _Work(name, is_leaf)
    made = work.walk(tree, (), lambda node, path: _unstacked(work, node, path, part, below))
    work.check_found("no such entry")
    return made


class _Work:
    """One walk through a tree, looking for a name.

    Args:
      name: that of the towers.
      is_leaf: tells what is not entered.
    """

    def __init__(self, name: str, is_leaf: Callable[[Any], bool]) -> None:
        *self._above, self.last = name.strip("/").split("/")
        if not self.last:
            raise ValueError("The name of the layers is empty; it is 'layers' by default.")
        self._name = name
        self._is_leaf = is_leaf
        self._n_found = 0
        self._seen: dict[str, None] = {}

    def is_tower(self, path: Path) -> bool:
        """Tell whether a mapping at this path is one whose entries count."""
        depth = len(self._above)
        return list(path[len(path) - depth :]) == self._above

    def note(self) -> None:
        self._n_found += 1

    def check_found(self, problem: str) -> None:
        if not self._n_found:
            keys = ", ".join(list(self._seen)[:8]) or "none"
            raise ValueError(
                f"The tree has {problem} called {self._name!r}. Its keys are: {keys}. Say the name "
                "of the layers, such as 'blocks', or of one tower, such as 'encoder/layers'."
            )

    def walk(
        self, node: Any, path: Path, change: Callable[[dict[Any, Any], Path], dict[Any, Any]]
    ) -> Any:
        """Change the mappings of a tree, from the leaves to the root."""
        if self._is_leaf(node):
            return node
        if isinstance(node, Mapping):
            entries = {}
            for key in node:
                self._seen[str(key)] = None
                entries[key] = self.walk(node[key], (*path, str(key)), change)
            return _like(node, change(entries, path))
        treedef: Any
        children, treedef = jax.tree_util.tree_flatten(node, is_leaf=lambda x: x is not node)
        if len(children) == 1 and children[0] is node:
            return node
        keys, _ = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
        names = [_text(key) for key, _ in keys]
        return treedef.unflatten(
            [
                self.walk(child, (*path, name), change)
                for child, name in zip(children, names, strict=True)
            ]
        )


def _text(key: Any) -> str:
    return jax.tree_util.keystr(key, simple=True, separator="/")


def _like(node: Mapping[Any, Any], entries: dict[Any, Any]) -> Any:
    make: Any = type(node)
    return entries if make is dict else make(entries)


def _place(path: Path, *keys: Any) -> str:
    return "/".join((*path, *map(str, keys)))


def _stacked(work: _Work, entries: dict[Any, Any], path: Path, join: Join) -> dict[Any, Any]:
    if not work.is_tower(path):
        return entries
    last = work.last
    prefix = f"{last}_"
    numbered = {
        int(key[len(prefix) :]): key
        for key in entries
        if isinstance(key, str) and key.startswith(prefix) and _NUMBER.fullmatch(key[len(prefix) :])
    }
    if numbered:
        if last in entries:
            raise ValueError(
                f"The layers {_place(path, prefix)}0 and so on cannot become {_place(path, last)}, "
                "which is there, too. Rename one of them."
            )
        layers = _in_order(numbered, entries, path, prefix)
        joined = join(layers, [_place(path, f"{prefix}{i}") for i in range(len(layers))])
        taken = set(numbered.values())
        first = next(key for key in entries if key in taken)
        work.note()
        return {
            last if key == first else key: joined if key == first else value
            for key, value in entries.items()
            if key == first or key not in taken
        }
    held = entries.get(last)
    if isinstance(held, Mapping) and held and all(map(_is_number, held)):
        layers = _in_order({int(key): key for key in held}, held, (*path, last), "")
        joined = join(layers, [_place(path, last, i) for i in range(len(layers))])
        work.note()
        return {**entries, last: joined}
    return entries


def _is_number(key: Any) -> bool:
    return isinstance(key, int) or (isinstance(key, str) and bool(_NUMBER.fullmatch(key)))


def _in_order(
    numbered: Mapping[int, Any], entries: Mapping[Any, Any], path: Path, prefix: str
) -> list[Any]:
    missing = sorted(set(range(max(numbered) + 1)) - set(numbered))
    if missing:
        names = ", ".join(_place(path, f"{prefix}{i}") for i in missing[:4])
        raise ValueError(
            f"The layers {_place(path, prefix)}0 to {max(numbered)} are not all there: {names} "
            f"{'is' if len(missing) == 1 else 'are'} missing. Layers that are stacked are numbered "
            "from 0 without gaps."
        )
    return [entries[numbered[i]] for i in range(len(numbered))]


def _unstacked(
    work: _Work, entries: dict[Any, Any], path: Path, part: Part, below: bool
) -> dict[Any, Any]:
    last = work.last
    if last not in entries or not work.is_tower(path):
        return entries
    held = entries[last]
    if isinstance(held, Mapping) and held and all(map(_is_number, held)):
        raise ValueError(
            f"{_place(path, last)} holds {len(held)} layers with numbers, not layers that are "
            "stacked: there is nothing to unstack."
        )
    layers = part(held, _place(path, last))
    work.note()
    if below:
        return {**entries, last: _like_layers(held, layers)}
    made: dict[Any, Any] = {}
    for key, value in entries.items():
        found = [(f"{last}_{i}", layer) for i, layer in enumerate(layers)]
        for new, item in found if key == last else [(key, value)]:
            if new in made or (key == last and new in entries):
                raise ValueError(
                    f"The layers of {_place(path, last)} would be {_place(path, last)}_0 and so "
                    f"on, but {_place(path, new)} is there. Rename one of them."
                )
            made[new] = item
    return made


def _like_layers(held: Any, layers: Sequence[Any]) -> Any:
    return (
        _like(held, dict(enumerate(layers)))
        if isinstance(held, Mapping)
        else dict(enumerate(layers))
    )
