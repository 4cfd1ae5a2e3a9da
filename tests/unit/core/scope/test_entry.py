"""Scopes: names, collections, random streams, life."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tolerance import assert_exact

from ramie import errors
from ramie.core import FrozenDict, LazyRng, Scope, apply, bind, freeze, init, lazy_init
from ramie.core.scope.rng import fold_in_path
from ramie.ops import initializers

ZEROS = jax.nn.initializers.zeros
KEY = jax.random.key(0)


def test_a_parameter_is_made_once_and_found_again():
    def model(scope, x):
        return x * scope.param("scale", jax.nn.initializers.normal(), (3,))

    y, variables = init(model)(KEY, jnp.ones(3))
    assert_exact(apply(model)(variables, jnp.ones(3)), y)
    assert list(variables) == ["params"]


def test_children_nest_their_variables_and_count_their_names():
    def layer(scope):
        return scope.param("w", ZEROS, (2,))

    def model(scope):
        scope.child(layer)()
        scope.child(layer)()
        scope.child(layer, name="named")()

    _, variables = init(model)(KEY)
    assert sorted(variables["params"]) == ["layer_0", "layer_1", "named"]


@given(st.lists(st.text(min_size=1, max_size=5), max_size=4), st.integers(1, 3))
def test_a_key_depends_on_path_and_count_alone(path, count):
    scope = Scope({}, {"params": KEY})
    for name in path:
        scope = scope.push(name)
    keys = [scope.make_rng() for _ in range(count)]
    want = fold_in_path(KEY, (*path, count))
    assert_exact(jax.random.key_data(keys[-1]), jax.random.key_data(want))


def test_counting_goes_on_after_rewinding_unless_asked_not_to():
    root = Scope({}, {"params": KEY})
    first = root.push("a").make_rng()
    second = root.rewound().push("a").make_rng()
    again = root.rewound(rewind_rngs=True).push("a").make_rng()
    assert not np.array_equal(jax.random.key_data(first), jax.random.key_data(second))
    assert_exact(jax.random.key_data(first), jax.random.key_data(again))


def test_a_missing_stream_falls_back_to_params_and_shares_its_count():
    scope = Scope({}, {"params": KEY})
    scope.make_rng("dropout")
    want = fold_in_path(KEY, (2,))
    assert_exact(jax.random.key_data(scope.make_rng("params")), jax.random.key_data(want))


def test_no_stream_at_all_is_an_error_that_names_the_place():
    with pytest.raises(errors.InvalidRngError, match=r'needs PRNG for "noise".*/a/b'):
        Scope({}).push("a").push("b").make_rng("noise")


def test_names_of_different_collections_do_not_collide_but_children_do():
    scope = Scope({}, mutable=True)
    scope.reserve("x", "params")
    scope.reserve("x", "cache")
    with pytest.raises(ValueError, match='Duplicate use of scope name: "x"'):
        scope.reserve("x", "params")
    with pytest.raises(ValueError, match="Duplicate"):
        scope.push("x")


@pytest.mark.parametrize("name", [3, None, b"x"])
def test_a_name_must_be_text(name):
    with pytest.raises(TypeError, match="must be a string"):
        Scope({}).reserve(name)


def test_what_is_not_mutable_cannot_be_written():
    scope = Scope({"cache": {}}, mutable="batch_stats").push("a")
    with pytest.raises(errors.ModifyScopeVariableError, match="cache"):
        scope.put_variable("cache", "x", 1)
    scope.put_variable("batch_stats", "x", 1)
    assert scope.root.mutable_variables() == {"batch_stats": {"a": {"x": 1}}}


@pytest.mark.parametrize("wrap", [dict, FrozenDict])
def test_apply_never_changes_the_callers_variables(wrap):
    def model(scope):
        inner = scope.push("a")
        inner.variable("state", "n").value += 1

    variables = wrap({"state": {"a": {"n": 1}}, "other": {"a": {"n": 5}}})
    _, changed = apply(model, mutable="state")(variables)
    assert variables["state"]["a"]["n"] == 1
    assert changed == {"state": {"a": {"n": 2}}}


def test_a_frozen_collection_inside_a_plain_one_is_not_written_through():
    frozen = freeze({"n": 1})
    root = Scope({"state": {"a": frozen}}, mutable=True)
    root.push("a").put_variable("state", "n", 2)
    assert frozen["n"] == 1
    assert root.variables() == {"state": {"a": {"n": 2}}}


def test_replacing_a_subtree_is_seen_by_the_scope_below():
    root = Scope({}, mutable=True)
    child = root.push("a")
    child.put_variable("state", "x", 0)
    replacement = {"x": 1}
    root.put_variable("state", "a", replacement)
    assert child.get_variable("state", "x") == 1
    child.put_variable("state", "x", 2)
    assert replacement == {"x": 1}


def test_an_array_where_a_module_lies_is_refused_with_its_place():
    scope = Scope({"params": {"Dense_0": jnp.ones(2)}}).push("Dense_0")
    with pytest.raises(errors.ApplyScopeInvalidVariablesTypeError, match="params/Dense_0"):
        scope.param("kernel", ZEROS, (2,))


@pytest.mark.parametrize("bad", [3, None, {1: {}}, {"params": 3}, {"params": None}, {"a": {1: 2}}])
def test_variables_of_the_wrong_form_are_refused(bad):
    with pytest.raises(errors.ApplyScopeInvalidVariablesTypeError):
        bind(bad)


def test_a_second_params_level_is_refused():
    with pytest.raises(errors.ApplyScopeInvalidVariablesStructureError):
        bind({"params": {"params": {"kernel": jnp.ones(2)}}})


@pytest.mark.parametrize("rngs", ["x", 3, {"params": "x"}, {1: KEY}, jax.random.split(KEY)])
def test_what_is_no_key_is_refused(rngs):
    with pytest.raises(errors.InvalidRngError):
        bind({}, rngs)


def test_a_shape_that_is_not_the_initializers_is_refused_for_each_leaf():
    scope = Scope({"params": {"w": jnp.ones(2), "pair": {"a": jnp.ones(1), "b": jnp.ones(2)}}})
    with pytest.raises(errors.ScopeParamShapeError, match=r"\(3,\).*\(2,\)"):
        scope.param("w", ZEROS, (3,))

    def pair(key, n):
        return {"a": jnp.ones(1), "b": jnp.ones(n)}

    with pytest.raises(errors.ScopeParamShapeError, match=r'"pair"'):
        scope.param("pair", pair, 3)
    with pytest.raises(errors.ScopeParamShapeError, match=r'"none"'):
        Scope({"params": {"none": None}}).param("none", ZEROS, (3,))


def test_a_closure_whose_captured_shape_changes_is_asked_anew():
    shapes = [(2,)]

    def value(key):
        return jnp.zeros(shapes[0])

    scope = Scope({"params": {"w": jnp.ones(2)}})
    scope.rewound().param("w", value)
    shapes[0] = (3,)
    with pytest.raises(errors.ScopeParamShapeError):
        scope.rewound().param("w", value)


def test_missing_things_say_whether_the_collection_is_empty():
    with pytest.raises(errors.ScopeCollectionNotFound):
        Scope({}).param("w", ZEROS, ())
    with pytest.raises(errors.ScopeParamNotFoundError, match='"w" in scope "/a"'):
        Scope({"params": {"b": 1}}).push("a").param("w", ZEROS, ())
    with pytest.raises(errors.ScopeVariableNotFoundError):
        Scope({"state": {"b": 1}}).variable("state", "w", jnp.zeros, ())


def test_a_scope_ends_with_its_call():
    kept = []
    apply(lambda scope: kept.append(scope.push("a")), mutable=True)({"params": {}})
    with pytest.raises(errors.InvalidScopeError, match="/a"):
        kept[0].put_variable("params", "x", 1)


def test_nothing_survives_a_call_without_the_garbage_collector():
    def model(scope, x):
        probes.append(weakref.ref(scope.push("a").push("b")))
        return x

    probes = []
    gc.disable()
    try:
        apply(model)({}, 1)
        assert probes[0]() is None
    finally:
        gc.enable()


def test_storing_a_tracer_of_an_inner_transformation_is_refused():
    def model(scope, x):
        def inner(x):
            scope.put_variable("state", "x", 2 * x)
            return x.sum()

        return jax.grad(inner)(x)

    with pytest.raises(errors.JaxTransformError):
        apply(model, mutable=True)({}, jnp.ones(2))


def test_storing_an_outer_value_inside_a_transformation_is_fine():
    def model(scope, x):
        outer = 3 * x

        def inner(x):
            scope.put_variable("state", "x", outer)
            return x.sum()

        return jax.grad(inner)(x)

    run = jax.jit(lambda x: apply(model, mutable=True)({}, x)[1])
    assert_exact(run(jnp.ones(2))["state"]["x"], jnp.full(2, 3.0))


def test_lazy_init_computes_parameters_from_shapes():
    def model(scope, x):
        return x @ scope.param("w", jax.nn.initializers.normal(), (x.shape[-1], 4))

    shape = jax.ShapeDtypeStruct((1 << 40, 3), jnp.float32)
    lazy = lazy_init(model)(KEY, shape)
    assert_exact(lazy["params"]["w"], init(model)(KEY, jnp.ones((1, 3)))[1]["params"]["w"])


def test_lazy_init_uses_the_values_it_has():
    def model(scope, x, scale):
        return x * scope.param("w", lambda key: scale * jnp.ones(2))

    lazy = lazy_init(model)(KEY, jax.ShapeDtypeStruct((2,), jnp.float32), np.float32(3))
    assert_exact(lazy["params"]["w"], jnp.full(2, 3.0))


def test_lazy_init_refuses_parameters_that_need_missing_values():
    with pytest.raises(errors.LazyInitError):
        lazy_init(lambda s, x: s.param("w", lambda key: x))(
            KEY, jax.ShapeDtypeStruct((2,), jnp.float32)
        )


def test_lazy_rng_is_a_pytree_with_a_static_path():
    lazy = LazyRng.create(LazyRng.create(KEY, "a"), 2)
    leaves, treedef = jax.tree.flatten(lazy)
    assert len(leaves) == 1
    assert jax.tree.unflatten(treedef, leaves).suffix == ("a", 2)
    assert lazy.clear_suffix().suffix == ()
    assert lazy.replace(suffix=("b",)).suffix == ("b",)


def test_a_path_part_must_be_text_or_a_number():
    with pytest.raises(ValueError, match=r"1\.5"):
        fold_in_path(KEY, (1.5,))


def test_flags_reach_every_scope():
    def model(scope):
        return scope.push("a").get_flag("mode"), scope.has_flag("other")

    assert apply(model, flags={"mode": "fast"})({}) == ("fast", False)
    with pytest.raises(ValueError, match="Flag mode not present"):
        Scope({}).get_flag("mode")
    assert Scope({}).get_flag("mode", 1) == 1


def test_an_error_of_an_initializer_says_for_which_parameter():
    with pytest.raises(TypeError) as caught:
        init(lambda scope: scope.push("a").param("w", ZEROS, "text"))(KEY)
    assert caught.value.__notes__ == ['While initializing parameter "w" in /a']


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (((3, 2),), TypeError, "its initializer is a tuple, not a function"),
        ((initializers.lecun_normal(), 3), ValueError, "its shape is 3; a shape is a tuple"),
    ],
)
def test_common_mistakes_with_parameters_are_explained(arguments, error, hint):
    with pytest.raises(error) as caught:
        init(lambda scope: scope.param("w", *arguments))(KEY)
    assert hint in caught.value.__notes__[0]
