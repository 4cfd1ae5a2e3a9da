"""Initialising a sharded model: no device ever holds a whole weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec
from tests.tolerance import assert_exact

from ramie import linen as nn
from ramie.core import meta

WIDTH = 256
WEIGHT = WIDTH * WIDTH * 4  # bytes
RULES = (("in", "data"), ("out", "model"), ("layer", None))
KEY = jax.random.key(0)
X = jnp.ones((4, WIDTH))


@pytest.fixture
def mesh():
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def dense(partition, names):
    init = partition(nn.initializers.lecun_normal(), names)
    return nn.Dense(WIDTH, use_bias=False, kernel_init=init)


class Logical(nn.Module):
    """Names that rules translate, in a loop over layers."""

    @nn.compact
    def __call__(self, x):
        layers = nn.scan(
            lambda layer, x: (layer(x), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=2,
            metadata_params={nn.PARTITION_NAME: "layer"},
        )
        return layers(dense(nn.with_logical_partitioning, ("in", "out")), x)[0]


class Physical(nn.Module):
    """Names of mesh axes."""

    @nn.compact
    def __call__(self, x):
        return dense(nn.with_partitioning, ("data", "model"))(x)


def shardings_of(abstract, mesh):
    specs = nn.get_partition_spec(abstract)
    return nn.logical_to_mesh_sharding(specs, mesh, RULES)


def physical_shardings_of(abstract, mesh):
    return nn.get_sharding(abstract, mesh)


@pytest.mark.parametrize(
    ("model", "shardings", "spec", "weights"),
    [
        (Logical(), shardings_of, PartitionSpec(None, "data", "model"), 2),
        (Physical(), physical_shardings_of, PartitionSpec("data", "model"), 1),
    ],
    ids=["logical", "physical"],
)
def test_each_device_makes_only_its_part(mesh, model, shardings, spec, weights):
    wanted = shardings(jax.eval_shape(model.init, KEY, X), mesh)
    compiled = jax.jit(model.init, out_shardings=wanted).lower(KEY, X).compile()

    memory = compiled.memory_analysis()  # what one device needs
    assert memory.output_size_in_bytes < weights * WEIGHT / 4 + 1024
    assert memory.temp_size_in_bytes < weights * WEIGHT

    before = {id(array) for array in jax.live_arrays()}
    variables = compiled(KEY, X)
    (kernel,) = jax.tree.leaves(variables)
    assert kernel.sharding.spec == spec
    assert sorted(shard.data.nbytes for shard in kernel.addressable_shards) == (
        [weights * WEIGHT // 4] * 4
    )
    made = [array for array in jax.live_arrays() if id(array) not in before]
    largest = max(s.data.nbytes for array in made for s in array.addressable_shards)
    assert largest == weights * WEIGHT // 4

    whole = jax.jit(model.init)(KEY, X)
    assert_exact(kernel, np.asarray(jax.tree.leaves(whole)[0]))


def test_a_step_keeps_the_shards_where_they_are(mesh):
    model = Logical()
    wanted = shardings_of(jax.eval_shape(model.init, KEY, X), mesh)
    variables = jax.jit(model.init, out_shardings=wanted)(KEY, X)

    @jax.jit
    def step(variables):
        with nn.logical_axis_rules(RULES):
            grads = jax.grad(lambda v: model.apply(v, X).mean())(variables)
        return jax.tree.map(lambda w, g: w - g, variables, grads)

    with jax.set_mesh(mesh):
        after = step(variables)
    box = jax.tree.leaves(after, is_leaf=meta.is_axis_metadata)[0]
    assert box.names == ("layer", "in", "out")
    assert {shard.data.shape for shard in box.value.addressable_shards} == {
        (2, WIDTH // 2, WIDTH // 2)
    }
