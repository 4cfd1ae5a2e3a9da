"""The parts of NNX that training loops need besides models and transformations."""

from ramie.nnx import ema as ema
from ramie.nnx import metrics as metrics
from ramie.nnx import optimizer as optimizer

__all__ = ["ema", "metrics", "optimizer"]
