"""Weights of PyTorch networks for modules of Linen and NNX, and back.

A state dict is a dictionary of tensors by name, such as ``network.state_dict()`` returns or as a
file of weights holds. PyTorch is imported only to make tensors: NumPy arrays serve as well.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from ramie.interop.torch_models import model_of
from ramie.interop.torch_places import Names, layers_of
from ramie.interop.torch_reading import Reading
from ramie.interop.torch_tensors import StateDict
from ramie.interop.torch_writing import Writing

if TYPE_CHECKING:
    from ramie import linen, nnx

__all__ = ["from_state_dict", "to_state_dict"]


@overload
def from_state_dict(
    state_dict: Mapping[str, Any],
    module: "linen.Module",
    *args: Any,
    names: Names = ...,
    flattened: Mapping[str, tuple[int, ...]] = ...,
    stacked: Iterable[str] = ...,
    ignore: Iterable[str] = ...,
    defaults: Any = ...,
    **kwargs: Any,
) -> dict[str, Any]: ...


@overload
def from_state_dict(
    state_dict: Mapping[str, Any],
    module: "nnx.Module",
    *,
    names: Names = ...,
    flattened: Mapping[str, tuple[int, ...]] = ...,
    stacked: Iterable[str] = ...,
    ignore: Iterable[str] = ...,
    defaults: Any = ...,
) -> "nnx.State": ...


def from_state_dict(
    state_dict: Mapping[str, Any],
    module: Any,
    *args: Any,
    names: Names = {},  # noqa: B006 - it is only read
    flattened: Mapping[str, tuple[int, ...]] = {},
    stacked: Iterable[str] = (),
    ignore: Iterable[str] = (),
    defaults: Any = None,
    **kwargs: Any,
) -> Any:
    """Make the variables of a module from a PyTorch state dict.

    The module at the path ``encoder/conv`` takes the tensors ``encoder.conv.weight`` and so on.
    Known layers are converted: Dense and DenseGeneral, Conv and ConvTranspose of any rank (groups
    too), BatchNorm with its statistics, LayerNorm, GroupNorm, InstanceNorm, RMSNorm, Embed, PReLU,
    the cells LSTMCell, OptimizedLSTMCell, GRUCell and SimpleCell, and attention, whose tensors may
    be those of `torch.nn.MultiheadAttention` (packed or not) or of linear layers. Any other
    variable is taken unchanged from the tensor of its own name.

    Weights under weight norm, spectral norm or pruning become plain weights, or those of WeightNorm
    and SpectralNorm around a layer. Prefixes of wrappers (``module.`` before all names,
    ``_orig_mod.``) need not be mentioned, and names for the very same tensor count as one.

    Args:
      state_dict: tensors or arrays by name, of any dtype that JAX has.
      module: the unbound Linen module; or an NNX module, which stays as it is and may be abstract.
      *args: for Linen: inputs to `init`; `jax.ShapeDtypeStruct` will do. Nothing is computed with
        them.
      names: where a module's tensors are, if not under its path: a dictionary from paths to
        prefixes (``{"encoder": "features", "head": "classifier.2"}``; what lies below a path
        follows it), or a function from path to prefix. A ``*`` in a prefix stands for the tensor's
        own name, as in ``"lstm.*_l1_reverse"``.
      flattened: for dense layers after a flattened image, by path, its shape as PyTorch has it:
        ``{"head": (channels, height, width)}``. It makes up for the order in which the two flatten.
      stacked: paths of modules whose variables have a first axis for layers, as `nn.scan` and
        `nnx.vmap` make them. To all other arguments, and to the state dict, these are layers with
        numbers: ``layers/0``, ``layers/1``. Those of `Repeat` need not be named.
      ignore: patterns of names that need not be used, such as ``"classifier.*"``.
      defaults: variables for what the state dict lacks, for example from `init`.
      **kwargs: as `args`.

    Returns:
      For Linen, variables as `init` returns them, in the dtypes of the module and in its metadata
      boxes. For NNX, a state for `nnx.update`.

    Raises:
      StateDictMismatchError: naming all that is missing, not used, of another shape, or not to be
        converted (tensors without values, complex numbers for a real weight).
      TypeError: if `state_dict` is no mapping, or `module` no module.
      ValueError: if it holds dictionaries in place of tensors, or if `flattened` or `stacked` do
        not fit the module.

    Example:
      >>> import numpy as np, ramie.linen as nn
      >>> from ramie.interop.torch import from_state_dict
      >>> tensors = {"0.weight": np.ones((4, 3)), "0.bias": np.zeros(4)}
      >>> model = nn.Sequential([nn.Dense(4), nn.relu])
      >>> variables = from_state_dict(tensors, model, np.ones((1, 3)), names={"layers_0": "0"})
      >>> variables["params"]["layers_0"]["kernel"].shape
      (3, 4)
    """
    model = model_of(module, args, kwargs, stacked)
    given = model.values(defaults) if defaults is not None else {}
    reading = Reading(model, StateDict(state_dict), given)
    for layer in layers_of(model, reading.tensors, names, flattened):
        reading.take(layer)
    reading.finish(ignore, names)
    return model.build(reading.found)


def to_state_dict(
    variables: Any,
    module: Any = None,
    *args: Any,
    names: Names = {},  # noqa: B006
    flattened: Mapping[str, tuple[int, ...]] = {},
    stacked: Iterable[str] = (),
    like: Mapping[str, Any] | None = None,
    form: Literal["numpy", "torch"] = "numpy",
    dtype: Any = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Make a PyTorch state dict from the variables of a module: the inverse of `from_state_dict`.

    Attention becomes `torch.nn.MultiheadAttention`, unless `names` says where its submodules are.

    Args:
      variables: as `init` returns them; or the state of an NNX module, or that module itself.
      module: the unbound Linen module, or the NNX module; not needed if `variables` is one.
      *args: for Linen: inputs to `init`, as for `from_state_dict`.
      names: as for `from_state_dict`; for recurrent layers write the ``*``: ``"lstm.*_l0"``.
      flattened: as for `from_state_dict`.
      stacked: as for `from_state_dict`.
      like: a state dict of the PyTorch network. It decides between forms of which PyTorch has
        several: linear layers or one tensor in attention, old or new names of weight norm,
        prefixes of wrappers, several names for one tensor. The result has exactly its names.
      form: ``"numpy"`` for arrays; ``"torch"`` for tensors, bfloat16 and float8 included.
      dtype: for all that is floating, in place of its own dtype.
      **kwargs: as `args`.

    Returns:
      Arrays or tensors by name that own their memory. Tensors load with `load_state_dict`, arrays
      through `torch.from_numpy`, which takes no dtypes that NumPy itself lacks (bfloat16): for
      these ask for tensors, or for float32.

    Raises:
      ImportError: if tensors are asked for and PyTorch is not installed.
      StateDictMismatchError: if `variables` lack something, or the result cannot be like `like`.

    Example:
      >>> import jax, numpy as np, ramie.linen as nn
      >>> from ramie.interop.torch import to_state_dict
      >>> model, x = nn.Dense(4), np.ones((1, 3), np.float32)
      >>> tensors = to_state_dict(model.init(jax.random.key(0), x), model, x)
      >>> {name: tensor.shape for name, tensor in sorted(tensors.items())}
      {'bias': (4,), 'weight': (4, 3)}
    """
    if form not in ("numpy", "torch"):
        raise ValueError(f"form={form!r}: expected 'numpy' or 'torch'.")
    model = model_of(variables if module is None else module, args, kwargs, stacked)
    writing = Writing(model, model.values(variables), None if like is None else StateDict(like))
    for layer in layers_of(model, writing.like, names, flattened):
        writing.put(layer)
    return writing.finish(form, dtype)
