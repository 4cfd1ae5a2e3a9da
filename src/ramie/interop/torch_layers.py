"""How the tensors of PyTorch's layers become the variables of Linen's layers, and back.

A `Conversion` belongs to one layer. Most are lists of pairs: one tensor, one variable, and how
their axes are ordered. Recurrent cells differ: PyTorch stacks the weights of all gates in one
tensor and has two biases where one suffices.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Conversion", "Leaf", "Pair", "conversion_of"]

Array = np.ndarray[Any, Any]
Leaf = tuple[str, ...]
"""A collection, and the path of a variable below a layer."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """One variable and the tensor it comes from.

    Attributes:
      leaf: the variable.
      tensor: the name of the tensor within the layer.
      to_linen: orders the axes as Linen does.
      to_torch: orders them as PyTorch does.
    """

    leaf: Leaf
    tensor: str
    to_linen: Callable[[Array], Array] = np.asarray
    to_torch: Callable[[Array], Array] = np.asarray


@dataclasses.dataclass(frozen=True)
class Conversion:
    """The tensors and variables of one layer.

    Attributes:
      leaves: the variables.
      tensors: the names of the tensors they are made from, by variable.
      read: turns tensors by name into variables.
      write: turns variables into tensors by name.
      is_whole: whether the layer's submodules are included.
    """

    leaves: tuple[Leaf, ...]
    tensors: Mapping[Leaf, tuple[str, ...]]
    read: Callable[[Leaf, Sequence[Array]], Array]
    write: Callable[[Mapping[Leaf, Array]], dict[str, Array]]
    is_whole: bool = False


def _of_pairs(pairs: Sequence[Pair], extra: Mapping[str, Array] | None = None) -> Conversion:
    by_leaf = {pair.leaf: pair for pair in pairs}

    def write(variables: Mapping[Leaf, Array]) -> dict[str, Array]:
        made = {p.tensor: p.to_torch(variables[p.leaf]) for p in pairs if p.leaf in variables}
        return {**made, **(extra or {})}

    return Conversion(
        leaves=tuple(by_leaf),
        tensors={leaf: (pair.tensor,) for leaf, pair in by_leaf.items()},
        read=lambda leaf, tensors: by_leaf[leaf].to_linen(tensors[0]),
        write=write,
    )


_BIAS = Pair(("params", "bias"), "bias")
_KERNEL = ("params", "kernel")

# Layers of one tensor each --------------------------------------------------------------------


def _dense(shape: tuple[int, ...], axes: int, flattened: tuple[int, ...] | None) -> Conversion:
    """Convert a kernel ``[in..., out...]`` whose last axes are outputs.

    Args:
      shape: the shape of the kernel.
      axes: how many of the axes are inputs.
      flattened: channels, height and width of the image that the inputs are, if they are one.
    """
    inputs, outputs = shape[:axes], shape[axes:]
    rows = flattened if flattened is not None else inputs
    image = len(rows) > 1 and flattened is not None

    def to_linen(weight: Array) -> Array:
        kernel = weight.T.reshape(*rows, -1)
        if image:  # [C, spatial..., out] as PyTorch flattens, to [spatial..., C, out]
            kernel = np.moveaxis(kernel, 0, len(rows) - 1)
        return kernel.reshape(shape) if weight.size == np.prod(shape) else weight.T

    def to_torch(kernel: Array) -> Array:
        if image:
            kernel = np.moveaxis(kernel.reshape(*rows[1:], rows[0], -1), len(rows) - 1, 0)
        return kernel.reshape(int(np.prod(inputs)), int(np.prod(outputs))).T

    bias = Pair(("params", "bias"), "bias", lambda b: b.reshape(outputs), lambda b: b.reshape(-1))
    return _of_pairs([Pair(_KERNEL, "weight", to_linen, to_torch), bias])


def _conv() -> Conversion:
    to_linen = lambda w: np.moveaxis(w, (0, 1), (-1, -2))  # [out, in, k...] to [k..., in, out]
    to_torch = lambda k: np.moveaxis(k, (-1, -2), (0, 1))
    return _of_pairs([Pair(_KERNEL, "weight", to_linen, to_torch), _BIAS])


def _conv_transpose(transpose_kernel: bool) -> Conversion:
    def flipped(kernel: Array) -> Array:
        return np.flip(kernel, tuple(range(kernel.ndim - 2)))

    if transpose_kernel:  # the gradient of a convolution, as PyTorch defines it
        to_linen = lambda w: np.moveaxis(w, (0, 1), (-1, -2))  # [in, out, k...] to [k..., out, in]
        to_torch = lambda k: np.moveaxis(k, (-1, -2), (0, 1))
    else:  # a convolution over a stretched input: the kernel runs the other way
        to_linen = lambda w: flipped(np.moveaxis(w, (0, 1), (-2, -1)))
        to_torch = lambda k: np.moveaxis(flipped(k), (-2, -1), (0, 1))
    return _of_pairs([Pair(_KERNEL, "weight", to_linen, to_torch), _BIAS])


def _norm(shape: tuple[int, ...]) -> Conversion:
    to_linen = lambda w: w.reshape(shape) if w.size == np.prod(shape) else w
    return _of_pairs([Pair(("params", "scale"), "weight", to_linen), _BIAS])


def _batch_norm() -> Conversion:
    pairs = [
        Pair(("params", "scale"), "weight"),
        _BIAS,
        Pair(("batch_stats", "mean"), "running_mean"),
        Pair(("batch_stats", "var"), "running_var"),
    ]
    return _of_pairs(pairs, {"num_batches_tracked": np.zeros((), np.int64)})


def _embed() -> Conversion:
    return _of_pairs([Pair(("params", "embedding"), "weight")])


def _prelu() -> Conversion:
    first = lambda w: w.reshape(()) if w.size == 1 else w
    pair = Pair(("params", "negative_slope"), "weight", first, lambda s: s.reshape(1))
    return _of_pairs([pair])


# Recurrent cells ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Gate:
    """One gate of a cell: the layers of its input and of its state, and where they add a bias."""

    inputs: str
    state: str
    input_bias: bool
    state_bias: bool


# In the order in which PyTorch stacks them.
_GATES = {
    "LSTMCell": [_Gate(f"i{g}", f"h{g}", False, True) for g in "ifgo"],
    "GRUCell": [
        _Gate("ir", "hr", True, False),
        _Gate("iz", "hz", True, False),
        _Gate("in", "hn", True, True),
    ],
    "SimpleCell": [_Gate("i", "h", True, False)],
}


def _cell(gates: Sequence[_Gate]) -> Conversion:
    count = len(gates)
    sources: dict[Leaf, tuple[str, ...]] = {}
    stacked_at: dict[Leaf, int] = {}

    for n, gate in enumerate(gates):
        # Where Linen has one bias for both layers, it is the sum of PyTorch's two.
        both = gate.input_bias and gate.state_bias
        for name, side, has_bias in (
            (gate.inputs, "ih", gate.input_bias),
            (gate.state, "hh", gate.state_bias),
        ):
            sources["params", name, "kernel"] = (f"weight_{side}",)
            if has_bias:
                sources["params", name, "bias"] = (
                    (f"bias_{side}",) if both else ("bias_ih", "bias_hh")
                )
            stacked_at.update({leaf: n for leaf in sources if leaf[1] == name})

    def read(leaf: Leaf, tensors: Sequence[Array]) -> Array:
        parts = [np.split(tensor, count)[stacked_at[leaf]] for tensor in tensors]
        return parts[0].T if leaf[-1] == "kernel" else functools.reduce(np.add, parts)

    def write(variables: Mapping[Leaf, Array]) -> dict[str, Array]:
        def bias(gate: _Gate, layer: str, wanted: bool) -> Array:
            held = variables.get(("params", layer, "bias")) if wanted else None
            size = variables["params", gate.state, "kernel"].shape[1]
            return np.zeros(size, np.float32) if held is None else held

        kernel = lambda layer: variables["params", layer, "kernel"].T
        return {
            "weight_ih": np.concatenate([kernel(gate.inputs) for gate in gates]),
            "weight_hh": np.concatenate([kernel(gate.state) for gate in gates]),
            "bias_ih": np.concatenate([bias(g, g.inputs, g.input_bias) for g in gates]),
            "bias_hh": np.concatenate([bias(g, g.state, g.state_bias) for g in gates]),
        }

    return Conversion(
        leaves=tuple(sources),
        tensors=sources,
        read=read,
        write=write,
        is_whole=True,
    )


# Choice ---------------------------------------------------------------------------------------


def conversion_of(
    module: Any, shapes: Mapping[Leaf, tuple[int, ...]], flattened: tuple[int, ...] | None
) -> Conversion | None:
    """Return how a module's variables are converted; None if it is not a layer known here.

    Args:
      module: an unbound Linen module.
      shapes: the shapes of its variables.
      flattened: see `_dense`.
    """
    from ramie import linen as nn

    kernel = shapes.get(_KERNEL, ())
    if isinstance(module, nn.Dense):
        return _dense(kernel, 1, flattened)
    if isinstance(module, nn.DenseGeneral):
        features = module.features
        outputs = len(features) if isinstance(features, Sequence) else 1
        return _dense(kernel, len(kernel) - outputs, flattened)
    if isinstance(module, nn.ConvTranspose):
        return _conv_transpose(module.transpose_kernel)
    if isinstance(module, nn.Conv):
        return _conv()
    if isinstance(module, nn.BatchNorm):
        return _batch_norm()
    if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.InstanceNorm | nn.RMSNorm):
        return _norm(shapes.get(("params", "scale"), shapes.get(("params", "bias"), ())))
    if isinstance(module, nn.Embed):
        return _embed()
    if isinstance(module, nn.PReLU):
        return _prelu()
    if isinstance(module, nn.LSTMCell | nn.OptimizedLSTMCell):
        return _cell(_GATES["LSTMCell"])
    for kind in ("GRUCell", "SimpleCell"):
        if isinstance(module, getattr(nn, kind)):
            return _cell(_GATES[kind])
    return None
