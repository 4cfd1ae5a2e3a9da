"""NNX modules inside of Linen models."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact

from ramie import linen as nn
from ramie import nnx
from ramie.nnx import bridge

X = jnp.arange(6.0).reshape(2, 3)


class Net(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(3, 2, rngs=rngs)
        self.calls = nnx.BatchStat(jnp.zeros(()))
        self.rngs = rngs

    def __call__(self, x):
        self.calls[...] += 1
        self.sow(nnx.Intermediate, "seen", x)
        return self.linear(x) + jax.random.normal(self.rngs.noise(), (2, 2))

    def doubled(self, x):
        return 2 * x


def test_variables_of_nnx_are_in_collections():
    model = bridge.to_linen(Net)
    keys = {"params": jax.random.key(0), "noise": jax.random.key(1)}
    variables = model.init(keys, X)
    assert sorted(variables) == ["batch_stats", "params"]
    assert float(variables["batch_stats"]["calls"]) == 0.0
    _, changed = model.apply(variables, X, mutable=["batch_stats", "intermediates"], rngs=keys)
    assert float(changed["batch_stats"]["calls"]) == 1.0
    assert changed["intermediates"]["seen"][0].shape == X.shape
    noise = [model.apply(variables, X, rngs={"noise": jax.random.key(i)}) for i in (1, 1, 2)]
    assert_exact(noise[0], noise[1])
    assert not jnp.array_equal(noise[0], noise[2])


def test_parameters_reach_the_module():
    model = bridge.to_linen(nnx.Linear, 3, out_features=2)
    variables = model.init(jax.random.key(0), X)
    params = variables["params"]
    assert_exact(model.apply(variables, X), jnp.dot(X, params["kernel"]) + params["bias"][None])
    gradient = jax.grad(lambda p: model.apply({"params": p}, X).sum())(params)
    assert_exact(gradient["bias"], jnp.full(2, 2.0))
    made = bridge.to_linen(nnx.Embed, 4, 2)
    table = made.init(jax.random.key(0), jnp.zeros(1, int))
    assert made.apply(table, jnp.ones((1, 2)), nnx_method="attend").shape == (1, 4)
    assert made.bind(table).attend(jnp.ones((1, 2))).shape == (1, 4)
    with pytest.raises(AttributeError, match="has no method 'nothing'"):
        made.apply(table, X, nnx_method="nothing")


def test_metadata_and_classes():
    init = nnx.with_metadata(nnx.initializers.ones_init(), note=1)
    arguments = {"in_features": 3, "kernel_init": init}
    cls = bridge.wrappers.to_linen_class(nnx.Linear, out_features=2)
    boxed = cls(kwargs=arguments).init(jax.random.key(0), X)["params"]["kernel"]
    assert isinstance(boxed, bridge.NNXMeta) and boxed.metadata["note"] == 1
    plain = bridge.to_linen(nnx.Linear, 3, 2, kernel_init=init, metadata_fn=None, name="l")
    assert plain.name == "l"
    assert_exact(plain.init(jax.random.key(0), X)["params"]["kernel"], jnp.ones((3, 2)))


def test_lifted_over_layers():
    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            lifted = nn.vmap(
                bridge.ToLinen, variable_axes={"params": 0}, split_rngs={"params": True}
            )
            return lifted(nnx.Linear, args=(3, 2))(x[:, None])

    shapes = jax.eval_shape(Stack().init, jax.random.key(0), X)
    assert shapes["params"]["VmapToLinen_0"]["kernel"].shape == (2, 3, 2)


def test_only_bound_modules_have_streams():
    with pytest.raises(ValueError, match="is not bound"):
        bridge.wrappers.linen_rngs_dict(nn.Dense(1))
    assert bridge.wrappers.current_linen_module() is None


@pytest.mark.parametrize(
    "make",
    [
        lambda x: bridge.to_linen(x),
        lambda x: bridge.ToLinen(x).init(jax.random.key(0), jnp.ones((1, 2))),
        lambda x: bridge.wrappers.to_linen_class(x),
    ],
    ids=["to_linen", "ToLinen", "to_linen_class"],
)
@pytest.mark.parametrize("given", ["an instance of Linear", "an instance of int", "Dense, a class"])
def test_a_class_is_wanted(make, given):
    x = {
        "an instance of Linear": nnx.Linear(2, 3, rngs=nnx.Rngs(0)),
        "an instance of int": 3,
        "Dense, a class": nn.Dense,
    }[given]
    with pytest.raises(TypeError, match=f"wants a class of NNX modules.*{given}"):
        make(x)
