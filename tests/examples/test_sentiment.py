"""Sentiment: what is hidden, padding, batches of like lengths, and runs that are cut and go on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from examples.sentiment import model, reviews, running, steps
from examples.sentiment.settings import PRESETS
from tests.examples.example_runs import Example, compile_once, log_of
from tests.tolerance import assert_close, assert_exact

TINY = PRESETS["tiny"]
EXAMPLE = Example("sentiment", "--judge")


@pytest.fixture(scope="module", autouse=True)
def made_once():
    """Read, make the first state and compile once for all runs of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reviews, "read", functools.cache(reviews.read))
        patch.setattr(steps, "create", functools.cache(steps.create))
        compile_once(patch, running)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing cut."""
    folder = tmp_path_factory.mktemp("whole")
    assert EXAMPLE.call("--workdir", folder) is None
    return folder


def test_a_run_that_is_cut_twice_ends_as_one_that_is_not(whole, tmp_path, capsys):
    EXAMPLE.ends_as_one_that_is_not_cut(whole, tmp_path / "run", capsys)


def test_a_run_shows_its_result(whole, capsys):
    EXAMPLE.shows_its_result(whole, "accuracy", capsys)
    assert set(log_of(whole)) == {"accuracy", "most_frequent", "sure", "accuracy_where_sure"}
    (said,) = EXAMPLE.answers(whole, ["房间很好"], capsys)
    assert 0 <= int(said.removesuffix(" %")) <= 100


def test_what_cannot_work_is_refused_and_left_alone(whole, tmp_path):
    EXAMPLE.refuses_what_cannot_work(whole, tmp_path)
    assert "an empty text" in EXAMPLE.call("--workdir", whole, "--judge", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", str(2**32)], "it has to be below 2**32"),
        (["--batch", "0"], "batch is 0; it has to be at least 1"),
        (["--forget", "1"], "forget is 1.0; it has to be from 0 to below 1"),
        (["--longest", "40"], "longest is 40; it has to be 32, or 32 doubled"),
        (["--warmup", "6"], "has to end before step 6"),
        (["--reviews", "20"], "20 reviews leave none to train on"),
        (["--reviews", "900000"], "900000 reviews with 20 held out were asked for"),
        (["--batch", "5000"], "a batch of 5000 is more than there is"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(options, said, tmp_path):
    EXAMPLE.says_in_one_line(options, said, tmp_path / "run")


def test_no_review_is_there_twice():
    everything = reviews.read()
    assert len(set(everything.texts)) == len(everything) > 17_000
    trained_on, held_out = reviews.divided(TINY)
    assert not set(trained_on.texts) & set(held_out.texts)
    assert (len(trained_on), len(held_out)) == (280, 20)


def test_word_dropout_hides_a_share_of_the_characters_and_no_padding():
    characters = jnp.tile(jnp.where(jnp.arange(50) < 40, 7, 0), (200, 1))
    dropout = model.WordDropout(0.25)
    rngs = {"dropout": jax.random.key(0)}
    found = np.asarray(dropout.apply({}, characters, True, rngs=rngs))
    assert set(np.unique(found[:, :40])) == {7, reviews.UNKNOWN} and not found[:, 40:].any()
    assert 0.22 < np.mean(found[:, :40] == reviews.UNKNOWN) < 0.28
    assert_exact(dropout.apply({}, characters, False), characters)


def test_padding_behind_a_review_changes_nothing():
    state = steps.create(TINY, 50)
    row = np.arange(2, 22, dtype=np.int32)
    narrow = steps.probabilities(state, reviews.padded([row], 20))
    assert_close(steps.probabilities(state, reviews.padded([row], 32)), narrow, "model")


def test_reviews_are_judged_the_same_in_every_batch():
    state = steps.create(TINY, 50)
    rng = np.random.default_rng(0)
    rows = [rng.integers(2, 50, length).astype(np.int32) for length in (30, 3, 12, 40, 7)]
    alone = np.concatenate([steps.judge(state, [row]) for row in rows])
    assert_close(steps.judge(state, rows, size=2), alone, "model")


def test_batches_hold_each_review_once_and_need_no_memory():
    rng = np.random.default_rng(0)
    rows = [np.full(rng.integers(1, 120), n + 2, np.int32) for n in range(160)]
    one, other = (reviews.Batches(rows, np.arange(160), 4, seed=1) for _ in range(2))
    seen = np.concatenate([one[number][1] for number in range(40)])
    assert sorted(seen.tolist()) == list(range(160))
    assert_exact(other[57][0], one[57][0])
    widths = [one[number][0].shape[1] for number in range(40)]
    assert set(widths) == {32, 64, 128}
    for number in range(40):
        characters, numbers = one[number]
        assert_exact((characters != 0).sum(axis=1), np.array([len(rows[n]) for n in numbers]))


def test_a_character_that_is_rare_is_unknown():
    some = reviews.Reviews(["aab", "abc"], np.array([0, 1]))
    characters = reviews.Characters(some, rarest=2)
    assert len(characters) == 4
    assert characters.row("abcz", 3).tolist() == [2, 3, reviews.UNKNOWN]


def test_accuracy_counts_what_is_right():
    some = reviews.Reviews(["a", "b", "c", "d"], np.array([1, 0, 1, 0]))
    assert running.accuracy(np.array([0.9, 0.2, 0.4, 0.1]), some) == 75.0
