"""The table of NNX layers. A row gives a layer every test of the folder and its parity tests."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tests.families.row import Input, floats, integers, pair


@dataclass(frozen=True, eq=False)
class NnxRow:
    """A layer in one configuration.

    Args:
      name: identifies the row in test ids.
      make: makes the layer from a namespace (`ramie.nnx` or `flax.nnx`), random streams and more
        settings.
      inputs: positional arguments of the call.
      kwargs: keyword arguments of the call.
      linen: makes the same layer from a namespace of Linen, if there is one.
      variables: maps the pure state of the layer to variables of the Linen layer.
      linen_kwargs: keyword arguments of the call there, where they are others.
      linen_exact: whether the Linen layer gives the same bits: not if it multiplies gate by gate.
      dtypes: whether the layer has the settings `dtype` and `param_dtype`.
      differentiable: whether gradients of the parameters make sense and reach all of them.
      loops: whether the call runs a loop, whose steps are compiled even in eager mode and round
        differently one operation at a time.
      needs: the name that an older Flax lacks, if any.
    """

    name: str
    make: Callable[..., Any]
    inputs: tuple[Input, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    linen: Callable[[Any], Any] | None = None
    variables: Callable[[Any], Any] = lambda state: {"params": state}
    linen_kwargs: Mapping[str, Any] | None = None
    linen_exact: bool = True
    dtypes: bool = True
    differentiable: bool = True
    loops: bool = False
    needs: str = "Module"

    def arguments(self) -> tuple[Any, ...]:
        arrays = tuple(x.array(seed) for seed, x in enumerate(self.inputs))
        return jax.tree.map(jnp.asarray, arrays)  # type: ignore[no-any-return]

    def layer(self, nnx: Any, **settings: Any) -> Any:
        """Make the layer, and move its parameters off their initial values.

        Scales of weights stay: before 0.12.12 Flax has no variables for them.
        """
        layer = self.make(nnx, nnx.Rngs(0, params=1), **settings)
        rng = np.random.default_rng(11)
        wanted = nnx.All(nnx.Param, nnx.Not(nnx.PathContains("scales")))
        for _, variable in nnx.to_flat_state(nnx.state(layer, wanted)):
            moved = 0.1 * rng.uniform(-1, 1, variable.shape)
            variable[...] = variable[...] + jnp.asarray(moved, variable.dtype)
        return layer

    def call(self, layer: Any, *arguments: Any) -> Any:
        return layer(*(arguments or self.arguments()), **self.kwargs)


@functools.cache
def prepared(row: NnxRow) -> tuple[Any, Any]:
    """Structure and state of the Ramie layer of a row; `fresh` makes layers of them."""
    from ramie import nnx

    return nnx.split(row.layer(nnx))


def fresh(row: NnxRow) -> Any:
    """A layer with variables of its own, which a test may change."""
    from ramie import nnx

    graphdef, state = prepared(row)
    return nnx.merge(graphdef, state, copy=True)


def _statistics(state: Any) -> Any:
    params = {name: state[name] for name in ("scale", "bias")}
    return {"params": params, "batch_stats": {name: state[name] for name in ("mean", "var")}}


def _spectral(state: Any) -> Any:
    stats = {"/".join(("layer_instance", *path)): x for path, x in state["batch_stats"].items()}
    return {"params": {"layer_instance": state["layer_instance"]}, "batch_stats": stats}


def _weight_normed(state: Any) -> Any:
    scales = {"/".join(("layer_instance", *p, "scale")): x for p, x in state["scales"].items()}
    return {"params": {"layer_instance": state["layer_instance"], **scales}}


def _packed(kernel: Any, gates: str) -> Any:
    return dict(zip(gates, jnp.split(kernel, len(gates), axis=-1), strict=True))


def _gru(state: Any) -> dict[str, Any]:
    of_input, biases = _packed(state["dense_i"]["kernel"], "rzn"), state["dense_i"]["bias"]
    of_state, biases = _packed(state["dense_h"]["kernel"], "rzn"), _packed(biases, "rzn")
    gates: dict[str, Any] = {}
    for gate in "rzn":
        gates[f"i{gate}"] = {"kernel": of_input[gate], "bias": biases[gate]}
        gates[f"h{gate}"] = {"kernel": of_state[gate]}
    gates["hn"]["bias"] = jnp.zeros_like(biases["n"])
    return gates


def _optimized(state: Any) -> dict[str, Any]:
    of_input = _packed(state["dense_i"]["kernel"], "ifgo")
    of_state = _packed(state["dense_h"]["kernel"], "ifgo")
    biases = _packed(state["dense_h"]["bias"], "ifgo")
    gates = {f"i{gate}": {"kernel": kernel} for gate, kernel in of_input.items()}
    return gates | {f"h{g}": {"kernel": of_state[g], "bias": biases[g]} for g in "ifgo"}


def _lstm(state: Any) -> dict[str, Any]:
    return {"if" if name == "if_" else name: value for name, value in state.items()}


def _directions(nn: Any) -> tuple[Any, Any]:
    return nn.RNN(nn.GRUCell(4)), nn.RNN(nn.GRUCell(4))


def _two_cells(state: Any) -> Any:
    names = ("forward_rnn", "backward_rnn")
    return {"params": {name: {"cell": _gru(state[name]["cell"])} for name in names}}


def _both(nnx: Any, rngs: Any, **settings: Any) -> Any:
    cells = [nnx.GRUCell(3, 4, rngs=rngs, **settings) for _ in range(2)]
    return nnx.Bidirectional(*map(nnx.RNN, cells))


ROWS = (
    NnxRow(
        "linear",
        lambda nnx, rngs, **k: nnx.Linear(6, 4, rngs=rngs, **k),
        (floats(2, 6),),
        linen=lambda nn: nn.Dense(4),
    ),
    NnxRow(
        "linear_general",
        lambda nnx, rngs, **k: nnx.LinearGeneral((2, 6), (3, 4), axis=(0, 2), rngs=rngs, **k),
        (floats(2, 3, 6),),
        linen=lambda nn: nn.DenseGeneral((3, 4), axis=(0, 2)),
    ),
    NnxRow(
        "einsum",
        lambda nnx, rngs, **k: nnx.Einsum("...a,ab->...b", (6, 4), (4,), rngs=rngs, **k),
        (floats(2, 6),),
        linen=lambda nn: nn.Einsum((6, 4), "...a,ab->...b"),
    ),
    NnxRow(
        "embed",
        lambda nnx, rngs, **k: nnx.Embed(7, 4, rngs=rngs, **k),
        (integers(2, 3, below=7),),
        linen=lambda nn: nn.Embed(7, 4),
        differentiable=False,
    ),
    NnxRow(
        "conv",
        lambda nnx, rngs, **k: nnx.Conv(3, 4, (3,), strides=2, rngs=rngs, **k),
        (floats(2, 5, 3),),
        linen=lambda nn: nn.Conv(4, (3,), strides=2),
    ),
    NnxRow(
        "conv_transpose",
        lambda nnx, rngs, **k: nnx.ConvTranspose(3, 4, (3,), strides=(2,), rngs=rngs, **k),
        (floats(2, 5, 3),),
        linen=lambda nn: nn.ConvTranspose(4, (3,), strides=(2,)),
    ),
    NnxRow(
        "batch_norm",
        lambda nnx, rngs, **k: nnx.BatchNorm(6, rngs=rngs, **k),
        (floats(4, 6),),
        linen=lambda nn: nn.BatchNorm(use_running_average=False),
        variables=_statistics,
    ),
    NnxRow(
        "batch_norm_evaluated",
        lambda nnx, rngs, **k: nnx.BatchNorm(6, use_running_average=True, rngs=rngs, **k),
        (floats(4, 6),),
        linen=lambda nn: nn.BatchNorm(use_running_average=True),
        variables=_statistics,
    ),
    NnxRow(
        "layer_norm",
        lambda nnx, rngs, **k: nnx.LayerNorm(6, rngs=rngs, **k),
        (floats(4, 6),),
        linen=lambda nn: nn.LayerNorm(),
    ),
    NnxRow(
        "layer_norm_bare",
        lambda nnx, rngs, **k: nnx.LayerNorm(
            6, use_scale=False, use_bias=False, use_fast_variance=False, rngs=rngs, **k
        ),
        (floats(4, 6),),
        linen=lambda nn: nn.LayerNorm(use_scale=False, use_bias=False, use_fast_variance=False),
        variables=lambda state: {},
        differentiable=False,
    ),
    NnxRow(
        "rms_norm",
        lambda nnx, rngs, **k: nnx.RMSNorm(6, rngs=rngs, **k),
        (floats(4, 6),),
        linen=lambda nn: nn.RMSNorm(),
    ),
    NnxRow(
        "group_norm",
        lambda nnx, rngs, **k: nnx.GroupNorm(6, num_groups=3, rngs=rngs, **k),
        (floats(2, 3, 6),),
        linen=lambda nn: nn.GroupNorm(num_groups=3),
    ),
    NnxRow(
        "instance_norm",
        lambda nnx, rngs, **k: nnx.InstanceNorm(6, rngs=rngs, **k),
        (floats(2, 3, 6),),
        linen=lambda nn: nn.InstanceNorm(),
    ),
    NnxRow(
        "spectral_norm",
        lambda nnx, rngs, **k: nnx.SpectralNorm(nnx.Linear(6, 4, rngs=rngs), n_steps=2, rngs=rngs),
        (floats(2, 6),),
        linen=lambda nn: nn.SpectralNorm(nn.Dense(4), n_steps=2),
        variables=_spectral,
        linen_kwargs={"update_stats": True},
        dtypes=False,
    ),
    NnxRow(
        "weight_norm",
        lambda nnx, rngs, **k: nnx.WeightNorm(nnx.Linear(6, 4, rngs=rngs), rngs=rngs),
        (floats(2, 6),),
        linen=lambda nn: nn.WeightNorm(nn.Dense(4)),
        variables=_weight_normed,
        dtypes=False,
    ),
    NnxRow(
        "dropout",
        lambda nnx, rngs, **k: nnx.Dropout(0.3, rngs=rngs),
        (floats(4, 6),),
        dtypes=False,
        differentiable=False,
    ),
    NnxRow(
        "prelu",
        lambda nnx, rngs, **k: nnx.PReLU(**k),
        (floats(4, 6),),
        linen=lambda nn: nn.PReLU(),
    ),
    NnxRow(
        "attention",
        # Heads of four features: both ways to compute attention scale by a power of two.
        lambda nnx, rngs, **k: nnx.MultiHeadAttention(2, 6, 8, decode=False, rngs=rngs, **k),
        (floats(2, 3, 6),),
        linen=lambda nn: nn.MultiHeadDotProductAttention(2, qkv_features=8),
        differentiable=False,  # the bias of the keys changes nothing
    ),
    NnxRow(
        "attention_grouped",
        lambda nnx, rngs, **k: nnx.MultiHeadAttention(
            4,
            6,
            16,
            num_kv_heads=2,
            normalize_qk=True,
            use_bias=False,
            dropout_rate=0.3,
            deterministic=False,
            decode=False,
            rngs=rngs,
            **k,
        ),
        (floats(2, 3, 6),),
        kwargs={"is_causal": True},
    ),
    NnxRow(
        "rope",
        lambda nnx, rngs, **k: nnx.RoPE(theta=50.0),
        (floats(2, 3, 6), integers(3, below=9)),
        linen=lambda nn: nn.RoPE(theta=50.0),
        dtypes=False,
        differentiable=False,  # there are no parameters
        needs="RoPE",
    ),
    NnxRow(
        "lora",
        lambda nnx, rngs, **k: nnx.LoRA(6, 2, 4, rngs=rngs, **k),
        (floats(2, 6),),
    ),
    NnxRow(
        "lora_linear",
        lambda nnx, rngs, **k: nnx.LoRALinear(6, 4, lora_rank=2, rngs=rngs),
        (floats(2, 6),),
        dtypes=False,
    ),
    NnxRow(
        "simple_cell",
        lambda nnx, rngs, **k: nnx.SimpleCell(3, 4, residual=True, rngs=rngs, **k),
        (floats(2, 4), floats(2, 3)),
        linen=lambda nn: nn.SimpleCell(4, residual=True),
        variables=lambda state: {"params": {"i": state["dense_i"], "h": state["dense_h"]}},
        dtypes=False,
    ),
    NnxRow(
        "lstm_cell",
        lambda nnx, rngs, **k: nnx.LSTMCell(3, 4, rngs=rngs, **k),
        (pair(2, 4), floats(2, 3)),
        linen=lambda nn: nn.LSTMCell(4),
        variables=lambda state: {"params": _lstm(state)},
        dtypes=False,
    ),
    NnxRow(
        "optimized_lstm_cell",
        lambda nnx, rngs, **k: nnx.OptimizedLSTMCell(3, 4, rngs=rngs, **k),
        (pair(2, 4), floats(2, 3)),
        linen=lambda nn: nn.OptimizedLSTMCell(4),
        variables=lambda state: {"params": _optimized(state)},
        dtypes=False,
    ),
    NnxRow(
        "gru_cell",
        lambda nnx, rngs, **k: nnx.GRUCell(3, 4, rngs=rngs, **k),
        (floats(2, 4), floats(2, 3)),
        linen=lambda nn: nn.GRUCell(4),
        variables=lambda state: {"params": _gru(state)},
        linen_exact=False,
        dtypes=False,
    ),
    NnxRow(
        "rnn",
        lambda nnx, rngs, **k: nnx.RNN(nnx.LSTMCell(3, 4, rngs=rngs, **k), rngs=rngs),
        (floats(2, 3, 3),),
        kwargs={"seq_lengths": np.array([2, 3]), "return_carry": True},
        linen=lambda nn: nn.RNN(nn.LSTMCell(4)),
        variables=lambda state: {"params": {"cell": _lstm(state["cell"])}},
        dtypes=False,
        loops=True,
    ),
    NnxRow(
        "bidirectional",
        _both,
        (floats(2, 3, 3),),
        linen=lambda nn: nn.Bidirectional(*_directions(nn)),
        variables=_two_cells,
        linen_exact=False,
        dtypes=False,
        loops=True,
    ),
)

__all__ = ["ROWS", "NnxRow", "fresh", "prepared"]
