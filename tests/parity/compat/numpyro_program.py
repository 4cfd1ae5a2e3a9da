"""Networks in models of numpyro; `test_packages` runs it on Flax and on Ramie."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from flax import nnx
from numpyro.contrib.module import flax_module, nnx_module, random_flax_module
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

X = jnp.linspace(-1, 1, 20)[:, None]
Y = jnp.sin(3 * X)[:, 0]


class Linen(nn.Module):
    normalised: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Dense(8)(x))
        if self.normalised:
            x = nn.BatchNorm(use_running_average=False)(x)
        return nn.Dense(1)(x)


class Objects(nnx.Module):
    def __init__(self, rngs):
        self.first, self.last = nnx.Linear(1, 8, rngs=rngs), nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        return self.last(jnp.tanh(self.first(x)))


def observed(make_net):
    def model(x, y=None):
        mean = make_net()(x)[:, 0]
        with numpyro.plate("data", x.shape[0]):
            numpyro.sample("y", dist.Normal(mean, 0.1), obs=y)

    return model


def plain():
    return flax_module("net", Linen(), input_shape=(1, 1))


def with_state():
    return flax_module("net", Linen(True), input_shape=(4, 1), mutable=["batch_stats"])


def bayesian():
    return random_flax_module("net", Linen(), prior=dist.Normal(0, 1), input_shape=(1, 1))


def objects():
    return nnx_module("net", Objects(nnx.Rngs(0)))


def fitted(make_net, guide=None):
    model = observed(make_net)
    guide = AutoNormal(model) if guide else lambda x, y=None: None
    svi = SVI(model, guide, numpyro.optim.Adam(1e-2), Trace_ELBO())
    result = svi.run(jax.random.key(0), 20, X, Y, progress_bar=False)
    state = result.state.mutable_state or {}
    leaves = jax.tree_util.tree_leaves_with_path({"params": result.params, "state": state})
    return {
        "losses": result.losses.tolist(),
        "values": [[jax.tree_util.keystr(path), value.tolist()] for path, value in leaves],
    }


def main():
    found = {"library": nn.Module.__module__.partition(".")[0]}
    found["plain"] = fitted(plain)
    found["state"] = fitted(with_state)
    found["bayesian"] = fitted(bayesian, guide=True)
    found["nnx"] = fitted(objects)
    print(json.dumps(found))


main()
