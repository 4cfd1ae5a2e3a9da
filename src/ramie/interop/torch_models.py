"""What a model holds: its layers and variables by path, in the same form for Linen and NNX.

A variable has the address ``(collection, *path)`` in both; NNX's kinds of variables are given the
names of Linen's collections, and steps of a path are texts.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import jax

from ramie.core import meta
from ramie.interop.torch_layers import Leaf
from ramie.interop.torch_towers import Towers
from ramie.ops.moments import canonical_axes
from ramie.trees.nested import flatten_dict, unflatten_dict

if TYPE_CHECKING:
    from ramie import linen, nnx

__all__ = ["LinenModel", "Model", "NNXModel", "Wrapped", "model_of"]

_NO_LENGTHS = (
    "is WeightNorm with use_scale=False, whose weights have length one; those of PyTorch have any"
)


@dataclasses.dataclass(frozen=True)
class Wrapped:
    """A weight that a layer such as `nn.WeightNorm` normalises, and what is kept for it.

    Attributes:
      weight: the address of the weight.
      kept: the addresses of ``scale``, or of ``u`` and ``sigma``.
      axes: for weight norm, the axes of the weight along which lengths are separate.
      steps: for spectral norm, how many steps of power iteration a call makes.
      epsilon: added to squared lengths.
    """

    weight: Leaf
    kept: Mapping[str, Leaf]
    axes: tuple[int, ...]
    steps: int
    epsilon: float


class Model:
    """A model of either kind.

    Attributes:
      shapes: variables by address, each with a shape and a dtype.
      modules: modules by path.
      wrapped: weights that are normalised before each call.
      transparent: paths that PyTorch has otherwise: layers that have the place of the wrapper
        around them, and the layers of a tower that is written out.
      refused: modules that compute what nothing in PyTorch does, and why.
      towers: what is stacked; `shapes` and `modules` have the single layers.
    """

    shapes: dict[Leaf, Any]
    modules: dict[str, Any]
    wrapped: list[Wrapped]
    transparent: dict[str, str]
    refused: list[str]
    towers: Towers

    def values(self, variables: Any) -> dict[Leaf, Any]:
        """Return variables of this model by address."""
        raise NotImplementedError

    def build(self, values: Mapping[Leaf, Any]) -> Any:
        """Return all variables as users of this kind of model hold them."""
        raise NotImplementedError


class LinenModel(Model):
    """A Linen module, looked at by a call of `init` that computes nothing.

    Args:
      module: the unbound module.
      args: its inputs.
      kwargs: the same.
      stacked: modules whose variables have a first axis for layers, besides those of `Repeat`.
    """

    def __init__(
        self,
        module: "linen.Module",
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        stacked: Iterable[str] = (),
    ) -> None:
        from ramie.core.inspection.cost import split_arrays
        from ramie.linen.layers.repeat import Repeat

        arrays, rebuild = split_arrays((args, dict(kwargs)))

        def create(arrays: list[Any]) -> Any:
            args, kwargs = rebuild(arrays)
            return module.init(jax.random.key(0), *args, **kwargs)

        self._boxed = dict(jax.eval_shape(create, arrays))
        modules = dict(module.module_paths(jax.random.key(0), *args, **kwargs))
        repeats = {path: inner for path, inner in modules.items() if isinstance(inner, Repeat)}
        scans = [f"{path}/layers".strip("/") for path, inner in repeats.items() if inner.scan]
        self.towers = Towers([*scans, *stacked], flatten_dict(meta.unbox(self._boxed)))
        self.shapes, self.modules = self.towers.shapes, self.towers.modules(modules)
        self.wrapped, self.transparent, self.refused = [], {}, []
        for path, inner in self.modules.items():
            if isinstance(inner, Repeat) and not inner.scan:
                above = f"{path}/layers".strip("/")
                self.transparent |= {f"{above}_{i}": f"{above}/{i}" for i in range(inner.length)}
        for path, inner in self.modules.items():
            self._add_wrapper(path, inner)

    def _add_wrapper(self, path: str, module: Any) -> None:
        from ramie.linen.layers.weight_norm import SpectralNorm, WeightNorm

        if not isinstance(module, SpectralNorm | WeightNorm):
            return
        if not getattr(module, "use_scale", True):
            self.refused.append(f"{path!r} {_NO_LENGTHS}")
        place = _parts(path)
        if "/".join((*place, "layer_instance")) in self.modules:
            self.transparent["/".join((*place, "layer_instance"))] = path
        kept: dict[Leaf, dict[str, Leaf]] = {}
        for at in self.shapes:
            if at[1:-1] == place and "/" in at[-1]:
                below, _, part = at[-1].rpartition("/")
                # The layer is one of the wrapper's own, or its neighbour.
                candidates = [
                    ("params", *above, *below.split("/")) for above in (place, place[:-1])
                ]
                weight = next((c for c in candidates if c in self.shapes), None)
                if weight is not None:
                    kept.setdefault(weight, {})[part] = at
        self.wrapped += [_wrapped(module, at, parts, self.shapes) for at, parts in kept.items()]

    def values(self, variables: Any) -> dict[Leaf, Any]:
        """Return variables by address, without boxes."""
        return self.towers.divided(flatten_dict(meta.unbox(variables)))

    def build(self, values: Mapping[Leaf, Any]) -> Any:
        """Return variables as `init` returns them, in the same boxes."""
        nested = unflatten_dict(self.towers.joined(values))
        return meta.replace_boxed({name: self._boxed[name] for name in nested}, nested)


class NNXModel(Model):
    """A module of NNX, which may be abstract.

    Random streams, caches and intermediate values are no part of what is converted.

    Args:
      module: the module; it stays as it is.
      stacked: modules whose variables have a first axis for layers, besides those of `Repeat`.
    """

    def __init__(self, module: "nnx.Module", stacked: Iterable[str] = ()) -> None:
        from ramie.nnx.graph.functional import state
        from ramie.nnx.layers.repeat import Repeat
        from ramie.nnx.modules.module import iter_modules
        from ramie.nnx.states.functions import to_flat_state

        self._flat = {
            _address(path, variable): (path, variable)
            for path, variable in to_flat_state(state(module))
            if _is_weight(variable)
        }
        modules = {"/".join(map(_step, path)): inner for path, inner in iter_modules(module)}
        scans = [
            f"{path}/layers".strip("/")
            for path, inner in modules.items()
            if isinstance(inner, Repeat) and inner.scan
        ]
        values = {at: variable.get_value() for at, (_, variable) in self._flat.items()}
        self.towers = Towers([*scans, *stacked], values)
        self.shapes, self.modules = self.towers.shapes, self.towers.modules(modules)
        self.wrapped, self.transparent, self.refused = [], {}, []
        for path, inner in self.modules.items():
            self._add_wrapper(path, inner)

    def _add_wrapper(self, path: str, module: Any) -> None:
        from ramie.nnx.layers.weight_norm import SpectralNorm, WeightNorm

        if not isinstance(module, SpectralNorm | WeightNorm):
            return
        if not getattr(module, "use_scale", True):
            self.refused.append(f"{path!r} {_NO_LENGTHS}")
        place = (*_parts(path), "layer_instance")
        self.transparent["/".join(place)] = path
        kept: dict[Leaf, dict[str, Leaf]] = {}
        for at in self.shapes:
            if at[1:-1] == (*_parts(path), "scales"):
                kept.setdefault(("params", *place, *at[-1].split("/")), {})["scale"] = at
            elif at[1:-1] == (*_parts(path), "batch_stats"):
                below, _, part = at[-1].rpartition("/")
                kept.setdefault(("params", *place, *below.split("/")), {})[part] = at
        self.wrapped += [
            _wrapped(module, at, parts, self.shapes)
            for at, parts in kept.items()
            if at in self.shapes  # else the layer is shared, and stands elsewhere
        ]

    def values(self, variables: Any) -> dict[Leaf, Any]:
        """Return the variables of a model or of a state by address."""
        from ramie.nnx.graph.functional import state
        from ramie.nnx.modules.module import Module
        from ramie.nnx.states.functions import to_flat_state

        held = state(variables) if isinstance(variables, Module) else variables
        known = {path: at for at, (path, _) in self._flat.items()}
        values = {
            known[path]: variable.get_value() if hasattr(variable, "get_value") else variable
            for path, variable in to_flat_state(held)
            if path in known
        }
        return self.towers.divided(values)

    def build(self, values: Mapping[Leaf, Any]) -> Any:
        """Return a state for `nnx.update`."""
        from ramie.nnx.states.functions import from_flat_state

        whole = self.towers.joined(values)
        return from_flat_state(
            [(path, variable.replace(whole[at])) for at, (path, variable) in self._flat.items()]
        )


def model_of(
    module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], stacked: Iterable[str] = ()
) -> Model:
    """Look at a module of either kind.

    Args:
      module: an unbound Linen module, or an NNX module.
      args: inputs, for Linen.
      kwargs: the same.
      stacked: modules whose variables have a first axis for layers, besides those of `Repeat`.

    Raises:
      TypeError: if it is neither, or inputs are given for NNX, or `stacked` is one text.
      ValueError: if variables of `stacked` have no such axis.
    """
    from ramie.linen.module import Module as LinenModule
    from ramie.nnx.modules.module import Module as NNXModule

    if isinstance(stacked, str):
        raise TypeError(f"stacked= holds the paths of modules: pass [{stacked!r}].")
    if isinstance(module, NNXModule):
        if args or kwargs:
            raise TypeError("An NNX module knows its shapes: pass no inputs after it.")
        return NNXModel(module, stacked)
    if isinstance(module, LinenModule):
        return LinenModel(module, args, kwargs, stacked)
    what = f"the class {module.__name__}" if isinstance(module, type) else type(module).__name__
    raise TypeError(f"Expected a module of Linen or of NNX, got {what}.")


def _is_weight(variable: Any) -> bool:
    from ramie.nnx.randomness.rng import RngState
    from ramie.nnx.variable.kinds import Cache, Intermediate

    return hasattr(variable, "get_value") and not isinstance(
        variable, RngState | Cache | Intermediate
    )


def _address(path: Any, variable: Any) -> Leaf:
    from ramie.nnx.variable.kinds import BatchStat, Param

    kinds = {Param: "params", BatchStat: "batch_stats"}
    name = next((name for kind, name in kinds.items() if isinstance(variable, kind)), None)
    return (name or type(variable).__name__, *map(_step, path))


def _step(key: Any) -> str:
    return "/".join(map(_step, key)) if isinstance(key, tuple) else str(key)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")) if path else ()


def _wrapped(
    module: Any, weight: Leaf, kept: Mapping[str, Leaf], shapes: Mapping[Leaf, Any]
) -> Wrapped:
    axes = getattr(module, "feature_axes", None)
    return Wrapped(
        weight,
        kept,
        () if axes is None else canonical_axes(len(shapes[weight].shape), axes),
        getattr(module, "n_steps", 1),
        float(module.epsilon),
    )
