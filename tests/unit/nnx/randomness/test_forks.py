"""Forking streams inside of models: in place and undone, in copies, as decorators; new seeds."""

import jax
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import errors, nnx

words = jax.random.key_data


class Model(nnx.Module):
    def __init__(self):
        self.rngs = nnx.Rngs(params=0, dropout=1)
        self.weight = nnx.Param(np.ones(2))


def _shapes(rngs):
    return {name: stream.key.shape for name, stream in sorted(rngs.items())}


def test_split_in_place_and_back():
    model = Model()
    first = jax.random.fold_in(jax.random.key(0), 0)
    backups = nnx.split_rngs(model, splits=3)
    assert_exact(words(model.rngs.params.key[...]), words(jax.random.split(first, 3)))
    assert model.rngs.params.count.shape == (3,) and len(list(backups)) == 2
    with pytest.raises(ValueError, match="side by side"):
        nnx.split_rngs(model, splits=3)
    nnx.restore_rngs(backups)
    assert _shapes(model.rngs) == {"params": (), "dropout": ()}
    assert int(model.rngs.params.count[...]) == 1  # what was given out is not given out again


def test_with_block_undoes_it_even_after_an_error():
    rngs = nnx.Rngs(params=0, dropout=1)
    with pytest.raises(RuntimeError), nnx.split_rngs(rngs, splits=(2, 1), only="params"):
        assert _shapes(rngs) == {"params": (2, 1), "dropout": ()}
        raise RuntimeError
    assert _shapes(rngs) == {"params": (), "dropout": ()}


def test_squeeze_takes_one():
    rngs = nnx.Rngs(0)
    with nnx.split_rngs(rngs, splits=1, squeeze=True):
        assert rngs.default.key.shape == rngs.default.count.shape == ()
    with pytest.raises(ValueError, match="only supported for splits=1"):
        nnx.split_rngs(rngs, splits=2, squeeze=True)


def test_copies_share_all_else():
    for copy in (
        lambda m: nnx.split_rngs({"m": m}, splits=2, only="params", graph=False)["m"],
        lambda m: nnx.with_rngs(m, split={"params": 2}),
        lambda m: nnx.fork_rngs(m, split={"params": 2}, graph_updates=False),
    ):
        model = Model()
        copied = copy(model)
        assert _shapes(copied.rngs) == {"params": (2,), "dropout": ()}
        assert _shapes(model.rngs) == {"params": (), "dropout": ()}
        assert copied.weight is model.weight and copied.rngs is not model.rngs
        assert copied.rngs.dropout.key is model.rngs.dropout.key
        assert int(model.rngs.params.count[...]) == 1


def test_shared_streams_are_forked_once_in_graph_mode_and_refused_in_tree_mode():
    rngs = nnx.Rngs(0)
    pair = nnx.with_rngs((rngs, rngs), fork=..., graph=True)
    assert pair[0] is pair[1] and int(rngs.default.count[...]) == 1
    with pytest.raises(ValueError, match="Duplicate"):
        nnx.with_rngs((rngs, rngs), fork=..., graph=False)


def test_the_first_filter_that_takes_a_stream_decides_how_it_is_forked():
    rngs = nnx.Rngs(a=0, b=1, c=2)
    with nnx.fork_rngs(rngs, split={"a": 2, "b": None, nnx.RngKey: (1, 2)}):
        assert _shapes(rngs) == {"a": (2,), "b": (), "c": (1, 2)}
        assert int(rngs.b.count[...]) == 0
    assert [int(stream.count[...]) for _, stream in rngs.items()] == [1, 1, 1]


