"""Quantisation and adapters by qwix; `test_packages` runs it on Flax and on Ramie."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import qwix
from flax import nnx

INT8 = {"module_path": ".*", "weight_qtype": jnp.int8, "act_qtype": jnp.int8}
X = jax.random.normal(jax.random.key(1), (2, 5, 8))


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(16)(x))
        x = nn.MultiHeadDotProductAttention(num_heads=2)(x) + x
        x = nn.Conv(16, (3,))(x)
        x = nn.Einsum((16, 4), "abc,cd->abd")(x)
        return nn.Dense(3)(x)


class Objects(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(8, 16, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 16, decode=False, rngs=rngs)
        self.conv = nnx.Conv(16, 16, (3,), rngs=rngs)
        self.last = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x):
        return self.last(self.conv(self.attention(nnx.relu(self.first(x)))))


def shapes(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [[jax.tree_util.keystr(path), list(x.shape), str(x.dtype)] for path, x in leaves]


def numbers(x):
    return np.asarray(x, np.float64).tolist()


def linen(found):
    model = Linen()
    variables = model.init(jax.random.key(0), X)
    found["plain"] = numbers(model.apply(variables, X))

    quantised = qwix.quantize_model(model, qwix.PtqProvider([qwix.QuantizationRule(**INT8)]))
    abstract = quantised.init(jax.random.key(0), X)["params"]
    params = qwix.quantize_params(variables["params"], abstract)
    found["ptq params"] = shapes(params)
    found["ptq"] = numbers(quantised.apply({"params": params}, X))

    aware = qwix.quantize_model(model, qwix.QtProvider([qwix.QtRule(**INT8)]))
    found["qt"] = numbers(aware.apply(variables, X))
    grads = jax.grad(lambda v: (aware.apply(v, X) ** 2).sum())(variables)
    found["qt grads"] = [numbers(jnp.abs(g).sum()) for g in jax.tree.leaves(grads)]

    provider = qwix.LoraProvider(module_path=".*Dense.*", rank=2, alpha=1.0)
    adapted = qwix.apply_lora_to_model(model, provider)
    variables = adapted.init(jax.random.key(0), X)
    found["lora params"] = shapes(variables)
    moved = jax.tree.map(lambda x: x + 0.01, variables)
    found["lora"] = numbers(adapted.apply(moved, X))


def objects(found):
    model = Objects(nnx.Rngs(0))
    found["nnx plain"] = numbers(model(X))
    quantised = qwix.quantize_model(model, qwix.PtqProvider([qwix.QuantizationRule(**INT8)]), X)
    found["nnx ptq"] = numbers(quantised(X))
    aware = qwix.quantize_model(model, qwix.QtProvider([qwix.QtRule(**INT8)]), X)
    found["nnx qt"] = numbers(aware(X))
    provider = qwix.LoraProvider(module_path=".*", rank=2, alpha=1.0)
    adapted = qwix.apply_lora_to_model(model, provider, X, rngs=nnx.Rngs(1))
    found["nnx lora params"] = shapes(nnx.to_pure_dict(nnx.state(adapted, nnx.LoRAParam)))
    found["nnx lora"] = numbers(adapted(X))


def main():
    found = {"library": nn.Module.__module__.partition(".")[0]}
    linen(found)
    objects(found)
    print(json.dumps(found))


main()
