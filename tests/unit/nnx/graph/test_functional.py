"""Taking models apart and putting them together: structure, state, sharing, modes."""

import pickle
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_exact

from ramie import nnx


def _model():
    return nnx.Dict(
        a=nnx.Param(jnp.ones(2)),
        b=nnx.Dict(c=nnx.BatchStat(jnp.zeros(1)), d=3),
        l=nnx.List([nnx.Param(jnp.zeros(1)), "s"]),
        x=jnp.arange(3),
    )


def test_split_and_merge_are_inverse_and_share_variables():
    model = _model()
    graphdef, state = nnx.split(model)
    merged = nnx.merge(graphdef, state)
    assert merged is not model and merged.a is model.a and merged.b.d == 3 and merged.l[1] == "s"
    assert nnx.graphdef(merged) is graphdef
    assert nnx.merge(graphdef, state, copy=True).a is not model.a


def test_paths_are_sorted_and_lists_have_integers():
    assert nnx.state(_model()).flat_state().paths == (("a",), ("b", "c"), ("l", 0), ("x",))
    long = nnx.List(nnx.Param(i) for i in range(12))
    assert [path[0] for path in nnx.state(long).flat_state().paths] == list(range(12))


def test_equal_structures_are_one_object_and_values_count_by_type():
    assert nnx.graphdef(_model()) is nnx.graphdef(_model())
    defs = [nnx.graphdef(nnx.Dict(a=value)) for value in (1, 1.0, True, "1")]
    assert len(set(defs)) == 4
    kinds = [nnx.graphdef(nnx.Dict(a=kind(1))) for kind in (nnx.Param, nnx.BatchStat)]
    assert kinds[0] != kinds[1]
    assert nnx.graphdef(nnx.Dict(a=nnx.Param(1, tag=1))) != kinds[0]


def test_a_structure_with_lists_works_but_has_no_hash():
    graphdef, state = nnx.split(nnx.Dict(a=[1, 2], b=nnx.Param(1)))
    assert nnx.merge(graphdef, state).a == [1, 2]
    assert graphdef == nnx.graphdef(nnx.Dict(a=[1, 2], b=nnx.Param(2)))
    assert graphdef != nnx.graphdef(nnx.Dict(a=[1, 3], b=nnx.Param(2)))
    with pytest.raises(TypeError, match="unhashable"):
        hash(graphdef)


def test_shared_nodes_and_variables_stay_shared_and_count_once():
    shared = nnx.Param(jnp.ones(1))
    inner = nnx.Dict(v=shared)
    model = nnx.Dict(x=inner, y=inner, z=nnx.List([shared]))
    model.me = model
    graphdef, state = nnx.split(model)
    assert len(state.flat_state()) == 1
    merged = nnx.merge(graphdef, nnx.to_pure_dict(state))
    assert merged.x is merged.y and merged.z[0] is merged.x.v and merged.me is merged
    assert merged.x.v is not shared


def test_tree_mode_refuses_shared_variables():
    shared = nnx.Param(1)
    model = nnx.Dict(a=shared, b=shared)
    with pytest.raises(ValueError, match=r"(?s)Duplicate.*found at paths.*\.a.*\.b"):
        nnx.split(model, graph=False)
    with nnx.set_graph_mode(False), pytest.raises(ValueError, match="found at paths"):
        nnx.state(model)
    assert nnx.find_duplicates(model) == [[("a",), ("b",)]]
    assert len(nnx.compat.split(model)[1]) == 1
    model.b = nnx.Dict(me=model)
    with pytest.raises(ValueError, match="found at paths"):
        list(nnx.iter_graph(model, graph=False))


def test_tree_mode_refuses_classes_that_are_no_pytrees():
    class Opaque(nnx.Module, pytree=False):
        pass

    for use in (nnx.split, nnx.iter_graph):
        with pytest.raises(ValueError, match=r"pytree=False.*Found at path \(0,\)"):
            list(use([Opaque()], graph=False))
    with pytest.raises(ValueError, match="pytree=False"):
        nnx.iter_children(Opaque(), graph=False)


def test_plain_values_may_stay_plain():
    graphdef, state = nnx.split(nnx.Dict(a=nnx.Param(1)))
    assert nnx.merge(graphdef, nnx.pure(state), recreate_variables=False).a == 1
    assert nnx.map(lambda path, x: 0, nnx.Dict(a=nnx.Param(1)), recreate_variables=False).a == 0


def test_plain_pytrees_are_models_too():
    tree = {"b": [nnx.Param(1), 2, jnp.ones(1)], "a": (nnx.BatchStat(3), None)}
    graphdef, state = nnx.split(tree)
    assert state.flat_state().paths == (("a", 0), ("b", 0), ("b", 2))
    merged = nnx.merge(graphdef, state)
    assert merged["b"][1] == 2 and merged["a"][1] is None and merged["a"][0] is tree["a"][0]
    variable = nnx.Param(1)
    assert nnx.merge(*nnx.split(variable)) is variable


def test_filters_deal_leaves_out():
    graphdef, params, stats, rest = nnx.split(_model(), nnx.Param, nnx.BatchStat, ...)
    assert [len(nnx.to_flat_state(s)) for s in (params, stats, rest)] == [2, 1, 1]
    assert nnx.graphdef(nnx.merge(graphdef, rest, stats, params)) is graphdef
    with pytest.raises(ValueError, match=r"Non-exhaustive filters.*x"):
        nnx.split(_model(), nnx.Variable)
    with pytest.raises(ValueError, match="last"):
        nnx.split(_model(), ..., nnx.Param)
    assert list(nnx.state(_model(), nnx.BatchStat)) == ["b"]
    first, second = nnx.state(_model(), nnx.Param, nnx.Cache)
    assert len(second) == 0 and len(first) == 2


