"""Plans of language models for machines that are not there: what they say, and what they cost."""

import importlib.util
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import PartitionSpec

import ramie.linen as nn
from benchmarks import report
from ramie.plan import plan
from ramie.plan.report import Plan
from ramie.training.train_state import TrainState

GIB = 2**30
BARS = "60 s and 2 GiB"
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


class Size(NamedTuple):
    """Of a Llama-like model.

    Attributes:
        layers: how many blocks.
        width: of the residual stream.
        heads: of queries.
        groups: of keys and values.
        hidden: of the gated layers.
        vocabulary: how many tokens there are.
        length: of a sequence.
    """

    layers: int
    width: int
    heads: int
    groups: int
    hidden: int
    vocabulary: int
    length: int


LARGE = Size(80, 8192, 64, 8, 28672, 128_256, 4096)  # 70.6 billion parameters
SMALL = Size(32, 4096, 32, 8, 14336, 32_000, 2048)  # 7.2 billion
RULES = (
    ("batch", "data"),
    ("embed", "data"),  # of parameters: each device holds a part, and fetches the rest as needed
    ("vocab", "model"),
    ("heads", "model"),
    ("hidden", "model"),
    ("layers", None),
)


def _dense(features: Any, names: tuple[str, ...], name: str, axis: Any = -1) -> nn.DenseGeneral:
    init = nn.with_logical_partitioning(nn.initializers.lecun_normal(), names)
    return nn.DenseGeneral(
        features, axis=axis, use_bias=False, dtype=jnp.bfloat16, kernel_init=init, name=name
    )


def _norm(name: str) -> nn.RMSNorm:
    init = nn.with_logical_partitioning(nn.initializers.ones, (None,))
    return nn.RMSNorm(dtype=jnp.bfloat16, scale_init=init, name=name)


def _rotated(x: jax.Array) -> jax.Array:
    half = x.shape[-1] // 2
    angles = jnp.arange(x.shape[1])[:, None] * 500_000.0 ** (-jnp.arange(half) / half)[None]
    sine, cosine = (f(angles)[None, :, None].astype(x.dtype) for f in (jnp.sin, jnp.cos))
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], -1)


class Block(nn.Module):
    """Attention with grouped heads, then a gated layer."""

    size: Size

    @nn.compact
    def __call__(self, x: jax.Array, _: None) -> tuple[jax.Array, None]:
        size = self.size
        depth = size.width // size.heads
        y = _norm("attention_norm")(x)
        query = _dense((size.heads, depth), ("embed", "heads", None), "query")(y)
        key = _dense((size.groups, depth), ("embed", "heads", None), "key")(y)
        value = _dense((size.groups, depth), ("embed", "heads", None), "value")(y)
        y = jax.nn.dot_product_attention(_rotated(query), _rotated(key), value, is_causal=True)
        x = x + _dense(size.width, ("heads", None, "embed"), "out", (-2, -1))(y)
        x = nn.with_logical_constraint(x, ("batch", None, None))
        y = _norm("gated_norm")(x)
        gate = _dense(size.hidden, ("embed", "hidden"), "gate")(y)
        up = _dense(size.hidden, ("embed", "hidden"), "up")(y)
        x = x + _dense(size.width, ("hidden", "embed"), "down")(nn.silu(gate) * up)
        return nn.with_logical_constraint(x, ("batch", None, None)), None


