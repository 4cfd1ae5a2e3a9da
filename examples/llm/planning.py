"""What a step of this model needs on devices that are not here.

ramie plan examples.llm.planning:training --topology v5e:4x4 --mesh data=2,fsdp=4,model=2
"""

import dataclasses

import jax
import jax.numpy as jnp
from examples.llm import meshes, steps
from examples.llm.settings import PRESETS

from ramie import nnx


def training(mesh, batch=None, preset="small"):
    """Return the step, shapes for its arguments, and how they lie; for `ramie plan`.

    Args:
      mesh: with the axes data, fsdp and model.
      batch: sequences of a step, instead of the preset's.
      preset: the sizes.
    """
    settings = PRESETS[preset]
    if batch is not None:
        settings = dataclasses.replace(settings, batch=batch)
    with jax.sharding.use_abstract_mesh(mesh), nnx.logical_axis_rules(meshes.RULES):
        state = nnx.eval_shape(lambda: steps.Training(settings))
    sequences = jax.ShapeDtypeStruct((settings.batch, settings.length + 1), jnp.int32)
    specs = (None, meshes.spec("batch", None))
    return steps.step, (state, sequences), {"rules": meshes.RULES, "specs": specs, "donate": 0}
