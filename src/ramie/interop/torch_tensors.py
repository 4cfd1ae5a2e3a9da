"""State dicts of PyTorch: names, tensors as arrays and arrays as tensors, bit for bit."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ml_dtypes  # noqa: F401 - so that NumPy knows bfloat16 and its like by name
import numpy as np

__all__ = ["Array", "StateDict", "Unfit", "as_array", "as_tensor", "fitted"]

Array = np.ndarray[Any, Any]

# Names that only wrappers of PyTorch put in front: compiled, checkpointed and sharded modules.
_WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
_PARALLEL = "module."  # DataParallel, DistributedDataParallel and AveragedModel: before every name
_AVERAGED = "n_averaged"  # how many models are in an average of weights
# What PyTorch has and NumPy has not, seen as integers of the same size on the way.
_AS_INTEGERS = {
    "bfloat16": "int16",
    "float8_e4m3fn": "uint8",
    "float8_e4m3fnuz": "uint8",
    "float8_e5m2": "uint8",
    "float8_e5m2fnuz": "uint8",
    "float8_e8m0fnu": "uint8",
}
_NUMBERS = "biufc"


class Unfit(ValueError):
    """What cannot be converted; the message says why."""


class StateDict:
    """Tensors by name, and by the name that a network has without its wrappers.

    Args:
      tensors: as ``network.state_dict()`` returns them.

    Raises:
      TypeError: if it is no mapping, or its keys are no names.
      ValueError: if it holds dictionaries, as a file of a training run does.

    Example:
      >>> from ramie.interop.torch_tensors import StateDict
      >>> tensors = StateDict({"module.encoder._orig_mod.weight": [1.0]})
      >>> "encoder.weight" in tensors, tensors.actual("encoder.weight")
      (True, 'module.encoder._orig_mod.weight')
    """

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        if not isinstance(tensors, Mapping):
            hint = " Pass network.state_dict()." if hasattr(tensors, "state_dict") else ""
            raise TypeError(
                "A state dict is a dictionary of tensors by name, but this is "
                f"{type(tensors).__name__}.{hint}"
            )
        other = [name for name in tensors if not isinstance(name, str)]
        if other:
            raise TypeError(f"Names of tensors are texts, but found {other[:5]}.")
        nested = [name for name, tensor in tensors.items() if isinstance(tensor, Mapping)]
        if nested:
            raise ValueError(
                f"A state dict holds tensors by name, but under {nested[:5]} are dictionaries. Of "
                f"the file of a training run pass one entry, such as contents[{nested[0]!r}]; load "
                "a safetensors file with separator=None, which leaves names whole."
            )
        self._tensors = dict(tensors)
        self._actual = {**_bare_names(self._tensors), **{name: name for name in self._tensors}}

    def __contains__(self, name: object) -> bool:
        return name in self._actual

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __getitem__(self, name: str) -> Any:
        return self._tensors[self._actual[name]]

    def actual(self, name: str) -> str:
        """Return the name in the state dict itself; `name` if it has none."""
        return self._actual.get(name, name)

    def known(self) -> Iterable[str]:
        """Return all names, with and without wrappers."""
        return self._actual

    def tied(self, names: Iterable[str], others: Iterable[str]) -> dict[str, str]:
        """Find tensors that are the very memory of other ones.

        Args:
          names: the tensors to look at, as the state dict itself has them.
          others: the same for what they may be.

        Returns:
          The other one of each that has one.
        """
        places = {_memory(self._tensors[other]): other for other in others}
        places.pop(None, None)
        found = ((name, places.get(_memory(self._tensors[name]))) for name in names)
        return {name: other for name, other in found if other is not None}


def _bare_names(tensors: Iterable[str]) -> dict[str, str]:
    bare = {
        ".".join(part for part in name.split(".") if part not in _WRAPPERS): name
        for name in tensors
    }
    if all(name.startswith(_PARALLEL) or name == _AVERAGED for name in bare):
        bare = {name.removeprefix(_PARALLEL): actual for name, actual in bare.items()}
    return bare


def _memory(tensor: Any) -> Any:
    """Return where a tensor lies and how it is read; None if that says nothing."""
    if isinstance(tensor, np.ndarray):
        place = tensor.__array_interface__["data"][0]
        return (place, tensor.shape, tensor.strides, tensor.dtype) if tensor.size else None
    if hasattr(tensor, "data_ptr") and hasattr(tensor, "stride"):
        try:
            place = tensor.data_ptr()
            return (place, tuple(tensor.shape), tensor.stride(), tensor.dtype) if place else None
        except (RuntimeError, NotImplementedError, ValueError):  # sparse, or without memory at all
            return None
    return None


def as_array(tensor: Any) -> Array:
    """Return the values of a tensor, on the host.

    Args:
      tensor: a tensor of PyTorch (with a gradient, sparse, not contiguous, on any device), or what
        NumPy takes for an array of numbers.

    Raises:
      Unfit: if it has no values, or none that an array can hold.

    Example:
      >>> from ramie.interop.torch_tensors import as_array
      >>> as_array([1.0, 2.0]).shape
      (2,)
    """
    try:
        array = _of_torch(tensor) if hasattr(tensor, "detach") else np.asarray(tensor)
    except Unfit:
        raise
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]
        what = type(tensor).__name__
        raise Unfit(f"is {what}, which cannot be read as an array: {first}") from error
    if array.dtype.kind not in _NUMBERS and not _is_extended(array.dtype):
        raise Unfit(f"is {type(tensor).__name__}, not a tensor of numbers")
    return array


def _of_torch(tensor: Any) -> Array:
    name = str(tensor.dtype).removeprefix("torch.")
    if getattr(tensor, "is_meta", False):
        raise Unfit("is on the device 'meta', where tensors have shapes and no values")
    if getattr(tensor, "is_quantized", False):
        raise Unfit(f"is quantised ({name}); convert its dequantize()")
    tensor = tensor.detach().cpu()
    if "strided" not in str(tensor.layout):
        tensor = tensor.to_dense()
    tensor = tensor.resolve_conj().resolve_neg()
    if name in _AS_INTEGERS:
        torch = sys.modules["torch"]  # there, since this is one of its tensors
        integers = tensor.view(getattr(torch, _AS_INTEGERS[name])).numpy()
        return np.asarray(integers).view(np.dtype(name))
    return np.asarray(tensor.numpy())


def _is_extended(dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype is one of ml_dtypes."""
    return dtype.type.__module__ == "ml_dtypes"


