"""Which tensors belong to which variables: by the paths of modules, and by names given for them."""

import dataclasses
import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence

from ramie.interop.torch_layers import Conversion, Leaf, conversions_of
from ramie.interop.torch_models import Model, Wrapped
from ramie.interop.torch_parametrized import stored
from ramie.interop.torch_tensors import StateDict, Unfit

__all__ = ["NEVER_USED", "Layer", "Names", "layers_of", "numbers_of", "place_of"]

Names = Mapping[str, str] | Callable[[str], str]

# How many batches a norm has seen, or models an average: nothing here depends on it.
NEVER_USED = ("*num_batches_tracked*", "n_averaged")
_LAYER_SUFFIX = "_l0"  # what recurrent layers, unlike cells, append to the names of tensors


@dataclasses.dataclass
class Layer:
    """A module of the model with variables of its own."""

    conversion: Conversion
    variables: Mapping[Leaf, Leaf]  # from the layer's own to the place in the model
    wrapped: Mapping[Leaf, Wrapped]  # those that are normalised before each call
    place: str

    def name_of(self, tensor: str, tensors: StateDict | None) -> str:
        """Return the full name of a tensor of this layer."""
        name = self.place.replace("*", tensor)
        if tensors is not None and self.conversion.is_whole and stored(tensors, name) is None:
            numbered = f"{name}{_LAYER_SUFFIX}"
            return numbered if stored(tensors, numbered) is not None else name
        return name


def layers_of(
    model: Model,
    tensors: StateDict | None,
    names: Names,
    flattened: Mapping[str, tuple[int, ...]],
) -> Iterator[Layer]:
    """Deal the variables of the model to the layers that own them."""
    # Of a weight that is normalised twice the inner wrapper; nothing in PyTorch is like the outer.
    depth = lambda found: max(map(len, found.kept.values()))
    wrapped = {found.weight: found for found in sorted(model.wrapped, key=depth)}
    kept = {at for found in wrapped.values() for at in found.kept.values()}
    left = dict.fromkeys(at for at in model.shapes if at not in kept)
    unknown = sorted(set(flattened) - set(model.modules))
    if unknown:
        raise ValueError(
            f"flattened= names {unknown}, but the modules are {sorted(model.modules)}."
        )
    outer_first = lambda item: item[0].count("/") + bool(item[0])
    for path, inner in sorted(model.modules.items(), key=outer_first):
        parts = tuple(path.split("/")) if path else ()
        below = {
            (at[0], *at[1 + len(parts) :]): at for at in left if at[1 : 1 + len(parts)] == parts
        }
        shapes = {leaf: model.shapes[at].shape for leaf, at in below.items()}
        place = place_of(path, names, model.transparent)
        try:
            conversions = conversions_of(inner, shapes, flattened.get(path))
        except Unfit as error:
            raise ValueError(f"The module {path!r} {error}.") from error
        conversion = _chosen(conversions, path, place, tensors, names, model.transparent)
        if conversion is None:
            continue
        own = {leaf: below[leaf] for leaf in conversion.leaves if leaf in below}
        for at in own.values():
            del left[at]
        normalised = {leaf: wrapped[at] for leaf, at in own.items() if at in wrapped}
        yield Layer(conversion, own, normalised, place)
    for at in list(left):  # variables of modules that are no known layer: taken as they are
        place = place_of("/".join(at[1:-1]), names, model.transparent)
        yield _identity(at, place, wrapped.get(at))


def _chosen(
    conversions: Sequence[Conversion],
    path: str,
    place: str,
    tensors: StateDict | None,
    names: Names,
    transparent: Mapping[str, str],
) -> Conversion | None:
    """Return the conversion that a state dict asks for; None if the submodules have their own."""
    if not conversions or not conversions[0].marks:
        return conversions[0] if conversions else None
    if tensors is not None:
        for conversion in conversions:
            if any(stored(tensors, place.replace("*", mark)) for mark in conversion.marks):
                return conversion
        return None
    submodules = {leaf[1] for leaf in conversions[0].leaves}
    follow = all(
        place_of(f"{path}/{name}".strip("/"), names, transparent) == place.replace("*", f"{name}.*")
        for name in submodules
    )
    return conversions[0] if follow and conversions[0].is_native else None


def _identity(at: Leaf, place: str, wrapped: Wrapped | None) -> Layer:
    name = at[-1]
    leaf = (at[0], name)
    conversion = Conversion(
        leaves=(leaf,),
        tensors={leaf: (name,)},
        read=lambda _, tensors: tensors[0],
        write=lambda variables: {name: variables[leaf]},
    )
    return Layer(conversion, {leaf: at}, {} if wrapped is None else {leaf: wrapped}, place)


def place_of(path: str, names: Names, transparent: Mapping[str, str]) -> str:
    """Return the name of a module's tensors, with ``*`` for the tensor's own.

    Args:
      path: the module.
      names: as users give them.
      transparent: see `Model`.
    """
    path = _outside(path, transparent, names if isinstance(names, Mapping) else {})
    if callable(names):
        prefix = names(path)
    else:
        above = path
        while above and above not in names:
            above = above.rpartition("/")[0]
        rest = path[len(above) :].strip("/") if above else path
        start = names.get(above, "")
        prefix = ".".join(part for part in (start, *rest.split("/")) if part)
    if "*" in prefix:
        return prefix
    return f"{prefix}.*" if prefix else "*"


def _outside(path: str, transparent: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Return a path without the steps that PyTorch has not, unless it is named with them."""
    for inner in sorted(transparent, key=len, reverse=True):
        if path != inner and not path.startswith(f"{inner}/"):
            continue
        if not any(_is_below(path, name) and _is_below(name, inner) for name in names):
            path = transparent[inner] + path[len(inner) :]
    return path.strip("/")


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}/")


def numbers_of(
    tower: str, length: int, tensors: StateDict, names: Names, transparent: Mapping[str, str]
) -> dict[int, str]:
    """Find the layers of a tower that a state dict has tensors of.

    Args:
      tower: its path.
      length: how many layers there should be; those after them count up to the first gap.
      tensors: the state dict.
      names: as users give them.
      transparent: see `Model`.

    Returns:
      One of the names of each, by number.
    """
    found: dict[int, str] = {}
    for number in range(length + len(list(tensors))):
        try:
            pattern = place_of(f"{tower}/{number}".strip("/"), names, transparent)
        except Exception:  # a function of the user, which need not know more layers than there are
            break
        name = next((n for n in tensors.known() if fnmatch.fnmatchcase(n, pattern)), None)
        if name is not None:
            found[number] = name
        elif number >= length:
            break
    return found
