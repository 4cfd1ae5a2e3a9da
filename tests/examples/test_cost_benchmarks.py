"""The benchmarks of the last host cost and of growth measure what they say."""

import jax
import pytest
from benchmarks import growth, last_costs, measure, resnet
from tests.tolerance import assert_close

import ramie.linen as nn
from ramie import nnx

pytestmark = pytest.mark.usefixtures("quick_collections")


def test_growth_is_measured_for_each_operation():
    found = growth.measure(1, ("ramie",), (4, 8))
    assert tuple(found) == growth.OPERATIONS
    for name, series in found.items():
        assert list(series) == [("ramie", 4), ("ramie", 8)], name
        assert not any(x.failure for x in series.values()), name
    rows = growth.rows(found)
    assert [row[0] for row in rows] == list(growth.OPERATIONS)
    assert {len(row) for row in rows} == {5}


def test_the_slope_is_the_power_of_the_size():
    small, large = measure.Series([2.0, 1.0]), measure.Series([64.0, 100.0])
    assert_close(growth.slope(small, large, 8), 2.0)


def test_operations_on_a_model_do_what_their_names_say(tmp_path):
    run = growth.operations("ramie", 10, str(tmp_path / "saved"))
    assert len(jax.tree.leaves(run["state"]())) == 10
    restored = run["restore"]()
    before = jax.tree.leaves(nnx.to_pure_dict(run["state"]()))
    assert all((x == y).all() for x, y in zip(jax.tree.leaves(restored), before, strict=True))
    run["step"]()
    after = jax.tree.leaves(nnx.to_pure_dict(run["state"]()))
    assert all((x + 1 == y).all() for x, y in zip(before, after, strict=True))
    assert "Pair" in run["display"]()


@pytest.mark.parametrize("cls", [last_costs.Flat, last_costs.Layered])
def test_steps_of_the_last_costs_touch_every_leaf_or_none(cls):
    model = cls(10)
    before = jax.tree.leaves(nnx.to_pure_dict(nnx.state(model)))
    assert len(before) == 10
    last_costs._stateful(model, touched=False)()
    same = jax.tree.leaves(nnx.to_pure_dict(nnx.state(model)))
    assert all(x is y for x, y in zip(before, same, strict=True))
    last_costs._stateful(model, touched=True)()
    after = jax.tree.leaves(nnx.to_pure_dict(nnx.state(model)))
    assert all((x + 1 == y).all() for x, y in zip(before, after, strict=True))


def test_both_styles_of_the_resnet_have_the_same_arrays():
    variables = jax.eval_shape(resnet.linen_resnet(nn).init, jax.random.key(0), resnet.image())
    state = nnx.state(nnx.eval_shape(resnet.nnx_resnet(nnx)), nnx.Param, nnx.BatchStat)
    shapes = [sorted(x.shape for x in jax.tree.leaves(tree)) for tree in (variables, state)]
    assert shapes[0] == shapes[1]


def test_starts_are_measured_in_fresh_processes(monkeypatch):
    asked = []

    def run_python(*arguments, **_):
        asked.append(arguments[2])
        return "3.0\n1.0\n"

    monkeypatch.setattr(last_costs, "run_python", run_python)
    rows = last_costs.rows_of_starts(last_costs.measure_starts(2))
    assert asked.count("ramie") == asked.count("flax") == 6  # twice, and one warm-up round
    assert [row[1] for row in rows] == ["3.00", "1.00", "3.00", "1.00"]
