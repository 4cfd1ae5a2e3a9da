"""Where the values of variables lie: metadata, rules and meshes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.layout import Format, Layout
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tests.tolerance import assert_close, assert_exact

from ramie import nnx
from ramie.nnx import sharding as spmd


def mesh_of(kind, names=("data", "model")):
    return jax.make_mesh((2, 2), names, axis_types=(kind,) * len(names))


AUTO = mesh_of(AxisType.Auto)
EXPLICIT = mesh_of(AxisType.Explicit)
ONES = np.ones((4, 2), np.float32)


def lazy(names=("data", "model"), value=ONES, **metadata):
    return nnx.Param(jnp.asarray(value), out_sharding=names, eager_sharding=False, **metadata)


# --- placing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mesh", [AUTO, EXPLICIT], ids=["auto", "explicit"])
def test_a_variable_lies_where_its_metadata_says(mesh):
    outside = jnp.ones((4, 2))  # made before there was a mesh
    with jax.set_mesh(mesh):
        param = nnx.Param(outside, out_sharding=("data", "model"))
        from_numpy = nnx.Param(ONES, out_sharding=PartitionSpec(None, "model"))
        tree = nnx.Variable({"a": outside, "b": 3}, out_sharding=("model",))
        traced = jax.jit(lambda: nnx.Param(outside, out_sharding=("data", "model"))[...])()
    assert param.sharding.spec == traced.sharding.spec == PartitionSpec("data", "model")
    assert param.out_sharding == ("data", "model")
    assert from_numpy.sharding.spec == PartitionSpec(None, "model")
    assert tree["a"].sharding.is_equivalent_to(NamedSharding(mesh, PartitionSpec("model")), 2)
    assert tree["b"] == 3


def test_a_mesh_in_the_metadata_needs_no_context_and_full_shardings_no_mesh():
    given = nnx.Param(ONES, out_sharding=("data",), mesh=AUTO)
    assert given.sharding.mesh == AUTO
    sharding = NamedSharding(AUTO, PartitionSpec("model"))
    assert nnx.Param(ONES, out_sharding=sharding).sharding == sharding
    columns = Format(Layout(major_to_minor=(1, 0)), sharding)
    assert nnx.Param(ONES, out_sharding=columns).sharding == sharding


def test_without_a_mesh_it_says_what_to_do():
    with pytest.raises(ValueError, match=r"An auto mesh context or metadata is required.*set_mesh"):
        nnx.Param(ONES, out_sharding=("data", "model"))
    with nnx.use_eager_sharding(False):
        assert nnx.Param(ONES, out_sharding=("data",)).out_sharding == ("data",)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("spec", "part", "kind"),
    [
        (("data", "model"), (2, 2), "float32[4,4@model]"),
        ((None, "data"), (4, 2), "float32[4,4]"),
        ((("model", "data"), None), (1, 4), "float32[4@model,4]"),
        ((None, "model"), (4, 2), "float32[4,4@model]"),
    ],
)
def test_a_mesh_with_both_kinds_of_axes(spec, part, kind, compiled):
    """Explicit axes are in the type of the array, automatic ones are kept to."""
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Explicit))

    def make():
        return nnx.Param(jnp.arange(16.0).reshape(4, 4), out_sharding=spec)

    with jax.set_mesh(mesh):
        param = nnx.jit(make)() if compiled else make()
        assert str(jax.typeof(param[...])) == kind
    assert {shard.data.shape for shard in param.addressable_shards} == {part}
    assert_exact(param[...], np.arange(16.0, dtype="float32").reshape(4, 4))


def test_a_model_trains_on_a_mesh_with_both_kinds_of_axes():
    optax = pytest.importorskip("optax")
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Explicit, AxisType.Auto))
    x = jnp.linspace(-1, 1, 32).reshape(4, 8)

    def trained(names):
        init = nnx.initializers.lecun_normal()
        if names:
            init = nnx.with_partitioning(init, names)
        layer = nnx.Linear(8, 4, kernel_init=init, rngs=nnx.Rngs(0))
        optimizer = nnx.Optimizer(layer, optax.adam(0.1), wrt=nnx.Param)

        @nnx.jit
        def step(layer, optimizer, x):
            optimizer.update(layer, nnx.grad(lambda layer: jnp.sum(layer(x) ** 2))(layer))

        step(layer, optimizer, jax.device_put(x, PartitionSpec("data")) if names else x)
        return layer.kernel

    want = trained(None)
    with jax.set_mesh(mesh):
        got = trained(("data", "model"))
        assert str(jax.typeof(got[...])) == "float32[8@data,4]"
    assert {shard.data.shape for shard in got.addressable_shards} == {(4, 2)}
    assert_close(got[...], want[...], "model")


class Block(nnx.Module):
    def __init__(self, rngs):
        metadata = {"out_sharding": ("embed", "model")}
        self.inner = nnx.Linear(4, 2, kernel_metadata=metadata, rngs=rngs)


MIXED = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Explicit, AxisType.Auto))
UNKNOWN = r"Resource axis: embed of P\('embed', .*\('data', 'model'\)\. .*{} .*'embed', .*Give the"


@pytest.mark.parametrize("mesh", [AUTO, EXPLICIT, MIXED], ids=["auto", "explicit", "mixed"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_name_that_is_no_axis_says_where_and_what_to_do(mesh, compiled):
    def make():
        return Block(nnx.Rngs(0))

    with jax.set_mesh(mesh):
        what = r"A Param with out_sharding=\('embed', 'model'\)"
        with pytest.raises(ValueError, match=UNKNOWN.format(what)) as caught:
            nnx.jit(make)() if compiled else make()
        with pytest.raises(ValueError, match=UNKNOWN.format("A Param")):
            jax.eval_shape(make)
        with pytest.raises(ValueError, match=r"'tensor', which is no axis"):
            nnx.Param(ONES, out_sharding=("embed",), sharding_rules=(("embed", "tensor"),))
        with nnx.logical_axis_rules((("embed", None),)):
            assert make().inner.kernel.sharding.spec == PartitionSpec(None, "model")
    place = "While laying out Param with out_sharding=('embed', 'model'), in Linear, in Block"
    assert place in caught.value.__notes__


def test_a_name_that_is_no_axis_in_a_tree():
    model = nnx.Dict(block=nnx.List([lazy(("embed", None))]))
    assert nnx.get_partition_spec(nnx.state(model))["block"][0][...] == PartitionSpec("embed", None)
    with pytest.raises(ValueError, match=UNKNOWN.format("The leaf at /block/0")):
        nnx.get_named_sharding(nnx.state(model), AUTO)
    shaped = nnx.eval_shape(lambda: nnx.Dict(w=lazy(("embed", None))))
    with jax.set_mesh(AUTO), pytest.raises(ValueError, match=UNKNOWN.format("Param at /w")):
        nnx.as_abstract(shaped)
    with pytest.raises(ValueError, match=UNKNOWN.format("The leaf at /w")):
        nnx.get_abstract_model(lambda: nnx.Dict(w=lazy(("embed", None))), AUTO)


def test_other_mistakes_of_a_layout_name_the_variable():
    with jax.set_mesh(EXPLICIT):
        for names, value in ((("data", "data"), ONES), (("data",), ONES[:3])):
            with pytest.raises(Exception, match=r"duplicate|divide") as caught:
                nnx.Param(value, out_sharding=names)
            assert caught.value.__notes__[-1] == f"While laying out Param with out_sharding={names}"


def test_what_an_optimizer_remembers_lies_where_its_metadata_says():
    optax = pytest.importorskip("optax")
    where = {"out_sharding": ("data", None), "optimizer_sharding": ("data", "model")}
    with jax.set_mesh(AUTO):
        model = nnx.Dict(w=nnx.Param(jnp.ones((4, 2)), **where))
        optimizer = nnx.Optimizer(model, optax.trace(0.9), wrt=nnx.Param)
    assert model.w.sharding.spec == PartitionSpec("data", None)
    momentum = optimizer.opt_state.trace["w"]
    assert momentum.sharding.spec == PartitionSpec("data", "model")
    assert momentum.out_sharding == ("data", "model")


def test_layers_keep_to_explicit_meshes():
    x = jax.device_put(jnp.ones((4, 2)), NamedSharding(EXPLICIT, PartitionSpec("data")))
    with jax.set_mesh(EXPLICIT):
        for dims in ((), (1,)):
            dropout = nnx.Dropout(0.5, broadcast_dims=dims, deterministic=False, rngs=nnx.Rngs(0))
            assert dropout(x).sharding.spec == PartitionSpec("data", None)
        embed = nnx.Embed(4, 2, rngs=nnx.Rngs(0))
        rows = embed(jnp.arange(4), out_sharding=PartitionSpec("data"))
    assert rows.sharding.spec[0] == "data"
    assert_exact(rows, embed.embedding[...])


def test_an_embedding_takes_a_layout_where_there_is_none_to_keep_to():
    embed, lying = nnx.Embed(4, 2, rngs=nnx.Rngs(0)), PartitionSpec("data")
    want = embed(jnp.arange(4))
    assert_exact(embed(jnp.arange(4), out_sharding=lying), want)
    with jax.set_mesh(AUTO):
        assert_exact(embed(jnp.arange(4), out_sharding=lying), want)
        assert_exact(jax.jit(lambda x: embed(x, lying))(jnp.arange(4)), want)


# --- rules and specs ------------------------------------------------------------------------------


def test_rules_in_force_and_rules_of_the_variable_translate_names():
    own = lazy(("rows", "columns"), sharding_rules=(("rows", "data"),))
    assert spmd.get_var_pspec(own) == PartitionSpec("data", "columns")
    with nnx.logical_axis_rules((("columns", ("data", "model")), ("rows", "data"))):
        assert spmd.get_var_pspec(own) == PartitionSpec("data", ("data", "model"))
        both = lazy((("rows", "columns"), None))
        assert spmd.get_var_pspec(both) == PartitionSpec(("data", "data", "model"), None)
        with pytest.raises(ValueError, match="Inconsistent logical axis annotations for rows"):
            spmd.get_var_pspec(lazy(("rows",), sharding_rules=(("rows", "model"),)))
    with jax.set_mesh(AUTO), nnx.logical_axis_rules((("rows", "model"), ("columns", None))):
        placed = nnx.Param(jnp.ones((4, 2)), out_sharding=("rows", "columns"))
    assert placed.sharding.is_equivalent_to(NamedSharding(AUTO, PartitionSpec("model")), 2)
    assert placed.out_sharding == ("rows", "columns")


def test_specs_and_shardings_of_a_tree():
    tree = {
        "spec": lazy(PartitionSpec("data")),
        "plain": nnx.BatchStat(jnp.ones(2)),
        "sharding": lazy(NamedSharding(AUTO, PartitionSpec("model"))),
        "number": nnx.Param(3),
        "array": jnp.ones(3),
        "other": "text",
    }
    specs = nnx.get_partition_spec(tree)
    assert type(specs["plain"]) is nnx.BatchStat
    assert specs["spec"].get_value() == PartitionSpec("data")
    assert specs["plain"].get_value() == specs["array"] == PartitionSpec()
    assert specs["sharding"].get_value() == PartitionSpec("model")
    assert specs["number"].get_value() is None
    assert specs["other"] is None
    shardings = nnx.get_named_sharding(tree, AUTO)
    assert shardings["spec"].get_value() == NamedSharding(AUTO, PartitionSpec("data"))
    assert shardings["array"] == NamedSharding(AUTO, PartitionSpec())


def test_with_partitioning_goes_around_an_initializer():
    init = nnx.with_partitioning(
        nnx.initializers.ones_init(), (None, "model"), mesh=AUTO, note="mine"
    )
    layer = nnx.Linear(4, 2, rngs=nnx.Rngs(0), kernel_init=init)
    assert layer.kernel.note == "mine"
    assert layer.kernel.sharding.mesh == AUTO
    state = nnx.state(layer)
    assert nnx.get_partition_spec(state)["kernel"].get_value() == PartitionSpec(None, "model")


# --- descriptions of models -----------------------------------------------------------------------


class Tied(nnx.Module):
    def __init__(self, rngs):
        init = nnx.with_partitioning(nnx.initializers.ones_init(), (None, "model"))
        self.linear = nnx.Linear(2, 2, rngs=rngs, use_bias=False, kernel_init=init)
        self.again = self.linear.kernel


@pytest.mark.parametrize("mesh", [AUTO, EXPLICIT], ids=["auto", "explicit"])
def test_an_abstract_model_has_shapes_and_shardings(mesh):
    graphdef, state = nnx.get_abstract_model(lambda: Tied(nnx.Rngs(0)), mesh)
    (leaf,) = jax.tree.leaves(state)
    assert leaf.shape == (2, 2)
    assert leaf.sharding == NamedSharding(mesh, PartitionSpec(None, "model"))
    assert nnx.merge(graphdef, state).again.shape == (2, 2)
    with pytest.raises(ValueError, match="Duplicate"):
        nnx.get_abstract_model(lambda: Tied(nnx.Rngs(0)), mesh, graph=False)


def test_as_abstract_adds_what_the_metadata_says():
    shape = jax.ShapeDtypeStruct((4, 2), np.float32)
    sharding = NamedSharding(EXPLICIT, PartitionSpec())
    known = jax.ShapeDtypeStruct((4, 2), np.float32, sharding=sharding)
    model = nnx.Dict(
        given=nnx.Param(shape, out_sharding=("data",), mesh=AUTO, eager_sharding=False),
        around=nnx.Param(shape, out_sharding=("model",), eager_sharding=False),
        known=nnx.Param(known, out_sharding=("model",), eager_sharding=False),
        silent=nnx.Param(shape),
        there=lazy(),
    )
    abstract = nnx.as_abstract(model)
    assert abstract.given.get_value().sharding == NamedSharding(AUTO, PartitionSpec("data"))
    assert abstract.around.get_value().sharding is None
    with jax.set_mesh(AUTO), pytest.warns(DeprecationWarning, match="Use as_abstract"):
        abstract = nnx.abstract_with_sharding(model)
    assert abstract.around.get_value().sharding.spec == PartitionSpec("model")
    assert abstract.known.get_value().sharding == sharding
    assert abstract.silent.get_value().sharding is None
    assert abstract.there.get_value() is model.there.get_value()
