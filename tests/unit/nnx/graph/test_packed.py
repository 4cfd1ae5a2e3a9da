"""States that carry their structure; flattening with numbers for objects."""

import copy
import pickle

import jax
import jax.numpy as jnp
import pytest

from ramie import nnx


def _model():
    return nnx.Dict(a=nnx.Dict(w=nnx.Param(jnp.arange(2.0))), b=nnx.BatchStat(jnp.zeros(())))


def test_unpacked_parts_merge_again():
    model = _model()
    params, rest = nnx.unpack(model, nnx.Param, ...)
    assert isinstance(params, nnx.GraphState) and params.a.w is model.a.w and list(rest) == ["b"]
    again = nnx.merge(params, rest)
    assert nnx.graphdef(again) == nnx.graphdef(model) and again.b is model.b
    whole = nnx.unpack(model)
    assert len(whole) == 2 and nnx.merge(whole).a.w is model.a.w


def test_a_packed_state_is_a_pytree_with_the_paths_of_the_state():
    model = _model()
    packed = nnx.unpack(model)
    doubled = jax.tree.map(lambda x: 2 * x, packed)
    assert isinstance(doubled, nnx.GraphState)
    assert nnx.merge(doubled).a.w[...].tolist() == [0.0, 2.0]
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(packed)]
    assert paths == [path for path, _ in jax.tree_util.tree_leaves_with_path(nnx.state(model))]
    assert nnx.to_pure_dict(packed).keys() == {"a", "b"}
    assert "_graphdef=GraphDef" in repr(packed) and packed != 3


def test_packed_states_change_like_states():
    packed = nnx.unpack(_model())
    packed.b = jnp.ones(())
    packed["a"]["w"] = jnp.ones(2)
    model = nnx.merge(packed)
    assert float(model.b[...]) == 1.0 and model.a.w[...].tolist() == [1.0, 1.0]
    other = _model()
    nnx.update(other, packed)
    assert float(other.b[...]) == 1.0
    del packed["b"]
    with pytest.raises(ValueError, match="Incorrect number of leaves"):
        nnx.merge(packed)
    assert list(copy.copy(packed)) == list(pickle.loads(pickle.dumps(packed))) == ["a"]


def test_packed_states_of_other_models():
    packed = nnx.unpack(_model())
    with pytest.raises(ValueError, match="GraphDef must be the same"):
        nnx.merge(packed, nnx.unpack(nnx.Dict(a=nnx.Param(1))))
    with pytest.raises(ValueError, match="Expected GraphState object, got State"):
        nnx.merge(packed, nnx.state(_model()))
    with pytest.raises(ValueError, match="Expected a State object, got Param"):
        nnx.unpack(nnx.Param(1))


def test_flattening_models_that_share():
    model = _model()
    numbers = nnx.graphlib.RefMap()
    first, leaves = nnx.flatten(model, ref_index=numbers, graph=True)
    second, none = nnx.flatten([model.a, model.b], ref_index=numbers, graph=True)
    assert len(leaves) == 2 and not len(none) and len(numbers) == 4 and model.a in numbers
    assert isinstance(second.nodes[-1], nnx.graphlib.NodeRef)
    made = nnx.graphlib.IndexMap()
    again = nnx.unflatten(first, leaves, index_ref=made)
    a, b = nnx.unflatten(second, none, index_ref=made)
    assert a is again.a and b is again.b
    assert nnx.graphlib.IndexMap.from_refmap(numbers)[0] is model
    del numbers[model]
    with pytest.raises(KeyError, match="no number for this Dict"):
        numbers[model]


def test_flattening_to_values():
    graphdef, values = nnx.flatten(_model(), with_paths=False)
    assert [jnp.shape(x) for x in values] == [(2,), ()]
    assert isinstance(nnx.unflatten(graphdef, values).b, nnx.BatchStat)
    shared = nnx.Param(1)
    with pytest.raises(ValueError, match="found at paths"):
        nnx.flatten([shared, shared], graph=False)


def test_structures_with_functions_can_be_pickled():
    model = nnx.Dict(f=copy.copy, items=nnx.data([len, 3, nnx.Param(1)]))
    graphdef = nnx.graphdef(model)
    assert pickle.loads(pickle.dumps(graphdef)) is graphdef