def test_rules_of_with_rngs():
    rngs = nnx.Rngs(a=0, b=1, c=2)
    made = nnx.with_rngs(rngs, split={"a": 2}, fork="b", broadcast=3)
    assert _shapes(made) == {"a": (2,), "b": (), "c": (3,)}
    assert_exact(words(made.c.key[...][0]), words(made.c.key[...][2]))
    assert not np.array_equal(words(made.b.key[...]), words(rngs.b.key[...]))
    assert _shapes(nnx.with_rngs(rngs, split={"b": 2}, fork=..., only=nnx.Not("c"))) == {
        "a": (),
        "b": (2,),
        "c": (),
    }
    assert _shapes(nnx.with_rngs(rngs, split={"a": None})) == {"a": (), "b": (), "c": ()}
    with pytest.raises(ValueError, match=r"\('b',\) matches multiple rules") as caught:
        nnx.with_rngs(rngs, split={nnx.Not("c"): 2}, broadcast={"b": 3})
    assert "broadcast: filter 'b'" in str(caught.value)


@pytest.mark.parametrize("graph_updates", [True, False])
def test_decorators_look_at_all_arguments(graph_updates):
    @nnx.split_rngs(splits=2, only="params", graph_updates=graph_updates)
    def f(one, *, other):
        assert one is not other["rngs"]
        return _shapes(one), _shapes(other["rngs"])

    given = nnx.Rngs(params=0), nnx.Rngs(params=1, x=2)
    assert f(given[0], other={"rngs": given[1]}) == ({"params": (2,)}, {"params": (2,), "x": ()})
    assert [rngs.params.key.shape for rngs in given] == [(), ()]


def test_split_streams_give_other_keys_under_vmap():
    rngs = nnx.split_rngs(nnx.Rngs(0), splits=2, graph=False)
    keys = jax.vmap(lambda rngs: words(rngs()))(rngs)
    assert not np.array_equal(keys[0], keys[1])


def test_backups_of_keys():
    rngs = nnx.Rngs(0)
    backups = nnx.rnglib.backup_keys(rngs)
    rngs()
    rngs.default.key[...] = jax.random.key(5)
    nnx.restore_rngs(backups)
    assert_exact(words(rngs.default.key[...]), words(jax.random.key(0)))
    assert int(rngs.default.count[...]) == 1


def test_reseed():
    model, untouched = Model(), words(jax.random.key(0))
    model.rngs.dropout()
    nnx.reseed(model, dropout=7, unknown=3)
    assert int(model.rngs.dropout.count[...]) == 0
    seventh = words(nnx.Rngs(7)())
    assert_exact(words(model.rngs.dropout.key[...]), seventh)
    assert_exact(words(model.rngs.params.key[...]), untouched)
    with pytest.raises(ValueError, match="policy must be"):
        nnx.reseed(model, policy="other", dropout=1)
    with pytest.raises(ValueError, match="Invalid rng value"):
        nnx.reseed(model, dropout="1")
    with pytest.raises(ValueError, match="side by side"):
        nnx.reseed(model, dropout=jax.random.split(jax.random.key(0), 2))


def test_reseed_of_streams_side_by_side():
    model = Model()
    nnx.split_rngs(model, splits=2)
    with pytest.raises(ValueError, match=r"\('rngs', 'dropout'\).*non-scalar key"):
        nnx.reseed(model, dropout=7)
    nnx.reseed(model, policy="match_shape", dropout=7)
    want = jax.random.split(nnx.Rngs(7)(), 2)
    assert_exact(words(model.rngs.dropout.key[...]), words(want))
    asked = []

    def policy(path, key, shape):
        asked.append((path, shape))
        return jax.numpy.broadcast_to(key, shape)

    nnx.reseed(model, policy=policy, dropout=7)
    assert asked == [(("rngs", "dropout"), (2,))]
    assert_exact(words(model.rngs.dropout.key[...][1]), words(nnx.Rngs(7)()))


def test_streams_of_another_trace_level_are_left_alone():
    rngs = nnx.Rngs(0)

    @jax.jit
    def f():
        for change in (
            lambda: nnx.split_rngs(rngs, splits=2),
            lambda: nnx.with_rngs(rngs, fork=...),
            lambda: nnx.reseed(rngs, default=1),
        ):
            with pytest.raises(errors.TraceContextError, match="Cannot mutate Rng"):
                change()

    f()
    assert int(rngs.default.count[...]) == 0
