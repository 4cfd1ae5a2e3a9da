"""The same paths, keys, bits, states and messages as Flax, object by object."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

flax = pytest.importorskip("flax")

from flax import nnx as theirs  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import nnx as ours  # noqa: E402


def _model(nnx):
    class Block(nnx.Module):
        def __init__(self, rngs):
            self.linear = nnx.Linear(2, 3, rngs=rngs)
            self.items = nnx.List([nnx.Param(jnp.ones(1)), 2, nnx.Dict(x=nnx.BatchStat(1.0))])
            self.pairs = nnx.data([{"b": nnx.Param(jnp.zeros(2)), "a": 1}, jnp.arange(2)])
            self.array = jnp.arange(3)
            self.name = "block"
            self.rngs = rngs

    return Block(nnx.Rngs(0, params=1))


def _paths(tree):
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def test_key_paths_of_modules_and_states():
    mine, other = _model(ours), _model(theirs)
    assert _paths(mine) == _paths(other)
    assert _paths(ours.state(mine)) == _paths(theirs.state(other))
    flat, reference = ours.state(mine).flat_state(), theirs.to_flat_state(theirs.state(other))
    assert flat.paths == reference.paths
    assert [type(x).__name__ for x in flat.leaves] == [type(x).__name__ for x in reference.leaves]


def test_pure_dictionaries_hold_the_same_bits():
    mine = ours.to_pure_dict(ours.state(_model(ours), ours.Param))
    other = theirs.to_pure_dict(theirs.state(_model(theirs), theirs.Param))
    assert jax.tree.structure(mine) == jax.tree.structure(other)
    jax.tree.map(assert_exact, mine, other)


def test_filters_take_the_same():
    for make in (
        lambda nnx: nnx.Param,
        lambda nnx: "params",
        lambda nnx: (nnx.RngCount, nnx.BatchStat),
        lambda nnx: nnx.Not(nnx.Variable),
        lambda nnx: nnx.PathContains("item", exact=False),
        lambda nnx: nnx.All(nnx.RngState, "default"),
        lambda nnx: lambda path, x: path[0] == "linear",
    ):
        mine = ours.to_flat_state(ours.state(_model(ours), make(ours))).paths
        assert mine == theirs.to_flat_state(theirs.state(_model(theirs), make(theirs))).paths


def test_iteration_finds_the_same_modules():
    mine, other = _model(ours), _model(theirs)
    assert [p for p, _ in ours.iter_modules(mine)] == [p for p, _ in theirs.iter_modules(other)]
    assert [k for k, _ in ours.iter_children(mine)] == [k for k, _ in theirs.iter_children(other)]


@pytest.mark.parametrize("pattern", [2, (1, 2), {"params": 2}, {"params": 3, ...: 2}], ids=str)
@pytest.mark.parametrize("method", ["split", "broadcast"])
def test_streams_branch_off_alike(method, pattern):
    def branch(nnx):
        rngs = nnx.Rngs(0, params=1, dropout=2)
        rngs.dropout()
        made = getattr(rngs.fork(), method)(pattern)
        state = {**nnx.to_pure_dict(nnx.state(made)), "left": nnx.to_pure_dict(nnx.state(rngs))}
        return jax.tree.map(lambda x: jax.random.key_data(x) if x.dtype != np.uint32 else x, state)

    jax.tree.map(assert_exact, branch(ours), branch(theirs))


def test_samplers_have_the_same_names_and_bits():
    names = [name for name in dir(theirs.RngStream) if not name.startswith("_")]
    assert [name for name in names if not hasattr(ours.RngStream, name)] == []
    for draw in (
        lambda rngs: rngs.normal((2, 3)),
        lambda rngs: rngs.dropout.uniform((3,)),
        lambda rngs: rngs.permutation(5),
        lambda rngs: rngs.truncated_normal(-1, 1, (4,)),
        lambda rngs: rngs.glorot_uniform()((3, 4), jnp.float32),
        lambda rngs: rngs.variance_scaling(1.0, "fan_in", "normal")((3, 4)),
    ):
        assert_exact(draw(ours.Rngs(0, params=1)), draw(theirs.Rngs(0, params=1)))


LAYERS = [
    lambda nnx, rngs: (nnx.Linear(3, 5, rngs=rngs), (2, 3)),
    lambda nnx, rngs: (nnx.LinearGeneral((4, 3), (2, 5), axis=(1, -1), rngs=rngs), (2, 4, 3)),
    lambda nnx, rngs: (nnx.LinearGeneral(3, 5, batch_axis={0: 2}, rngs=rngs), (2, 4, 3)),
    lambda nnx, rngs: (nnx.Einsum("bij,jk->bik", (3, 5), (5,), rngs=rngs), (2, 4, 3)),
    lambda nnx, rngs: (nnx.Conv(4, 6, (3, 2), 2, feature_group_count=2, rngs=rngs), (2, 5, 5, 4)),
    lambda nnx, rngs: (nnx.Conv(4, 6, 3, padding="CAUSAL", rngs=rngs), (5, 4)),
    lambda nnx, rngs: (nnx.ConvTranspose(4, 6, (3,), 2, padding="CIRCULAR", rngs=rngs), (2, 5, 4)),
]


@pytest.mark.parametrize("index", range(len(LAYERS)))
def test_layers_have_the_same_attributes_parameters_and_outputs(index):
    mine, shape = LAYERS[index](ours, ours.Rngs(params=3))
    other, _ = LAYERS[index](theirs, theirs.Rngs(params=3))
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    jax.tree.map(
        assert_exact,
        ours.to_pure_dict(ours.state(mine)),
        theirs.to_pure_dict(theirs.state(other)),
    )
    assert_exact(mine(x), other(x))
    private = {"_pytree__nodes", "_pytree__state"}
    assert set(vars(mine)) == set(vars(other)) - private


def test_embed():
    mine, other = (nnx.Embed(7, 3, rngs=nnx.Rngs(0)) for nnx in (ours, theirs))
    tokens = jnp.array([[1, 9], [-1, 0]])
    assert_exact(mine(tokens), other(tokens))
    assert_exact(mine.attend(jnp.ones((2, 3))), other.attend(jnp.ones((2, 3))))


def _bad_static(nnx):
    nnx.Dict(a=[nnx.Param(1)])


def _late_data(nnx):
    node = nnx.Dict(a=1)
    node.a = jnp.ones(1)


def _too_few(nnx):
    nnx.merge(nnx.graphdef(nnx.Dict(a=nnx.Param(1))), nnx.State({}))


def _shared_tree(nnx):
    v = nnx.Param(1)
    nnx.split(nnx.Dict(a=v, b=v), graph=False)


def _wrong_kind(nnx):
    nnx.Param(1).copy_from(nnx.BatchStat(1))


def _other_trace(nnx):
    v = nnx.Param(jnp.ones(1))
    jax.jit(lambda: v.set_value(jnp.zeros(1)))()


def _no_filter(nnx):
    nnx.split(nnx.Dict(a=nnx.Param(1)), nnx.BatchStat)


def _set_attribute(nnx):
    nnx.Param(1).name = 2


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (_bad_static, "Found data on value of type"),
        (_late_data, "Cannot assign data value of type"),
        (_too_few, "Incorrect number of leaves, expected 1 leaves, but got 0"),
        (_shared_tree, "found at paths"),
        (_wrong_kind, "Cannot copy from incompatible container, expected Param, got BatchStat"),
        (_other_trace, "Cannot mutate Param from a different trace level"),
        (_no_filter, "Non-exhaustive filters, got a non-empty remainder"),
        (_set_attribute, "Cannot set attribute name"),
    ],
)
def test_mistakes_raise_the_same_errors(cause, words):
    raised = []
    for nnx in (ours, theirs):
        with pytest.raises(Exception, match=words) as info:
            cause(nnx)
        raised.append({cls.__name__ for cls in type(info.value).__mro__})
    assert raised[1] <= raised[0] | {"FlaxError"}


def test_containers_mutated_alike():
    def mutate(nnx):
        items = nnx.List([nnx.Param(1.0), nnx.Param(2.0)])
        items.insert(0, nnx.Param(3.0))
        del items[1]
        names = nnx.Dict(b=items, a=nnx.Param(4.0))
        names.c = names.pop("a")
        state = nnx.state(names)
        return nnx.to_flat_state(state).paths, nnx.to_pure_dict(state), len(items), sorted(names)

    assert mutate(ours) == mutate(theirs)


def test_update_and_pop_alike():
    def change(nnx):
        model = nnx.Dict(a=nnx.Param(1), b=nnx.Dict(c=nnx.BatchStat(2), d=3), e=nnx.Param(4))
        seen = nnx.Intermediate(8)
        nnx.update(model, {"a": 5, "b": {"c": 6}}, nnx.State({"b": {"d": 7, "f": seen}}))
        popped = nnx.pop(model, nnx.BatchStat, nnx.PathContains("e"))
        plain = [nnx.to_pure_dict(state) for state in (*popped, nnx.state(model))]
        return plain, model.b.d

    assert change(ours) == change(theirs)


def test_update_with_names_that_the_model_has_not():
    """They are taken there, and an error here: an intended difference."""
    given = {"typo": jnp.ones(2)}
    model = theirs.Linear(2, 3, rngs=theirs.Rngs(0))
    theirs.update(model, given)
    assert hasattr(model, "typo")
    with pytest.raises(ValueError, match="typo: the Linear has bias"):
        ours.update(ours.Linear(2, 3, rngs=ours.Rngs(0)), given)


OPERATORS = (
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv),
    *(operator.mod, operator.pow, operator.matmul, operator.eq, operator.iadd, operator.imul),
)


@pytest.mark.parametrize("traced", [False, True])
def test_numpy_on_the_left_of_a_variable(traced):
    left, right = np.array([[1.0, 2.5], [3.0, 4.0]]), jnp.array([[2.0, 3.0], [0.5, 1.0]])

    def results(nnx):
        def run(value):
            variable = nnx.Param(value)
            found = [op(left.copy(), variable) for op in OPERATORS]
            return found + [op(np.float64(2), variable) for op in OPERATORS if op is not matmul]

        matmul = operator.matmul
        return jax.jit(run)(right) if traced else run(right)

    for mine, other in zip(results(ours), results(theirs), strict=True):
        assert isinstance(mine, jax.Array) and isinstance(other, jax.Array)
        assert_exact(mine, other)


@pytest.mark.parametrize("make", [np.asarray, lambda x: x, jax.new_ref])
def test_layers_with_something_in_place_of_their_variables(make):
    def outputs(nnx):
        x = jnp.linspace(-1, 1, 8).reshape(2, 4)
        layers = [
            nnx.Linear(4, 3, rngs=nnx.Rngs(0)),
            nnx.Conv(4, 2, (1,), rngs=nnx.Rngs(0)),
        ]
        for layer in layers:
            for name in ("kernel", "bias"):
                setattr(layer, name, nnx.data(make(getattr(layer, name)[...] + 1)))
        return [layer(x) for layer in layers]

    for mine, other in zip(outputs(ours), outputs(theirs), strict=True):
        assert_exact(mine, other)


@pytest.mark.parametrize("count", [1, 250, 251, 1000, 1024, 262_144, 300_000_000])
def test_sizes_in_text(count):
    shape = jax.ShapeDtypeStruct((count,), jnp.float32)
    mine, other = repr(ours.Param(shape)), repr(theirs.Param(shape))
    assert mine.partition("\n")[0] == other.partition("\n")[0]


def test_the_order_of_attributes_in_what_is_made_again():
    def orders(nnx):
        made = nnx.merge(*nnx.split(_model(nnx))), nnx.clone(_model(nnx))
        made += (nnx.eval_shape(lambda: _model(nnx)), nnx.jit(lambda: _model(nnx))())
        return [
            [name for name in vars(x) if not name.startswith("_pytree")]
            for model in made
            for x in (model, model.linear)
        ]

    assert orders(ours) == orders(theirs)
