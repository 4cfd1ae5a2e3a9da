"""ResNet-50 over a Linen namespace, for the cold start of `init`."""

import functools
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

STAGES = (3, 4, 6, 3)
WIDTH, CLASSES, SIDE = 64, 1000, 64


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
