"""EarlyStopping against the rule written out in plain Python."""

import math

import jax
import jax.numpy as jnp
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


def test_nan_from_the_start_stops():
    stopping = EarlyStopping(patience=1).update(math.nan).update(1.0).update(1.0)
    assert stopping.should_stop


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