def test_merge_says_what_is_missing_or_too_much():
    graphdef = nnx.graphdef(nnx.Dict(a=nnx.Param(1), b=nnx.Dict(c=nnx.Param(2))))
    with pytest.raises(
        ValueError, match="Incorrect number of leaves, expected 2 leaves, but got 1"
    ):
        nnx.merge(graphdef, {"a": 1})
    with pytest.raises(ValueError, match="b/z"):
        nnx.merge(graphdef, {"a": 1, "b": {"c": 2, "z": 3}})
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'state'"):
        nnx.merge(graphdef)
    rebuilt = nnx.merge(graphdef, [5, 6])
    assert rebuilt.a.get_value() == 5 and rebuilt.b.c.get_value() == 6


def test_structures_and_states_cross_transformations():
    @jax.jit
    def step(graphdef, state):
        model = nnx.merge(graphdef, state)
        model.a[...] += 1
        model.new = nnx.Cache(jnp.zeros(1))
        return nnx.split(model)

    model = _model()
    stepped = nnx.merge(*step(*nnx.split(model)))
    assert_exact(stepped.a[...], np.full(2, 2, np.float32))
    assert_exact(model.a[...], np.ones(2, np.float32))
    assert isinstance(stepped.new, nnx.Cache)
    assert jax.tree.leaves(nnx.graphdef(model)) == []


def test_clone_copies_what_is_asked_for():
    model = _model()
    assert nnx.clone(model).a is not model.a
    assert nnx.clone(model).a[...] is model.a[...]
    assert nnx.clone(model, variables=False).a is model.a
    apart = nnx.clone(model, arrays=True)
    assert apart.a[...] is not model.a[...] and apart.x is not model.x
    assert_exact(apart.x, model.x)


def test_calling_a_model_that_is_taken_apart():
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    graphdef, state = nnx.split(layer)
    y, (graphdef_after, _) = graphdef.apply(state)(jnp.ones((1, 2)))
    assert y.shape == (1, 3) and graphdef_after is graphdef
    outputs, _ = nnx.call(nnx.split({"a": [layer]}))["a"][0](jnp.ones((1, 2)))
    assert_exact(outputs, y)


def test_iteration_and_pure_values():
    model = _model()
    paths = [path for path, _ in nnx.iter_graph(model)]
    assert paths[-1] == () and paths.index(("b", "c")) < paths.index(("b",))
    assert [key for key, _ in nnx.iter_children(model)] == ["a", "b", "l"]
    assert [key for key, _ in nnx.iter_module_children(model)] == ["b", "l"]
    assert [path for path, _ in nnx.iter_modules(model)] == [("b",), ("l",), ()]
    assert nnx.pure({"a": nnx.Param(1), "b": 2}) == {"a": 1, "b": 2}
    doubled = nnx.map(lambda path, leaf: jax.tree.map(lambda x: x * 2, leaf), model)
    assert doubled.a[...].sum() == 4 and doubled.a is not model.a
    nnx.set_metadata(model, only=nnx.Param, note="n")
    assert model.a.note == "n" and not model.b.c.has_metadata("note")


def test_structures_can_be_pickled():
    graphdef = nnx.graphdef(_model())
    assert pickle.loads(pickle.dumps(graphdef)) is graphdef


def test_a_lost_attribute_is_named():
    model = _model()
    del vars(model)["a"]
    with pytest.raises(ValueError, match="lost its attribute 'a'"):
        nnx.split(model)


def test_edits_behind_the_back_of_a_model_are_seen():
    model = _model()
    before = nnx.graphdef(model)
    vars(model)["a"] = nnx.Cache(jnp.ones(1))
    assert isinstance(nnx.state(model)["a"], nnx.Cache) and nnx.graphdef(model) is not before
    model.data_list = nnx.data([nnx.Param(1)])
    model.data_list.append(nnx.Param(2))
    assert ("data_list", 1) in nnx.state(model).flat_state().paths


def test_threads_walk_at_the_same_time():
    model = _model()
    found = []
    threads = [threading.Thread(target=lambda: found.append(nnx.split(model)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(map(id, found))) == 1


_leaf = st.one_of(
    st.integers(0, 2).map(lambda i: ("param", i)),
    st.integers(0, 2).map(lambda i: ("static", i)),
    st.integers(0, 2).map(lambda i: ("node", i)),
)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.dictionaries(st.sampled_from("abcd"), _leaf, max_size=4), min_size=3, max_size=3)
)
def test_any_graph_survives_a_round_trip(specs):
    params = [nnx.Param(np.full(1, i)) for i in range(3)]
    nodes = [nnx.Dict() for _ in specs]
    for node, spec in zip(nodes, specs, strict=True):
        for name, (kind, i) in spec.items():
            node[name] = {"param": params[i], "static": i, "node": nodes[i]}[kind]
    graphdef, state = nnx.split(nodes[0])
    copied = nnx.merge(graphdef, nnx.to_pure_dict(state))
    pairs, seen = [(nodes[0], copied)], {}
    while pairs:
        old, new = pairs.pop()
        assert type(old) is type(new)
        if not isinstance(old, nnx.Dict | nnx.Variable):
            assert old == new
            continue
        if id(old) in seen:
            assert seen[id(old)] is new  # shared before means shared after
            continue
        seen[id(old)] = new
        if isinstance(old, nnx.Dict):
            assert sorted(old) == sorted(new)
            pairs += [(old[name], new[name]) for name in old]
        else:
            assert_exact(new.get_value(), old.get_value())
    assert len(set(map(id, seen.values()))) == len(seen)  # and apart before means apart after
    assert nnx.graphdef(copied) is graphdef
