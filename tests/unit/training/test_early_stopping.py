"""EarlyStopping against the rule written out in plain Python."""

import math

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie.training.early_stopping import EarlyStopping


def expected_stops(metrics, min_delta, patience):
    """For each metric, whether it improved and whether to stop."""
    best, waited, stop, out = math.inf, 0, False, []
    for metric in metrics:
        better = math.isinf(best) or best - metric > min_delta
        if better:
            best, waited = metric, 0
        else:
            stop = stop or waited >= patience
            waited += 1
        out.append((better, stop))
    return out


@given(
    metrics=st.lists(st.integers(0, 8).map(lambda n: n / 4), max_size=12),
    min_delta=st.sampled_from([0, 0.25, 0.5]),
    patience=st.integers(0, 3),
)
def test_follows_the_rule(metrics, min_delta, patience):
    stopping, seen = EarlyStopping(min_delta=min_delta, patience=patience), []
    for metric in metrics:
        stopping = stopping.update(metric)
        seen.append((stopping.has_improved, stopping.should_stop))
    assert seen == expected_stops(metrics, min_delta, patience)


def test_update_unpacks_as_the_older_documents_say():
    has_improved, stopping = EarlyStopping().update(1.0)
    assert has_improved and stopping == EarlyStopping(best_metric=1.0, has_improved=True)
    has_improved, stopping = stopping.update(1.0)
    assert not has_improved and stopping.should_stop


def test_an_improvement_equal_to_min_delta_is_none():
    stopping = EarlyStopping(min_delta=0.5).update(1.0).update(0.5)
    assert not stopping.has_improved and stopping.best_metric == 1.0


def test_a_late_improvement_does_not_take_the_stop_back():
    stopping = EarlyStopping().update(1.0).update(1.0).update(0.1)
    assert stopping.has_improved and stopping.should_stop


def test_reset_keeps_the_rule_and_forgets_the_rest():
    used = EarlyStopping(min_delta=0.1, patience=2).update(1.0).update(1.0)
    assert used.reset() == EarlyStopping(min_delta=0.1, patience=2)


@pytest.mark.parametrize("start", [[math.nan], [math.inf], [-math.inf], [math.inf, math.nan]])
@pytest.mark.parametrize("as_array", [float, jnp.float32])
def test_a_start_that_is_no_number_does_not_stop_a_run_that_improves(start, as_array):
    stopping = EarlyStopping()
    for metric in [*start, 1.0, 0.5]:
        stopping = stopping.update(as_array(metric))
        assert not stopping.should_stop
    assert stopping.has_improved and stopping.best_metric == 0.5
    assert stopping.update(as_array(0.6)).should_stop


def test_nan_is_never_better():
    first = EarlyStopping(patience=1).update(math.nan)
    assert not first.has_improved
    later = first.update(math.nan)
    assert not later.has_improved and not later.should_stop
    assert later.update(math.nan).should_stop
    after_a_number = EarlyStopping().update(1.0).update(math.nan)
    assert after_a_number.should_stop and after_a_number.best_metric == 1.0


@given(
    metrics=st.lists(
        st.sampled_from([math.nan, math.inf, -math.inf, 2.0, 1.0, 0.5]), min_size=1, max_size=8
    ),
    patience=st.integers(0, 2),
)
def test_stops_only_after_a_row_of_values_that_are_not_better(metrics, patience):
    stopping, waited = EarlyStopping(patience=patience), 0
    for position, metric in enumerate(metrics):
        already = stopping.should_stop
        stopping = stopping.update(metric)
        waited = 0 if stopping.has_improved else waited + 1
        if stopping.should_stop and not already:
            assert waited > patience
        numbers = [m for m in metrics[: position + 1] if not math.isnan(m)]
        assert not (math.isnan(stopping.best_metric) and numbers and metrics[position] == metric)


def test_takes_arrays_and_leaves_the_first_object_alone():
    first = EarlyStopping()
    assert float(first.update(jnp.array(2.0)).best_metric) == 2.0
    assert first == EarlyStopping()


def test_every_field_is_a_leaf():
    assert jax.tree.leaves(EarlyStopping(min_delta=0.5, patience=3)) == [
        0.5,
        3,
        math.inf,
        0,
        False,
        False,
    ]