class Llama(nn.Module):
    """A decoder whose blocks are one, scanned and recomputed."""

    size: Size

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        init = nn.with_logical_partitioning(nn.initializers.normal(0.02), ("vocab", "embed"))
        embed = nn.Embed(self.size.vocabulary, self.size.width, embedding_init=init, name="embed")
        x = nn.with_logical_constraint(embed(tokens).astype(jnp.bfloat16), ("batch", None, None))
        blocks = nn.scan(
            nn.remat(Block, prevent_cse=False),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=self.size.layers,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        x, _ = blocks(self.size, name="layers")(x, None)
        return _dense(self.size.vocabulary, ("embed", "vocab"), "logits")(_norm("norm")(x))


def _step(state: TrainState, tokens: jax.Array) -> tuple[TrainState, jax.Array]:
    def loss(params: Any) -> jax.Array:
        logits = state.apply_fn({"params": params}, tokens)[:, :-1]
        logits = logits.astype(jnp.float32)
        return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

    value, grads = jax.value_and_grad(loss)(state.params)
    return state.apply_gradients(grads=grads), value


def plan_of(
    size: Size,
    batch: int,
    topology: str,
    mesh: Mapping[str, int],
    progress: Callable[[str], None] | None = None,
) -> Plan:
    """Plan a training step with AdamW.

    Args:
        size: of the model.
        batch: sequences in a step, over all devices.
        topology: its name.
        mesh: the size of each axis.
        progress: see `ramie.plan.plan`.
    """
    model = Llama(size)
    tokens = jax.ShapeDtypeStruct((batch, size.length), jnp.int32)

    def init(key: jax.Array) -> TrainState:
        params = model.init(key, jnp.zeros((1, size.length), jnp.int32))["params"]
        tx = optax.adamw(1e-4, mu_dtype=jnp.bfloat16)
        return TrainState.create(apply_fn=model.apply, params=params, tx=tx)

    state = jax.eval_shape(init, jax.random.key(0))
    return plan(
        _step,
        state,
        tokens,
        topology=topology,
        mesh=mesh,
        specs=(None, PartitionSpec("data")),
        rules=RULES,
        donate=0,
        progress=progress,
    )


def _row(name: str, found: Plan, seconds: float, of_cpu: float) -> list[str]:
    memory, bound = found.memory, found.bound
    mesh = " x ".join(f"{axis} {size}" for axis, size in found.mesh.items())
    fits = f"{found.verdict}, lacks {memory.lacking / GIB:.1f}" if memory.lacking else found.verdict
    wire = sum(one.bytes for one in found.collectives)
    return [
        name,
        mesh,
        f"{memory.arguments / GIB:.2f}",
        "" if memory.temporaries is None else f"{memory.temporaries / GIB:.2f}",
        f"{memory.total / GIB:.1f}",
        fits,
        "" if found.work is None else f"{found.work.flops / 1e12:.1f}",
        f"{wire / GIB:.1f}",
        "" if bound is None else f"{bound.seconds:.2f} ({bound.by})",
        f"{seconds:.0f}",
        f"{of_cpu:.0f}",
    ]


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in _WHO]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure() -> tuple[list[list[str]], float]:
    """Return the rows of the table, and the most memory that a process took, in GiB."""
    cases: list[tuple[str, Size, int, str, dict[str, int]]] = [
        ("70.6B, v5p:8x8x4, batch 128", LARGE, 128, "v5p:8x8x4", {"data": 32, "model": 8}),
        ("70.6B, v5p:8x8x4, batch 1024", LARGE, 1024, "v5p:8x8x4", {"data": 32, "model": 8}),
    ]
    for model in (1, 2, 4, 8):
        mesh = {"data": 16 // model, "model": model}
        cases.append(("7.2B, v5e:4x4, batch 16", SMALL, 16, "v5e:4x4", mesh))
    rows = []
    for name, size, batch, topology, mesh in cases:
        start, before = time.perf_counter(), _cpu_seconds()
        found = plan_of(size, batch, topology, mesh)
        spent = time.perf_counter() - start, _cpu_seconds() - before
        rows.append(_row(name, found, *spent))
    peaks = [resource.getrusage(who).ru_maxrss for who in _WHO]
    return rows, max(peaks) * 1024 / GIB


def section() -> str:
    """Measure and return the section of the report."""
    title = "## Plans of language models\n\n"
    if importlib.util.find_spec("libtpu") is None:
        return title + "Not measured: libtpu is not installed (`ramie[plan]`)."
    rows, peak = measure()
    header = ["model", "mesh", "arguments, GiB", "temporaries, GiB", "total, GiB", "verdict"]
    header += ["TFLOP a device", "collectives, GiB", "at least, s", "planning, s", "CPU, s"]
    return (
        f"{title}A training step of Llama-like models (`nn.scan`, `nn.remat`, logical axis rules, "
        f"AdamW with bfloat16 momentum, sequences of {LARGE.length} and {SMALL.length}), planned "
        "by `ramie.plan` for TPUs that are not there. Memory, work and collectives are those of "
        f"one device. The most memory that one process took was {peak:.1f} GiB; the bar for the "
        f"larger model is {BARS}.\n\n" + report.table(header, rows)
    )
