"""Contexts, trees without modules, prefixes, and shard_map and pmap on one device."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact

from ramie import nnx
from ramie.nnx.transforms import general


def _model():
    return nnx.Dict(a=nnx.Param(jnp.array(1)), b=nnx.BatchStat(jnp.array(2)))


def test_contexts_tell_what_was_met_before():
    model = _model()
    outer = nnx.Dict(inner=model)
    with nnx.split_context() as ctx:
        first, params, rest = ctx.split(outer, nnx.Param, ...)
        second, nothing = ctx.split(model)
    assert list(params.inner) == ["a"] and list(rest.inner) == ["b"] and not nothing
    assert isinstance(second.nodes[0], nnx.graphlib.NodeRef)
    with nnx.merge_context() as ctx:
        built = ctx.merge(first, params, rest)
        assert ctx.merge(second, nothing) is built.inner


def test_update_contexts_find_objects_again():
    model = _model()
    with nnx.update_context("here"), nnx.update_context("other"):
        pure = nnx.to_tree((model, 3, [model.a]), ctxtag="here")

        @jax.jit
        def edit(pure):
            inside, number, (a,) = nnx.from_tree(pure, ctxtag="here", is_inner=True)
            assert inside.a is a and nnx.current_update_context("here").tag == "here"
            inside.a, inside.b = inside.b, inside.a
            inside.new = nnx.Param(number)
            a.set_metadata(note=1)
            a[...] += number
            return nnx.to_tree((inside, a), ctxtag="here")

        a, b = model.a, model.b
        found, found_a = nnx.from_tree(edit(pure), ctxtag="here", is_inner=False)
        assert found is model and found_a is a is model.b and model.a is b and a.note == 1
        assert_exact(a[...], jnp.array(4))
        assert_exact(model.new[...], jnp.array(3, jnp.int32))
        with pytest.raises(ValueError, match="inner=True"), nnx.merge_context("here"):
            pass
    with pytest.raises(ValueError, match="No update context found for tag 'here'"):
        nnx.current_update_context("here")


def test_inputs_by_hand():
    model = _model()

    @general.split_inputs(ctxtag="mine")
    @jax.jit
    @general.merge_inputs(ctxtag="mine")
    def step(model, x):
        model.a[...] += x
        return model.a * 2

    assert_exact(step(model, 2), jnp.array(6))
    assert_exact(model.a[...], jnp.array(3))


def test_trees_with_prefixes():
    model = _model()
    seen = []

    def split(ctx, path, prefix, x):
        seen.append((jax.tree_util.keystr(path), prefix))
        return nnx.NodeStates.from_split(*ctx.split(x, nnx.Param, ...), metadata=prefix)

    pure = nnx.to_tree((model, {"x": model.a}), prefix=(0, 0), split_fn=split)
    assert seen == [("[0]", 0), ("[1]['x']", 0)] and pure[0].metadata == 0
    with pytest.raises(ValueError, match="exactly one state"):
        _ = pure[0].state
    with pytest.raises(ValueError, match="no graphdef"):
        _ = nnx.NodeStates.from_prefixes((0, 1)).graphdef
    with pytest.raises(ValueError, match="Inconsistent aliasing detected"):
        nnx.to_tree((model, model.a), prefix=(0, 1))
    nnx.to_tree((model, model.a), prefix=(0, 1), check_aliasing=False)
    merged = nnx.from_tree(
        (1, [2]),
        prefix=(5, 6),
        merge_fn=lambda ctx, path, prefix, x: x * prefix,
        map_non_graph_nodes=True,
    )
    assert merged == (5, [12])
    rest, taken = nnx.extract.extract(lambda path, prefix, x: x > prefix, (0, 3), (1, [2, 4]))
    assert taken == [1, 4] and nnx.extract.insert(rest, taken) == (1, [2, 4])
    assert nnx.extract.clear_non_graph_nodes((model, [1])) == (model, [None])


def test_a_prefix_for_each_variable():
    model = _model()
    tree = nnx.prefix(model, {nnx.Param: 0, ...: None}, graph=False)
    assert tree.a == 0 and tree.b is None
    first, second, plain = nnx.prefix(
        (model, model, jnp.ones(1)), lambda path, leaf: path[0], graph=True
    )
    assert first.state["a"] == 0 and not second.state and plain == 2
    assert jax.tree.leaves(first) == [0, 0]
    assert jax.tree.map(lambda x: x + 1, first).map_prefix(("a",), model.a) == 1
    assert second.map_prefix(("a",), model.a) == 1 and list(first.choices()) == [0]
    with pytest.raises(ValueError, match=r"No filter matched leaf at path (.|\n)*Filters: Param$"):
        nnx.prefix(model, {nnx.Param: 0})


@pytest.mark.parametrize(("graph", "updates"), [(True, True), (False, False)])
def test_programs_on_devices(graph, updates):
    modes = {"graph": graph, "graph_updates": updates}
    mesh = jax.sharding.Mesh(jax.devices()[:1], "x")
    model = nnx.Dict(a=nnx.Param(jnp.ones(2)), n=nnx.BatchStat(jnp.array(0)))

    @nnx.shard_map(mesh=mesh, in_specs=(jax.P(), jax.P("x")), out_specs=(jax.P("x"), None), **modes)
    def mapped(model, x):
        model.n[...] += 1
        return model.a * x, None

    out, _ = mapped(model, jnp.arange(2.0))
    assert_exact(out, jnp.arange(2.0))

    model.a = nnx.Param(jnp.ones((1, 2)))
    axes = nnx.StateAxes({nnx.Param: 0, ...: None})
    if not updates:
        axes = nnx.prefix(model, {nnx.Param: 0, ...: None}, graph=graph)

    @nnx.pmap(in_axes=(axes, None, 0), static_broadcasted_argnums=3, axis_name="i", **modes)
    def parallel(model, x, y, times):
        model.n[...] += 1
        model.a[...] += times
        return model.a * x + jax.lax.psum(y, "i")

    assert_exact(parallel(model, 2.0, jnp.ones(1), 3), jnp.full((1, 2), 9.0))
    assert_exact(model.a[...], jnp.full((1, 2), 4.0))
    assert_exact(model.n[...], jnp.array(2))
