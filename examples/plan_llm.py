"""Choose a mesh for a language model before there are devices to train it on.

`python examples/plan_llm.py` plans a tiny model on eight simulated devices. With
`pip install 'ramie[plan]'` it compiles for TPUs that are not there either:

    python examples/plan_llm.py --topology v5e:4x4 --size 7B --batch 32 --length 2048 --model 1 2 4

The command line plans the function `training` of this file, one mesh or several:

    ramie plan examples/plan_llm.py:training --topology v5e:4x4 --sweep model=1,2,4 --set size=7B
"""

import argparse
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import optax

import ramie.linen as nn
from ramie.plan import device_count, plan
from ramie.training.train_state import TrainState


@dataclass(frozen=True)
class Config:
    """The sizes of a decoder in the way of Llama."""

    layers: int
    width: int
    hidden: int
    heads: int
    groups: int
    vocabulary: int


SIZES = {
    "tiny": Config(layers=2, width=64, hidden=256, heads=8, groups=4, vocabulary=512),
    "1B": Config(layers=16, width=2048, hidden=8192, heads=32, groups=8, vocabulary=128256),
    "7B": Config(layers=32, width=4096, hidden=11008, heads=32, groups=32, vocabulary=32000),
    "70B": Config(layers=80, width=8192, hidden=28672, heads=64, groups=8, vocabulary=128256),
}

# Which axis of the mesh divides what. `embed` over `data` spreads all parameters (FSDP).
RULES = (
    ("batch", "data"),
    ("embed", "data"),
    ("heads", "model"),
    ("groups", "model"),
    ("hidden", "model"),
    ("vocabulary", "model"),
)


def dense(features, names, axis=-1, **settings):
    """A projection without a bias, in bfloat16, whose kernel has names for its axes."""
    initializer = nn.with_logical_partitioning(nn.initializers.lecun_normal(), names)
    return nn.DenseGeneral(
        features, axis, use_bias=False, dtype=jnp.bfloat16, kernel_init=initializer, **settings
    )


def rotate(x):
    """Turn pairs of features by angles that grow with the position: rotary embeddings."""
    half = x.shape[-1] // 2
    angles = jnp.arange(x.shape[1])[:, None] * 10_000.0 ** (-jnp.arange(half) / half)
    sine, cosine = (f(angles)[:, None].astype(x.dtype) for f in (jnp.sin, jnp.cos))
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], -1)


class Layer(nn.Module):
    """Grouped attention and a gated feed-forward, each added to what it got."""

    config: Config

    @nn.compact
    def __call__(self, x):
        """Return an array like `x`: ``[batch, length, width]``."""
        c, size = self.config, self.config.width // self.config.heads
        h = nn.RMSNorm(dtype=jnp.bfloat16)(x)
        query = dense((c.heads, size), ("embed", "heads", None), name="query")(h)
        key = dense((c.groups, size), ("embed", "groups", None), name="key")(h)
        value = dense((c.groups, size), ("embed", "groups", None), name="value")(h)
        h = jax.nn.dot_product_attention(rotate(query), rotate(key), value, is_causal=True)
        x = x + dense(c.width, ("heads", None, "embed"), (-2, -1), name="out")(h)
        h = nn.RMSNorm(dtype=jnp.bfloat16)(x)
        h = nn.silu(dense(c.hidden, ("embed", "hidden"), name="gate")(h)) * dense(
            c.hidden, ("embed", "hidden"), name="up"
        )(h)
        x = x + dense(c.width, ("hidden", "embed"), name="down")(h)
        return nn.with_logical_constraint(x, ("batch", None, None))


class LanguageModel(nn.Module):
    """From tokens to the logits of the next ones."""

    config: Config

    @nn.compact
    def __call__(self, tokens):
        """Return ``[batch, length, vocabulary]`` for ``[batch, length]``."""
        c = self.config
        table = nn.with_logical_partitioning(nn.initializers.normal(0.02), ("vocabulary", "embed"))
        x = nn.Embed(c.vocabulary, c.width, dtype=jnp.bfloat16, embedding_init=table)(tokens)
        x = nn.with_logical_constraint(x, ("batch", None, None))
        layer = partial(Layer, c)
        tower = nn.Repeat(layer, c.layers, scan=True, remat=True, partition_name="layers")
        x = nn.RMSNorm(dtype=jnp.bfloat16)(tower(x))
        return dense(c.vocabulary, ("embed", "vocabulary"), name="logits")(x)


def train_step(state, tokens):
    """Take one step of AdamW; return the new state and the loss."""

    def loss_of(params):
        logits = state.apply_fn({"params": params}, tokens[:, :-1]).astype(jnp.float32)
        return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    return state.apply_gradients(grads=gradients), loss


def training(mesh, batch=8, size="tiny", length=128, rules=RULES):
    """Return the step, what it is called with, and more of what `plan` takes.

    Args:
      mesh: the devices, as `ramie plan` makes them of --mesh.
      batch: how many sequences.
      size: one of `SIZES`.
      length: of a sequence, in tokens.
      rules: which axis of the mesh divides what.
    """
    model = LanguageModel(SIZES[size])
    tokens = jax.ShapeDtypeStruct((batch, length + 1), jnp.int32)

    def create(key):
        params = model.init(key, jnp.zeros((1, 8), jnp.int32))["params"]
        return TrainState.create(apply_fn=model.apply, params=params, tx=optax.adamw(3e-4))

    state = jax.eval_shape(create, jax.random.key(0))
    specs = (None, nn.logical_to_mesh_axes(("batch", None), rules))
    return train_step, (state, tokens), {"donate": 0, "rules": rules, "specs": specs}


def main():
    """Plan on several meshes, and print those that fit, the quickest first."""
    parser = argparse.ArgumentParser(description="Choose a mesh for a language model.")
    parser.add_argument("--topology", default="cpu:8")
    parser.add_argument("--size", default="tiny", choices=SIZES)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--model", type=int, nargs="+", default=[1, 4], metavar="N")
    arguments = parser.parse_args()
    devices = device_count(arguments.topology)
    found = []
    for model in arguments.model:
        axes = {"data": devices // model, "model": model}
        step, inputs, options = training(None, arguments.batch, arguments.size, arguments.length)
        planned = plan(step, *inputs, topology=arguments.topology, mesh=axes, **options)
        memory = planned.memory
        print(f"{axes}: {planned.verdict}, {memory.total / 2**20:.1f} MiB on each device")
        if planned.fits:
            seconds = planned.bound.seconds if planned.bound else 0.0
            found.append((seconds, memory.total, axes))
    if found:
        seconds, _, axes = min(found, key=lambda entry: entry[:2])
        least = f", at least {seconds:.3f} s a step" if seconds else ""
        print(f"take {axes}{least}")
    else:
        print("none fits: take more devices, a smaller batch, or other rules")


if __name__ == "__main__":
    main()
