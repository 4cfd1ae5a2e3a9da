"""ResNet-50 over a Linen and an NNX namespace, for cold starts, and once in plain JAX."""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

STAGES = (3, 4, 6, 3)
WIDTH, CLASSES, SIDE = 64, 1000, 64
EPSILON = 1e-5


def image() -> jax.Array:
    return jnp.ones((1, SIDE, SIDE, 3), jnp.float32)


def linen_resnet(nn: ModuleType) -> Any:
    """Return the model as a module of `nn`, which is `ramie.linen` or `flax.linen`."""

    class Bottleneck(nn.Module):  # type: ignore[name-defined]
        features: int
        strides: int

        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            conv = functools.partial(nn.Conv, use_bias=False)
            norm = functools.partial(nn.BatchNorm, use_running_average=True)
            y = jax.nn.relu(norm()(conv(self.features, (1, 1))(x)))
            y = conv(self.features, (3, 3), strides=(self.strides, self.strides))(y)
            y = jax.nn.relu(norm()(y))
            y = norm(scale_init=nn.initializers.zeros_init())(conv(4 * self.features, (1, 1))(y))
            if x.shape != y.shape:
                x = conv(4 * self.features, (1, 1), strides=(self.strides, self.strides))(x)
                x = norm()(x)
            return jax.nn.relu(x + y)

    class ResNet(nn.Module):  # type: ignore[name-defined]
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            x = nn.Conv(WIDTH, (7, 7), strides=(2, 2), use_bias=False)(x)
            x = jax.nn.relu(nn.BatchNorm(use_running_average=True)(x))
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
            for stage, blocks in enumerate(STAGES):
                for block in range(blocks):
                    strides = 2 if stage > 0 and block == 0 else 1
                    x = Bottleneck(WIDTH * 2**stage, strides)(x)
            return nn.Dense(CLASSES)(x.mean((1, 2)))

    return ResNet()


def nnx_resnet(nnx: ModuleType) -> Callable[[], Any]:
    """Return what makes the same model as a module of `nnx`: `ramie.nnx` or `flax.nnx`."""

    class Bottleneck(nnx.Module):  # type: ignore[name-defined]
        def __init__(self, features_in: int, features: int, strides: int, rngs: Any) -> None:
            conv = functools.partial(nnx.Conv, use_bias=False, rngs=rngs)
            norm = functools.partial(nnx.BatchNorm, use_running_average=True, rngs=rngs)
            last, step = 4 * features, (strides, strides)
            self.conv_1, self.norm_1 = conv(features_in, features, (1, 1)), norm(features)
            self.conv_2 = conv(features, features, (3, 3), strides=step)
            self.norm_2 = norm(features)
            self.conv_3 = conv(features, last, (1, 1))
            self.norm_3 = norm(last, scale_init=nnx.initializers.zeros_init())
            if features_in != last or strides != 1:
                self.project = conv(features_in, last, (1, 1), strides=step)
                self.norm_4 = norm(last)

        def __call__(self, x: jax.Array) -> jax.Array:
            y = jax.nn.relu(self.norm_1(self.conv_1(x)))
            y = jax.nn.relu(self.norm_2(self.conv_2(y)))
            y = self.norm_3(self.conv_3(y))
            return jax.nn.relu((self.norm_4(self.project(x)) if x.shape != y.shape else x) + y)

    class ResNet(nnx.Module):  # type: ignore[name-defined]
        def __init__(self, rngs: Any) -> None:
            self.conv = nnx.Conv(3, WIDTH, (7, 7), strides=(2, 2), use_bias=False, rngs=rngs)
            self.norm = nnx.BatchNorm(WIDTH, use_running_average=True, rngs=rngs)
            made, width = [], WIDTH
            for stage, blocks in enumerate(STAGES):
                for block in range(blocks):
                    features, strides = WIDTH * 2**stage, 2 if stage > 0 and block == 0 else 1
                    made.append(Bottleneck(width, features, strides, rngs))
                    width = 4 * features
            self.blocks = nnx.List(made)
            self.head = nnx.Linear(width, CLASSES, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            x = jax.nn.relu(self.norm(self.conv(x)))
            x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
            for block in self.blocks:
                x = block(x)
            return self.head(x.mean((1, 2)))

    return lambda: ResNet(nnx.Rngs(0))


def raw_resnet(variables: dict[str, Any], x: jax.Array) -> jax.Array:
    """Compute the model from its variables with nothing but jax and jnp."""
    params, stats = variables["params"], variables["batch_stats"]
    x = _conv(params["Conv_0"], x, 2)
    x = jax.nn.relu(_batch_norm(params["BatchNorm_0"], stats["BatchNorm_0"], x))
    window, strides = (1, 3, 3, 1), (1, 2, 2, 1)
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, "SAME")
    names = iter(f"Bottleneck_{index}" for index in range(sum(STAGES)))
    for stage, blocks in enumerate(STAGES):
        for block in range(blocks):
            name = next(names)
            x = _bottleneck(params[name], stats[name], x, 2 if stage > 0 and block == 0 else 1)
    return x.mean((1, 2)) @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]


def _bottleneck(
    params: dict[str, Any], stats: dict[str, Any], x: jax.Array, strides: int
) -> jax.Array:
    def norm(index: int, y: jax.Array) -> jax.Array:
        name = f"BatchNorm_{index}"
        return _batch_norm(params[name], stats[name], y)

    y = jax.nn.relu(norm(0, _conv(params["Conv_0"], x)))
    y = jax.nn.relu(norm(1, _conv(params["Conv_1"], y, strides)))
    y = norm(2, _conv(params["Conv_2"], y))
    if x.shape != y.shape:
        x = norm(3, _conv(params["Conv_3"], x, strides))
    return jax.nn.relu(x + y)


def _conv(params: dict[str, jax.Array], x: jax.Array, strides: int = 1) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, params["kernel"], (strides, strides), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _batch_norm(
    params: dict[str, jax.Array], stats: dict[str, jax.Array], x: jax.Array
) -> jax.Array:
    factor = jax.lax.rsqrt(stats["var"] + EPSILON) * params["scale"]
    return (x - stats["mean"]) * factor + params["bias"]
