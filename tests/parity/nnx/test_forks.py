"""Streams forked inside of models have the keys and counts they have in Flax."""

import inspect

import jax
import numpy as np
import pytest

flax = pytest.importorskip("flax")

from flax import nnx as theirs  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import nnx as ours  # noqa: E402


def _bits(nnx, *trees):
    states = [nnx.to_pure_dict(nnx.state(tree)) for tree in trees]
    return jax.tree.map(lambda x: jax.random.key_data(x) if x.dtype != np.uint32 else x, states)


def _in_place(change):
    def run(nnx):
        rngs = nnx.Rngs(params=0, dropout=1)
        rngs.params()
        backups = change(nnx, rngs)
        forked = _bits(nnx, rngs)
        if backups is not None:
            nnx.restore_rngs(backups)
        return forked, _bits(nnx, rngs)

    return run


def _copied(change):
    def run(nnx):
        rngs = nnx.Rngs(params=0, dropout=1)
        rngs.params()
        return _bits(nnx, change(nnx, rngs), rngs)

    return run


def _reseeded(nnx, rngs):
    nnx.split_rngs(rngs, splits=2, only="params")
    nnx.reseed(rngs, policy="match_shape", params=3, dropout=4)


def _again(nnx, rngs):
    nnx.reseed(rngs, dropout=3)
    return rngs


CASES = {
    "split": _in_place(lambda nnx, rngs: nnx.split_rngs(rngs, splits=(2, 3))),
    "split_only": _in_place(lambda nnx, rngs: nnx.split_rngs(rngs, splits=2, only="params")),
    "squeeze": _in_place(lambda nnx, rngs: nnx.split_rngs(rngs, splits=1, squeeze=True)),
    "fork": _in_place(lambda nnx, rngs: nnx.fork_rngs(rngs)),
    "fork_some": _in_place(lambda nnx, rngs: nnx.fork_rngs(rngs, split={"dropout": 2})),
    "reseed": _in_place(_reseeded),
    "reseed_all": _copied(lambda nnx, rngs: _again(nnx, [rngs, nnx.Rngs(dropout=1)])),
    "split_copy": _copied(lambda nnx, rngs: nnx.split_rngs(rngs, splits=2, graph=False)),
    "fork_copy": _copied(lambda nnx, rngs: nnx.fork_rngs(rngs, split=2, graph=False)),
    "with_fork": _copied(lambda nnx, rngs: nnx.with_rngs(rngs, fork="params", graph=False)),
    "with_some": _copied(
        lambda nnx, rngs: nnx.with_rngs(
            rngs, split={"params": 2}, broadcast={...: 3}, only=..., graph=False
        )
    ),
    "with_rest": _copied(
        lambda nnx, rngs: nnx.with_rngs(rngs, split={...: 2}, fork=["params"], graph=False)
    ),
}


@pytest.mark.filterwarnings("ignore:The 'split' argument of 'fork' is deprecated")
@pytest.mark.parametrize("case", CASES)
def test_keys_and_counts(case):
    jax.tree.map(assert_exact, CASES[case](ours), CASES[case](theirs))


@pytest.mark.parametrize(
    "name", ["split_rngs", "fork_rngs", "with_rngs", "restore_rngs", "reseed", "Rngs.fork"]
)
def test_signatures(name):
    def parameters(nnx):
        found = nnx
        for part in name.split("."):
            found = getattr(found, part)
        listed = inspect.signature(found).parameters.values()
        return [(p.name, p.kind, p.default is p.empty) for p in listed]

    assert parameters(ours) == parameters(theirs)
