"""How the tensors of PyTorch's layers become the variables of layers of Linen and NNX, and back.

A `Conversion` belongs to one layer. Most are lists of pairs: one tensor, one variable, and how
their axes are ordered. Recurrent cells differ: PyTorch stacks the weights of all gates in one
tensor and has two biases where one suffices; and so does attention, whose three projections may
be one tensor.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ramie.interop.torch_tensors import Array, Unfit

__all__ = ["Conversion", "Leaf", "Pair", "conversions_of"]

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
      is_whole: whether it is a cell, whose tensors a recurrent layer numbers.
      output_axis: where tensors of more than one axis have the outputs of the layer.
      marks: tensors that only this conversion of the layer has; none if there is one only.
      refused: tensors that nothing here stands for, and why.
      is_native: whether PyTorch's own layer may have these shapes.
    """

    leaves: tuple[Leaf, ...]
    tensors: Mapping[Leaf, tuple[str, ...]]
    read: Callable[[Leaf, Sequence[Array]], Array]
    write: Callable[[Mapping[Leaf, Array]], dict[str, Array]]
    is_whole: bool = False
    output_axis: int = 0
    marks: tuple[str, ...] = ()
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_native: bool = True


def _of_pairs(
    pairs: Sequence[Pair], extra: Mapping[str, Array] | None = None, output_axis: int = 0
) -> Conversion:
    by_leaf = {pair.leaf: pair for pair in pairs}

    def write(variables: Mapping[Leaf, Array]) -> dict[str, Array]:
        made = {p.tensor: p.to_torch(variables[p.leaf]) for p in pairs if p.leaf in variables}
        return {**made, **(extra or {})}

    return Conversion(
        leaves=tuple(by_leaf),
        tensors={leaf: (pair.tensor,) for leaf, pair in by_leaf.items()},
        read=lambda leaf, tensors: by_leaf[leaf].to_linen(tensors[0]),
        write=write,
        output_axis=output_axis,
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

    Raises:
      Unfit: if that is an image of another size.
    """
    inputs, outputs = shape[:axes], shape[axes:]
    rows = flattened if flattened is not None else inputs
    if np.prod(rows) != np.prod(inputs):
        raise Unfit(f"has {np.prod(inputs)} inputs, but flattened= says {rows}")
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
    return _of_pairs([Pair(_KERNEL, "weight", to_linen, to_torch), _BIAS], output_axis=1)


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


def _cell(gates: Sequence[_Gate], other_names: Mapping[str, str]) -> Conversion:
    gates = [
        dataclasses.replace(gate, inputs=other_names.get(gate.inputs, gate.inputs))
        for gate in gates
    ]
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
            kernel = variables["params", gate.state, "kernel"]
            return np.zeros(kernel.shape[1], kernel.dtype) if held is None else held

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


def _stacked_cell(
    leaves: Sequence[Leaf], bias: str, gates: int, has_state_bias: bool
) -> Conversion:
    """Convert a cell of NNX that has the weights of all gates in one kernel, as PyTorch has.

    Args:
      leaves: the variables.
      bias: the layer that has the bias.
      gates: the number of gates.
      has_state_bias: whether the last gate of PyTorch has a bias that belongs to the state alone.
    """
    sources: dict[Leaf, tuple[str, ...]] = {
        ("params", "dense_i", "kernel"): ("weight_ih",),
        ("params", "dense_h", "kernel"): ("weight_hh",),
        ("params", bias, "bias"): ("bias_ih", "bias_hh"),
    }
    sources = {leaf: names for leaf, names in sources.items() if leaf in leaves}

    def read(leaf: Leaf, tensors: Sequence[Array]) -> Array:
        if leaf[-1] == "kernel":
            return tensors[0].T
        if has_state_bias and np.split(tensors[1], gates)[-1].any():
            raise Unfit(
                "is not zero for the new state, where this cell has no bias of the state; "
                "nn.GRUCell of Linen has one"
            )
        return functools.reduce(np.add, tensors)

    def write(variables: Mapping[Leaf, Array]) -> dict[str, Array]:
        kernels = {side: variables["params", f"dense_{side}", "kernel"] for side in "ih"}
        held = variables.get(("params", bias, "bias"))
        nothing = np.zeros(kernels["h"].shape[1], kernels["h"].dtype)
        return {
            "weight_ih": kernels["i"].T,
            "weight_hh": kernels["h"].T,
            "bias_ih": nothing if held is None else held,
            "bias_hh": nothing,
        }

    return Conversion(tuple(sources), sources, read, write, is_whole=True)


# Attention ------------------------------------------------------------------------------------

_PROJECTIONS = ("query", "key", "value")
_SEPARATE = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
_EXTRA_BIAS = (
    "is a key or value that torch.nn.MultiheadAttention(add_bias_kv=True) appends; attention here "
    "has none"
)


def _attention(shapes: Mapping[Leaf, tuple[int, ...]]) -> tuple[Conversion, ...]:
    """Convert attention as `torch.nn.MultiheadAttention` has it, the likelier form first.

    Its projections of queries, keys and values are one tensor, or three if keys or values have
    other features than queries. Networks with linear layers of their own have none of these.
    """
    kernels = [shapes.get(("params", name, "kernel"), ()) for name in (*_PROJECTIONS, "out")]
    if not all(len(shape) == 3 for shape in kernels):
        return ()
    embedding = kernels[0][0]  # queries, all heads together and results have this size there
    sizes = {kernels[-1][-1], *(heads * depth for _, heads, depth in kernels[:-1])}
    is_native = sizes == {embedding}
    forms = [_projections(shapes, packed, is_native) for packed in (True, False)]
    return tuple(forms if len({shape[0] for shape in kernels[:-1]}) == 1 else forms[::-1])


def _projections(
    shapes: Mapping[Leaf, tuple[int, ...]], packed: bool, is_native: bool
) -> Conversion:
    sources: dict[Leaf, tuple[str, ...]] = {}
    for index, name in enumerate(_PROJECTIONS):
        weight = "in_proj_weight" if packed else _SEPARATE[index]
        sources["params", name, "kernel"] = (weight,)
        sources["params", name, "bias"] = ("in_proj_bias",)
    sources["params", "out", "kernel"] = ("out_proj.weight",)
    sources["params", "out", "bias"] = ("out_proj.bias",)
    sources = {leaf: names for leaf, names in sources.items() if leaf in shapes}

    def read(leaf: Leaf, tensors: Sequence[Array]) -> Array:
        tensor = tensors[0]
        if sources[leaf][0].startswith("in_proj"):
            tensor = np.split(tensor, 3)[_PROJECTIONS.index(leaf[1])]
        return tensor.T.reshape(shapes[leaf]) if tensor.size == np.prod(shapes[leaf]) else tensor.T

    def write(variables: Mapping[Leaf, Array]) -> dict[str, Array]:
        parts: dict[str, list[Array]] = {}
        for leaf, (tensor,) in sources.items():
            if leaf not in variables:
                continue
            held = variables[leaf]
            outputs = held.shape[1:] if leaf[1] != "out" else held.shape[-1:]
            flat = held.reshape(-1) if leaf[-1] == "bias" else held.reshape(-1, np.prod(outputs)).T
            parts.setdefault(tensor, []).append(flat)
        return {name: np.concatenate(held) for name, held in parts.items()}

    return Conversion(
        leaves=tuple(sources),
        tensors=sources,
        read=read,
        write=write,
        marks=("in_proj_weight",) if packed else _SEPARATE,
        refused=dict.fromkeys(("bias_k", "bias_v"), _EXTRA_BIAS),
        is_native=is_native,
    )


# Choice ---------------------------------------------------------------------------------------


def conversions_of(
    module: Any, shapes: Mapping[Leaf, tuple[int, ...]], flattened: tuple[int, ...] | None
) -> tuple[Conversion, ...]:
    """Return how a module's variables may be converted; nothing if it is no layer known here.

    Args:
      module: a module of Linen or NNX.
      shapes: the shapes of its variables.
      flattened: see `_dense`.

    Raises:
      Unfit: if `flattened` does not fit the layer.
    """
    from ramie import linen, nnx

    def kind(*names: str) -> bool:
        classes = (getattr(room, name, None) for room in (linen, nnx) for name in names)
        return isinstance(module, tuple(found for found in classes if found is not None))

    kernel = shapes.get(_KERNEL, ())
    if flattened is not None and not kind("Dense", "Linear", "DenseGeneral", "LinearGeneral"):
        raise Unfit(f"is {type(module).__name__}, and flattened= is for dense layers")
    if kind("MultiHeadDotProductAttention", "MultiHeadAttention"):
        return _attention(shapes)
    if kind("Dense", "Linear"):
        return (_dense(kernel, 1, flattened),)
    if kind("DenseGeneral", "LinearGeneral"):
        features = module.features if hasattr(module, "features") else module.out_features
        outputs = len(features) if isinstance(features, Sequence) else 1
        return (_dense(kernel, len(kernel) - outputs, flattened),)
    if kind("ConvTranspose"):
        return (_conv_transpose(module.transpose_kernel),)
    if kind("Conv"):
        return (_conv(),)
    if kind("BatchNorm"):
        return (_batch_norm(),)
    if kind("LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm"):
        shape = shapes.get(("params", "scale"), shapes.get(("params", "bias"), ()))
        return (_norm(shape),)
    if kind("Embed"):
        return (_embed(),)
    if kind("PReLU"):
        return (_prelu(),)
    return _cell_of(module, kind, tuple(shapes))


def _cell_of(
    module: Any, kind: Callable[..., bool], leaves: tuple[Leaf, ...]
) -> tuple[Conversion, ...]:
    gates = {"SimpleCell": "SimpleCell", "GRUCell": "GRUCell"}
    gates |= dict.fromkeys(("LSTMCell", "OptimizedLSTMCell"), "LSTMCell")
    name = next((name for name in gates if kind(name)), None)
    if name is None:
        return ()
    if any(leaf[1] == "dense_i" for leaf in leaves):
        bias = "dense_h" if name == "OptimizedLSTMCell" else "dense_i"
        return (_stacked_cell(leaves, bias, len(_GATES[gates[name]]), name == "GRUCell"),)
    renamed = ("params", "if_", "kernel") in leaves  # `if` is no name of an attribute
    return (_cell(_GATES[gates[name]], {"if": "if_"} if renamed else {}),)