def _is_floating(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or (_is_extended(dtype) and "int" not in dtype.name)


def _is_short(dtype: np.dtype[Any]) -> bool:
    """Tell whether whole numbers have less than eight bits."""
    return _is_extended(dtype) and not _is_floating(dtype)


def as_tensor(array: Array) -> Any:
    """Return a tensor of PyTorch that owns its memory, with the same bits.

    Args:
      array: of any dtype that PyTorch has.

    Raises:
      ImportError: if PyTorch is not installed.
      Unfit: if PyTorch has no such dtype.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "form='torch' makes tensors of PyTorch, which is not installed. The default form is "
            "arrays, for which it is not needed."
        ) from error

    name = array.dtype.name
    if name in _AS_INTEGERS and hasattr(torch, name):
        array = array.view(np.dtype(_AS_INTEGERS[name]))
        return torch.from_numpy(np.array(array, order="C")).view(getattr(torch, name))
    try:
        return torch.from_numpy(np.array(array, order="C"))
    except TypeError as error:
        raise Unfit(f"has the dtype {name}, which PyTorch has not; pass dtype='float32'") from error


def fitted(array: Array, dtype: Any) -> Array:
    """Return values in another dtype, if they mean the same there.

    Args:
      array: the values.
      dtype: the dtype of the variable.

    Raises:
      Unfit: if complex numbers are to become real, fractions whole, codes of quantised weights
        floats, or numbers are out of range.

    Example:
      >>> import numpy as np
      >>> from ramie.interop.torch_tensors import fitted
      >>> fitted(np.array([1.5], np.float64), np.float32).dtype
      dtype('float32')
    """
    wanted = np.dtype(dtype)
    if array.dtype == wanted:
        return array
    between = f"is {array.dtype.name}, which the variable of dtype {wanted.name} cannot hold"
    if array.dtype.kind == "c" and wanted.kind != "c":
        raise Unfit(f"{between}: the imaginary part would be lost")
    if _is_floating(wanted) and (array.dtype in (np.int8, np.uint8) or _is_short(array.dtype)):
        raise Unfit(f"{between}: these are the codes of quantised weights; dequantise them first")
    with np.errstate(over="ignore", invalid="ignore"):
        value = array.astype(wanted)
        if _is_floating(wanted) and _is_floating(array.dtype):
            lost = np.isfinite(array) & ~np.isfinite(value)
            reason = "some numbers are too large"
        elif not _is_floating(wanted) and wanted.kind != "c":
            lost = value.astype(array.dtype) != array
            reason = "some numbers would change"
        else:
            return value
    if lost.any():
        raise Unfit(f"{between}: {reason}")
    return value
