"""Weights of PyTorch networks for Linen modules, and back.

A state dict is a dictionary of tensors by name, such as ``network.state_dict()`` returns or as a
file of weights holds. PyTorch itself is never imported: NumPy arrays serve as well.
"""

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ramie import errors
from ramie.core import meta
from ramie.interop.torch_layers import Conversion, Leaf, conversion_of
from ramie.trees.nested import flatten_dict, unflatten_dict
from ramie.typing import VariableDict

if TYPE_CHECKING:
    from ramie.linen import Module

__all__ = ["from_state_dict", "to_state_dict"]

Names = Mapping[str, str] | Callable[[str], str]
Array = np.ndarray[Any, Any]

# How many batches a norm has seen: of no use to a norm whose momentum is constant.
_NEVER_USED = ("*num_batches_tracked*",)
_LAYER_SUFFIX = "_l0"  # what recurrent layers, unlike cells, append to the names of tensors


def from_state_dict(
    state_dict: Mapping[str, Any],
    module: "Module",
    *args: Any,
    names: Names = {},  # noqa: B006 - it is only read
    flattened: Mapping[str, tuple[int, ...]] = {},
    ignore: Iterable[str] = (),
    defaults: VariableDict | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Make the variables of a module from a PyTorch state dict.

    The module at the path ``encoder/conv`` takes the tensors ``encoder.conv.weight`` and so on.
    Known layers are converted: Dense and DenseGeneral, Conv and ConvTranspose of any rank (groups
    too), BatchNorm with its statistics, LayerNorm, GroupNorm, InstanceNorm, RMSNorm, Embed, PReLU,
    and the cells LSTMCell, OptimizedLSTMCell, GRUCell and SimpleCell. Any other variable is taken
    unchanged from the tensor of its own name.

    Args:
      state_dict: tensors or arrays by name.
      module: the unbound module.
      *args: inputs to `init`; `jax.ShapeDtypeStruct` will do. Nothing is computed with them.
      names: where a module's tensors are, if not under its path: a dictionary from paths to
        prefixes (``{"encoder": "features", "head": "classifier.2"}``; what lies below a path
        follows it), or a function from path to prefix. A ``*`` in a prefix stands for the tensor's
        own name, as in ``"lstm.*_l1_reverse"``.
      flattened: for dense layers after a flattened image, by path, its shape as PyTorch has it:
        ``{"head": (channels, height, width)}``. It makes up for the order in which the two flatten.
      ignore: patterns of names that need not be used, such as ``"classifier.*"``.
      defaults: variables for what the state dict lacks, for example from `init`.
      **kwargs: as `args`.

    Returns:
      Variables as `init` returns them, in the dtypes of the module and in its metadata boxes.

    Raises:
      StateDictMismatchError: naming all that is missing, not used, or of another shape.

    Example:
      >>> import numpy as np, ramie.linen as nn
      >>> from ramie.interop.torch import from_state_dict
      >>> tensors = {"0.weight": np.ones((4, 3)), "0.bias": np.zeros(4)}
      >>> model = nn.Sequential([nn.Dense(4), nn.relu])
      >>> variables = from_state_dict(tensors, model, np.ones((1, 3)), names={"layers_0": "0"})
      >>> variables["params"]["layers_0"]["kernel"].shape
      (3, 4)
    """
    target = _shapes(module, args, kwargs)
    wanted = _flat(meta.unbox(target))
    given = _flat(meta.unbox(defaults)) if defaults is not None else {}
    tensors = dict(state_dict)
    found: dict[Leaf, Any] = {}
    used: set[str] = set()
    missing, misshapen = [], []
    for layer in _layers(module, wanted, args, kwargs, names, flattened):
        for leaf, at in layer.variables.items():
            sources = [layer.name_of(tensor, tensors) for tensor in layer.conversion.tensors[leaf]]
            absent = [name for name in sources if name not in tensors]
            used.update(sources)
            if absent:
                if at in given:
                    found[at] = given[at]
                else:
                    missing.append(f"{'/'.join(at)} needs {', '.join(map(repr, absent))}")
                continue
            arrays = [_as_array(tensors[name]) for name in sources]
            value = _read(layer.conversion, leaf, arrays)
            if value is None or value.shape != wanted[at].shape:
                shapes = " and ".join(str(array.shape) for array in arrays)
                misshapen.append(
                    f"{'/'.join(at)} has the shape {wanted[at].shape}, which "
                    f"{', '.join(map(repr, sources))} of shape {shapes} does not give"
                )
                continue
            # A copy: the tensor's memory stays PyTorch's, and may change.
            found[at] = jnp.array(value, wanted[at].dtype)
    allowed = (*_NEVER_USED, *ignore)
    unused = [
        name
        for name in tensors
        if name not in used and not any(fnmatch.fnmatchcase(name, p) for p in allowed)
    ]
    if missing or unused or misshapen:
        raise errors.StateDictMismatchError(sorted(missing), unused, sorted(misshapen))
    values = unflatten_dict({at: found[at] for at in wanted})
    return meta.replace_boxed({name: target[name] for name in values}, values)


def to_state_dict(
    variables: VariableDict,
    module: "Module",
    *args: Any,
    names: Names = {},  # noqa: B006
    flattened: Mapping[str, tuple[int, ...]] = {},
    **kwargs: Any,
) -> dict[str, Array]:
    """Make a PyTorch state dict from the variables of a module: the inverse of `from_state_dict`.

    Args:
      variables: as `init` returns them.
      module: the unbound module.
      *args: inputs to `init`, as for `from_state_dict`.
      names: as for `from_state_dict`; for recurrent layers write the ``*``: ``"lstm.*_l0"``.
      flattened: as for `from_state_dict`.
      **kwargs: as `args`.

    Returns:
      Arrays by name, which own their memory: ``{k: torch.from_numpy(v) for k, v in ...}`` loads
      with `load_state_dict`.

    Raises:
      StateDictMismatchError: if `variables` lack something.

    Example:
      >>> import jax, numpy as np, ramie.linen as nn
      >>> from ramie.interop.torch import to_state_dict
      >>> model, x = nn.Dense(4), np.ones((1, 3), np.float32)
      >>> tensors = to_state_dict(model.init(jax.random.key(0), x), model, x)
      >>> {name: tensor.shape for name, tensor in sorted(tensors.items())}
      {'bias': (4,), 'weight': (4, 3)}
    """
    wanted = _flat(meta.unbox(_shapes(module, args, kwargs)))
    held = _flat(meta.unbox(variables))
    missing = ["/".join(at) for at in wanted if at not in held]
    if missing:
        raise errors.StateDictMismatchError(missing)
    tensors: dict[str, Array] = {}
    for layer in _layers(module, wanted, args, kwargs, names, flattened):
        arrays = {leaf: np.asarray(held[at]) for leaf, at in layer.variables.items()}
        for tensor, array in layer.conversion.write(arrays).items():
            tensors[layer.name_of(tensor, {})] = np.array(array, order="C")
    return tensors


class _Layer:
    """A module of the model with variables of its own."""

    def __init__(self, conversion: Conversion, variables: Mapping[Leaf, Leaf], place: str) -> None:
        self.conversion = conversion
        self.variables = variables  # from the layer's own to the place in the model
        self._place = place

    def name_of(self, tensor: str, tensors: Mapping[str, Any]) -> str:
        """Return the full name of a tensor of this layer."""
        name = self._place.replace("*", tensor)
        if name not in tensors and self.conversion.is_whole and f"{name}{_LAYER_SUFFIX}" in tensors:
            return f"{name}{_LAYER_SUFFIX}"
        return name


def _shapes(module: "Module", args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `init` returns, by shape."""
    from ramie.core.inspection.cost import split_arrays

    arrays, rebuild = split_arrays((args, dict(kwargs)))

    def create(arrays: list[Any]) -> Any:
        args, kwargs = rebuild(arrays)
        return module.init(jax.random.key(0), *args, **kwargs)

    return dict(jax.eval_shape(create, arrays))


def _flat(variables: Any) -> dict[Leaf, Any]:
    return flatten_dict(variables)


def _layers(
    module: "Module",
    wanted: Mapping[Leaf, Any],
    args: Any,
    kwargs: Mapping[str, Any],
    names: Names,
    flattened: Mapping[str, tuple[int, ...]],
) -> Iterator[_Layer]:
    """Deal the variables of the model to the layers that own them."""
    left = dict.fromkeys(wanted)
    modules = module.module_paths(jax.random.key(0), *args, **kwargs)
    unknown = sorted(set(flattened) - set(modules))
    if unknown:
        raise ValueError(f"flattened= names {unknown}, but the modules are {sorted(modules)}.")
    for path, inner in sorted(modules.items(), key=lambda item: item[0].count("/") + bool(item[0])):
        parts = tuple(path.split("/")) if path else ()
        below = {
            (at[0], *at[1 + len(parts) :]): at for at in left if at[1 : 1 + len(parts)] == parts
        }
        shapes = {leaf: wanted[at].shape for leaf, at in below.items()}
        conversion = conversion_of(inner, shapes, flattened.get(path))
        if conversion is None:
            continue
        own = {leaf: below[leaf] for leaf in conversion.leaves if leaf in below}
        for at in own.values():
            del left[at]
        yield _Layer(conversion, own, _place(path, names))
    for at in list(left):  # variables of modules that are no known layer: taken as they are
        *above, name = at[1:]
        yield _identity(at, _place("/".join(above), names), name)


def _identity(at: Leaf, place: str, name: str) -> _Layer:
    leaf = (at[0], name)
    conversion = Conversion(
        leaves=(leaf,),
        tensors={leaf: (name,)},
        read=lambda _, tensors: tensors[0],
        write=lambda variables: {name: variables[leaf]},
    )
    return _Layer(conversion, {leaf: at}, place)


def _place(path: str, names: Names) -> str:
    """Return the name of a module's tensors, with ``*`` for the tensor's own."""
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


def _as_array(tensor: Any) -> Array:
    if hasattr(tensor, "detach"):  # a tensor, possibly with a gradient or on another device
        tensor = tensor.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":  # which NumPy has not
            tensor = tensor.float()
        return np.asarray(tensor.numpy())
    return np.asarray(tensor)


def _read(conversion: Conversion, leaf: Leaf, tensors: list[Array]) -> Array | None:
    try:
        return conversion.read(leaf, tensors)
    except ValueError:  # NumPy could not order the axes of such a shape
        return None
