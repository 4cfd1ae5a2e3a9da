"""Logical axis names, translated by rules."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tests.tolerance import assert_close, assert_exact

from ramie import linen as nn
from ramie.linen import spmd
from ramie.linen.spmd import RulesFallback
from ramie.training.train_state import TrainState

RULES = (("batch", "data"), ("embed", "model"), ("heads", "model"), ("all", ("data", "model")))
UNCONSTRAINED = PartitionSpec.UNCONSTRAINED
X = jnp.arange(8.0).reshape(4, 2)


@pytest.fixture
def mesh():
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        ((), ()),
        (("batch", "embed"), ("data", "model")),
        (("embed", "heads"), ("model", None)),
        (("heads", "embed"), (None, "model")),
        (("all", "batch"), (None, "data")),
        (("all",), (("data", "model"),)),
        (("unknown", None, "batch"), (None, None, "data")),
        ((UNCONSTRAINED, UNCONSTRAINED, None, None), (UNCONSTRAINED, UNCONSTRAINED, None, None)),
    ],
)
def test_each_mesh_axis_is_used_once_and_earlier_rules_win(names, axes):
    assert nn.logical_to_mesh_axes(names, RULES) == PartitionSpec(*axes)
    with nn.logical_axis_rules(RULES):
        assert nn.logical_to_mesh_axes(names) == PartitionSpec(*axes)


def test_names_of_one_array_differ():
    with pytest.raises(ValueError, match=r"'batch'.*more than once"):
        nn.logical_to_mesh_axes(("batch", "batch"), RULES)
    assert nn.logical_to_mesh_axes(None, RULES) is None


def test_trees_of_specs(mesh):
    tree = {"w": PartitionSpec("batch", "embed"), "b": PartitionSpec(), "step": None}
    assert nn.logical_to_mesh(tree, RULES) == {
        "w": PartitionSpec("data", "model"),
        "b": PartitionSpec(),
        "step": None,
    }
    assert nn.logical_to_mesh_sharding(tree, mesh, RULES)["w"] == NamedSharding(
        mesh, PartitionSpec("data", "model")
    )


def constraints(fn):
    equations = jax.make_jaxpr(fn)().eqns
    return [e.params["sharding"].spec for e in equations if "sharding_constraint" in str(e)]


def test_constraints_need_rules_and_a_mesh(mesh):
    constrain = lambda **options: (
        lambda: nn.with_logical_constraint(X, ("batch", "embed"), **options)
    )
    spec = PartitionSpec("data", "model")
    assert constraints(constrain()) == []
    assert constraints(constrain(rules=RULES, mesh=mesh)) == [spec]
    with nn.logical_axis_rules(RULES):
        assert constraints(constrain()) == []
        with jax.set_mesh(mesh):
            assert constraints(constrain()) == [spec]
            assert constraints(lambda: nn.with_logical_constraint(X, None)) == []


def test_what_happens_to_names_without_a_rule(mesh):
    constrain = lambda fallback: constraints(
        lambda: nn.with_logical_constraint(X, ("batch", "unknown"), RULES, mesh, fallback=fallback)
    )
    assert constrain(RulesFallback.AXIS_IS_UNSHARDED) == [PartitionSpec("data", None)]
    assert constrain(RulesFallback.NO_CONSTRAINT) == []
    with pytest.raises(ValueError, match="No rule mentions"):
        constrain(RulesFallback.RAISE_ERROR)


def test_trees_of_arrays_are_constrained_leaf_by_leaf(mesh):
    names = {"a": ("batch", None), "b": PartitionSpec(None, "embed"), "c": None}
    specs = constraints(
        lambda: nn.with_logical_constraint({"a": X, "b": X, "c": X}, names, RULES, mesh)
    )
    assert specs == [PartitionSpec("data", None), PartitionSpec(None, "model")]


class Sharded(nn.Module):
    """A dense layer with logical axis names."""

    @nn.compact
    def __call__(self, x):
        init = nn.with_logical_partitioning(nn.initializers.normal(1.0), ("batch", "embed"))
        return nn.Dense(4, kernel_init=init, use_bias=False)(x)


def test_a_model_is_initialised_in_shards(mesh):
    model = Sharded()
    abstract = jax.eval_shape(model.init, jax.random.key(0), X)
    assert nn.get_partition_spec(abstract)["params"]["Dense_0"]["kernel"] == PartitionSpec(
        "batch", "embed"
    )
    shardings = nn.logical_to_mesh_sharding(nn.get_partition_spec(abstract), mesh, RULES)
    init = jax.jit(model.init, out_shardings=shardings)
    variables = init(jax.random.key(0), X)
    kernel = variables["params"]["Dense_0"]["kernel"]
    assert kernel.value.sharding.spec == PartitionSpec("data", "model")
    assert {shard.data.shape for shard in kernel.value.addressable_shards} == {(1, 2)}
    plain = model.init(jax.random.key(0), X)
    assert_exact(kernel.value, plain["params"]["Dense_0"]["kernel"].value)
    with jax.set_mesh(mesh), nn.logical_axis_rules(RULES):
        y = jax.jit(model.apply)(variables, X)
    assert_close(np.asarray(y), model.apply(plain, X))


def test_boxes_translate_their_names_when_unboxed(mesh):
    box = nn.LogicallyPartitioned(X, ("batch", "embed"))
    own = nn.LogicallyPartitioned(X, ("batch", "embed"), mesh, RULES)
    spec = PartitionSpec("data", "model")
    assert constraints(box.unbox) == []
    assert constraints(own.unbox) == [spec]
    assert constraints(lambda: own.unbox(apply_constraint=False)) == []
    with jax.set_mesh(mesh), nn.logical_axis_rules(RULES):
        assert constraints(box.unbox) == [spec]
    assert own.get_partition_spec() == PartitionSpec("batch", "embed")
    assert own.add_axis(0, {nn.PARTITION_NAME: "layers"}).names == ("layers", "batch", "embed")
    again = spmd.LogicallyPartitioned.from_nnx_metadata(own.to_nnx_metadata())
    assert (again.names, again.mesh, again.rules) == (own.names, mesh, RULES)


def test_a_state_of_an_optimizer_keeps_its_structure():
    """Parts without arrays are empty tuples, and some with None are named: no specs, as in Flax."""
    tx = optax.chain(optax.clip(1.0), optax.adam(1e-3))

    def create():
        params = {"w": nn.Partitioned(jnp.ones((4, 2)), ("batch", None))}
        return TrainState.create(apply_fn=None, params=params, tx=tx)

    state = jax.eval_shape(create)
    specs = nn.get_partition_spec(state)
    mesh = jax.make_mesh((1,), ("data",))
    shardings = nn.logical_to_mesh_sharding(specs, mesh, [("batch", "data")])
    assert jax.tree.structure(shardings) == jax.tree.structure(nn.meta.unbox(state))
    assert shardings.params["w"].spec == PartitionSpec("data", None)
    assert nn.logical_to_mesh({"a": (), "b": optax.EmptyState()}, []) == {
        "a": (),
        "b": optax.EmptyState(),
    }


KINDS = [(AxisType.Explicit,) * 2, (AxisType.Auto,) * 2, (AxisType.Explicit, AxisType.Auto)]
NO_AXIS = r"Resource axis: tensor of P\('tensor', None\) is not found in mesh: \('data', 'model'\)"


def dense(partition):
    """A model with a kernel whose names begin with `tensor`, or are translated to it."""
    return nn.Sequential([nn.Dense(2, kernel_init=partition(nn.initializers.ones))])


@pytest.mark.parametrize("kinds", KINDS, ids=["explicit", "auto", "mixed"])
@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_no_axis_of_the_mesh_is_refused(kinds, compiled):
    """On explicit axes as on automatic ones: there it used to be left out without a word."""
    rules = (("embed", "tensor"), ("batch", "data"))
    boxes = {
        ("tensor", None): lambda init: nn.with_partitioning(init, ("tensor", None)),
        ("embed", None): lambda init: nn.with_logical_partitioning(init, ("embed", None)),
    }
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=kinds)
    with jax.set_mesh(mesh), nn.logical_axis_rules(rules):
        for names, partition in boxes.items():
            init = dense(partition).init
            with pytest.raises(ValueError, match=NO_AXIS + ".*rules translate") as caught:
                (jax.jit(init) if compiled else init)(jax.random.key(0), X)
            notes = " ".join(caught.value.__notes__)
            assert "Dense.__call__ at /layers_0" in notes
            assert ("For the logical axes ('embed', None)" in notes) == (names[0] == "embed")
        with pytest.raises(ValueError, match=NO_AXIS):
            nn.with_logical_constraint(X, ("embed", None))


def test_what_is_no_axis_of_the_mesh_in_a_tree(mesh):
    specs = {"a": [PartitionSpec("embed", None)]}
    with pytest.raises(ValueError, match=NO_AXIS + r"\. The leaf at /a/0 is"):
        nn.logical_to_mesh_sharding(specs, mesh, (("embed", "tensor"),))
    boxed = {"a": nn.Partitioned(X, ("tensor", None))}
    with pytest.raises(ValueError, match=NO_AXIS) as caught:
        nn.get_sharding(boxed, mesh)
    assert caught.value.__notes__ == ["For the Partitioned value at /a"]
    with pytest.raises(ValueError, match=NO_AXIS):
        nn.Partitioned(X, ("tensor", None), mesh=mesh).unbox()


@pytest.mark.parametrize("stacking", [nn.scan, nn.vmap])
@pytest.mark.parametrize("name", ["data", "layers", None])
def test_the_axis_of_stacked_layers_is_whole_however_they_are_made(stacking, name):
    """On explicit axes, where `jax.lax.scan` takes no stack that is divided over its layers."""

    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            init = nn.with_partitioning(nn.initializers.ones, (None, "model"))
            return nn.Dense(2, kernel_init=init)(x), None

    how = {"length": 2} if stacking is nn.scan else {"in_axes": None, "axis_size": 2}
    model = stacking(
        Layer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        metadata_params={nn.PARTITION_NAME: name},
        **how,
    )()
    with jax.set_mesh(jax.make_mesh((2, 2), ("data", "model"), axis_types=KINDS[0])):
        for init in (model.init, jax.jit(model.init)):
            variables = init(jax.random.key(0), X, None)
            box = variables["params"]["Dense_0"]["kernel"]
            assert box.names == (name, None, "model")
            assert box.value.sharding.spec == PartitionSpec(None, None, "model")
        assert model.apply(variables, X, None)[0].shape[-2:] == (4, 2)
