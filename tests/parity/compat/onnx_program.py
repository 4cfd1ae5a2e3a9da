"""A Linear and a norm as ONNX; `test_packages` runs it on Flax and on Ramie."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
from flax import nnx
from jax2onnx import to_onnx

X = jax.random.normal(jax.random.key(1), (2, 8))


class Model(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(8, 4, rngs=rngs)
        self.norm = nnx.LayerNorm(4, rngs=rngs)

    def __call__(self, x):
        return self.norm(self.linear(x))


def main():
    found = {"library": nnx.Module.__module__.partition(".")[0]}
    for name, model in (
        ("linear", nnx.Linear(8, 4, rngs=nnx.Rngs(0))),
        ("norm", nnx.LayerNorm(8, rngs=nnx.Rngs(0))),
        ("both", Model(nnx.Rngs(0))),
    ):
        program = to_onnx(model, [jax.ShapeDtypeStruct(X.shape, jnp.float32)])
        session = onnxruntime.InferenceSession(program.SerializeToString())
        (y,) = session.run(None, {session.get_inputs()[0].name: np.asarray(X)})
        found[name] = [y.tolist(), model(X).tolist()]
    print(json.dumps(found))


main()
