"""The benchmark harness measures what it says: the same model twice, in turns."""

import jax
import pytest
from benchmarks import donation, measure, repeated, report, scanned, transformer
from tests.tolerance import assert_close

import ramie.linen as nn

pytestmark = pytest.mark.usefixtures("quick_collections")


def test_both_forms_of_the_transformer_compute_the_same():
    model, ids = transformer.linen_transformer(nn), transformer.tokens()
    variables = model.init(jax.random.key(0), ids)
    assert len(jax.tree.leaves(variables)) == 389
    with jax.numpy_rank_promotion("allow"):  # plain JAX code broadcasts, as users' code does
        expected = transformer.raw_transformer(variables, ids)
    assert_close(model.apply(variables, ids), expected, "model")


def test_both_forms_of_the_scan_compute_the_same():
    model, x = scanned.linen_stack(nn), scanned.inputs()
    variables = model.init(jax.random.key(0), x)
    assert variables["params"]["layers"]["up"]["kernel"].shape[0] == scanned.LAYERS
    with jax.numpy_rank_promotion("allow"):
        expected = scanned.raw_stack(variables, x)
    assert_close(model.apply(variables, x), expected, "model")


def test_towers_of_repeat_compute_the_same():
    with jax.numpy_rank_promotion("allow"):
        raw, arguments = repeated.raw_call()
        expected = raw(*arguments)
    step, (variables, x) = repeated.linen_call(True)
    value, grads = step({"params": {"layers": arguments[0]}}, x)
    assert_close(value, expected[0], "model")
    layers = grads["params"]["layers"]
    jax.tree.map(lambda a, b: assert_close(a, b, "model"), layers, expected[1])
    assert jax.tree.structure(variables["params"]["layers"]) == jax.tree.structure(arguments[0])


def test_contenders_take_turns_and_the_warm_up_does_not_count():
    calls = []

    def contender(name, seconds):
        def run():
            calls.append(name)
            return seconds

        return run

    series = measure.alternate({"a": contender("a", 2.0), "b": contender("b", 1.0)}, rounds=4)
    assert [len(found.times) for found in series.values()] == [4, 4]
    assert len(calls) == 10
    assert all(set(calls[at : at + 2]) == {"a", "b"} for at in range(0, 10, 2))
    found = measure.ratio(series["a"], series["b"])
    assert found == measure.Ratio(2.0, 2.0, 2.0, 2.0)


def test_a_contender_that_fails_leaves_the_race_with_its_message():
    def broken():
        raise LookupError("no such thing")

    series = measure.alternate({"good": lambda: 1.0, "bad": broken}, rounds=3)
    assert series["good"].times == [1.0] * 3
    assert series["bad"].failure == "LookupError: no such thing"
    assert measure.ratio(series["bad"], series["good"]) is None
    assert "no such thing" in report.comparison(
        {"work": {"ramie": series["bad"], "flax": series["good"], "raw": series["good"]}}, "raw", {}
    )


def test_only_the_table_of_the_section_is_replaced():
    page = "# T\n\n| x |\n\n## Measured\n\nbefore\n\n| a |\n| b |\n\nafter\n\n## Next\n\n| y |\n"
    changed = report.replace_table(page, "## Measured", "| new |")
    assert changed == page.replace("| a |\n| b |", "| new |")
    with pytest.raises(ValueError, match="no table"):
        report.replace_table(page, "## Absent", "| new |")


def test_steps_that_donate_take_less_beyond_their_state():
    ways = ("", donation.DONATES, donation.AUTO)
    planned = [donation.peak("ramie" + way, layers=4, width=64).planned for way in ways]
    raw = [donation.peak("jax.jit" + way, layers=4, width=64).planned for way in ways[:2]]
    assert planned[0] <= 1.05 * raw[0] and planned[2] <= 1.05 * planned[1] < 0.7 * planned[0]
