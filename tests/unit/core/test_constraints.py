"""Constraints by mesh axes, on axes of either kind."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P
from tests.tolerance import assert_close

import ramie.linen as nn
from ramie.core import constraints
from ramie.core.constraints import constrained

EXPLICIT, AUTO = AxisType.Explicit, AxisType.Auto


def _mesh(*kinds):
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=kinds, devices=jax.devices()[:4])


@pytest.mark.parametrize("kinds", [(EXPLICIT, EXPLICIT), (AUTO, AUTO), (EXPLICIT, AUTO)])
@pytest.mark.parametrize("compiled", [False, True])
def test_arrays_lie_as_the_spec_says(kinds, compiled):
    with jax.set_mesh(_mesh(*kinds)):
        lay = jax.jit(lambda x: constrained(x, P("data", "model"))) if compiled else None
        x = jnp.ones((4, 4))
        got = lay(x) if lay else constrained(x, P("data", "model"))
    assert {shard.data.shape for shard in got.addressable_shards} == {(2, 2)}


def test_what_is_left_open_stays_on_explicit_axes():
    with jax.set_mesh(_mesh(EXPLICIT, EXPLICIT)):
        x = jax.device_put(jnp.ones((4, 4)), P("data", None))
        assert constrained(x, P(P.UNCONSTRAINED, "model")).sharding.spec == P("data", "model")
        assert constrained({"a": x}, P())["a"].sharding.spec == P(None, None)


@pytest.mark.parametrize("kinds", [(EXPLICIT, EXPLICIT), (EXPLICIT, AUTO)])
def test_boxes_and_logical_names_train_on_explicit_axes(kinds):
    init = nn.with_logical_partitioning(nn.initializers.lecun_normal(), ("embed", "hidden"))
    model = nn.Dense(4, kernel_init=init)
    x = jnp.ones((4, 6))
    rules = (("batch", "data"), ("embed", "data"), ("hidden", "model"))
    alone = nn.unbox(model.init(jax.random.key(0), x))
    with jax.set_mesh(_mesh(*kinds)), nn.logical_axis_rules(rules):
        variables = jax.jit(model.init)(jax.random.key(0), x)

        def loss(variables):
            y = model.apply(variables, nn.with_logical_constraint(x, ("batch", None)))
            return jnp.sum(nn.with_logical_constraint(y, ("batch", "hidden")) ** 2)

        gradient = nn.unbox(jax.jit(jax.grad(loss))(variables))["params"]["kernel"]
    want = jax.grad(lambda v: jnp.sum(model.apply(v, x) ** 2))(alone)["params"]["kernel"]
    assert_close(gradient, want, "model")


def test_the_deprecated_context_of_a_mesh_is_said_once_to_do_nothing():
    constraints._say_that_nothing_happens.cache_clear()
    x = jnp.ones((4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        entered = Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("data", "model"))
        with entered, nn.logical_axis_rules((("batch", "data"),)):
            with pytest.warns(UserWarning, match=r"Write `with jax.set_mesh\(mesh\):`"):
                nn.with_logical_constraint(x, ("batch", None))
            nn.with_logical_constraint(x, ("batch", None))
            nn.LogicallyPartitioned(x, ("batch", None)).unbox()
    constraints._say_that_nothing_happens.cache_clear()
    assert constrained(x, P("data")) is x
