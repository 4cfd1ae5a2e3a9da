"""The weights that Flax saved: Flax and Ramie load them alike, and compute the same from them."""

import importlib.metadata
import os

import jax
import numpy as np
import pytest

flax = pytest.importorskip("flax")

from examples.denoising import weights, with_linen  # noqa: E402
from flax import linen, serialization  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

FILES = pytest.mark.skipif(
    not os.environ.get("CI") and not any(importlib.metadata.distributions(name="scico")),
    reason="the weights come with scico: pip install --no-deps scico==0.0.7",
)


class ConvBNBlock(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.Conv(64, (3, 3), padding="CIRCULAR", use_bias=False)(x)
        return linen.relu(linen.BatchNorm(use_running_average=True)(x))


class DnCNN(linen.Module):
    depth: int

    @linen.compact
    def __call__(self, x):
        kind = {"kernel_size": (3, 3), "padding": "CIRCULAR", "use_bias": False}
        y = linen.relu(linen.Conv(64, name="conv_start", **kind)(x))
        for _ in range(self.depth - 2):
            y = ConvBNBlock()(y)
        return x - linen.Conv(x.shape[-1], name="conv_end", **kind)(y)


@FILES
@pytest.mark.parametrize(("depth", "level"), [(6, "M"), (17, "N")])
def test_flax_computes_the_same_from_the_same_file(depth, level):
    channels = 2 if level == "N" else 1
    picture = np.random.default_rng(0).uniform(size=(1, 24, 20, channels)).astype(np.float32)
    theirs = DnCNN(depth)
    start = theirs.init(jax.random.key(0), picture)
    loaded = serialization.from_bytes(start, weights.find(depth, level).read_bytes())
    wanted = jax.jit(theirs.apply)(loaded, picture)
    assert_exact(with_linen.load(depth, level)(picture), wanted)
