"""Hyphenation: the tags, the scores, padding, and runs that are cut and go on."""

import functools

import numpy as np
import pytest
from examples.hyphenation import scoring, steps, words
from examples.hyphenation.settings import PRESETS
from tests.examples.example_runs import Example, log_of
from tests.tolerance import assert_close, assert_exact

TINY = PRESETS["tiny"]
EXAMPLE = Example("hyphenation", "--break")


@pytest.fixture(scope="module", autouse=True)
def made_once():
    """Read the words once for all runs of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "read", functools.cache(words.read))
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing cut."""
    folder = tmp_path_factory.mktemp("whole")
    assert EXAMPLE.call("--workdir", folder) is None
    return folder


@pytest.fixture(scope="module")
def model():
    """A model as it is before the first step."""
    return steps.Training(TINY).model


def test_a_run_that_is_cut_twice_ends_as_one_that_is_not(whole, tmp_path, capsys):
    EXAMPLE.ends_as_one_that_is_not_cut(whole, tmp_path / "run", capsys)


def test_a_run_shows_its_result(whole, capsys):
    EXAMPLE.shows_its_result(whole, "f1", capsys)
    assert set(log_of(whole)) == {"precision", "recall", "f1", "words"}
    (said,) = EXAMPLE.answers(whole, ["transformer"], capsys)
    assert said.replace("-", "") == "transformer" and not said.endswith("-")


def test_what_cannot_work_is_refused_and_left_alone(whole, tmp_path):
    EXAMPLE.refuses_what_cannot_work(whole, tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", str(2**32)], "it has to be below 2**32"),
        (["--batch", "0"], "batch is 0; it has to be at least 1"),
        (["--rate", "nan"], "rate is nan; it has to be between"),
        (["--width", "18"], "width 18 has to be a multiple of 2 x 2 heads"),
        (["--warmup", "6"], "has to end before step 6"),
        (["--words", "20"], "20 words leave none to train on"),
        (["--words", "900000"], "900000 words with 20 held out were asked for"),
        (["--batch", "5000"], "a batch of 5000 is more than there is"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(options, said, tmp_path):
    EXAMPLE.says_in_one_line(options, said, tmp_path / "run")


def test_words_that_are_none_are_named(whole):
    assert "has ['ï']" in EXAMPLE.call("--workdir", whole, "--break", "naïve")
    assert "has 17 letters" in EXAMPLE.call("--workdir", whole, "--break", "a" * 17)


def test_tags_are_the_breaks_of_pyphen():
    found = words.looked_up(["hyphenation", "tree"], 12)
    assert np.flatnonzero(found.breaks[0]).tolist() == [1, 5]
    assert words.broken("hyphenation", found.breaks[0]) == "hy-phen-ation"
    assert not found.breaks[1].any() and found.letters[1].tolist()[4:] == [0] * 8


def test_padding_behind_a_word_changes_nothing(model):
    narrow = model(words.spelled(["letter"], 6))
    assert_close(model(words.spelled(["letter"], 16))[:, :6], narrow, "model")


def test_no_break_is_behind_the_last_letter_or_in_padding(model):
    letters = words.spelled(["letter", "tag"], 8)
    found = steps.likely(model, letters, size=2)
    assert (found[0, :5] > 0).all() and (found[1, :2] > 0).all()
    assert not found[0, 5:].any() and not found[1, 2:].any()


def test_words_are_tagged_the_same_in_every_batch(model):
    letters = words.spelled(["one", "three", "eleven", "twelve", "thirty"], 8)
    assert_close(steps.likely(model, letters, size=2), steps.likely(model, letters), "model")


def test_scores_count_breaks():
    right = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    found = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]) > 0
    scores = scoring.scores(found, right)
    wanted = {"precision": 200 / 3, "recall": 200 / 3, "f1": 200 / 3, "words": 100 / 3}
    for name, value in wanted.items():
        assert_close(np.float64(scores[name]), np.float64(value))
    assert scoring.scores(np.zeros((1, 3), bool), np.zeros((1, 3), int))["f1"] == 0


def test_no_word_is_on_both_sides_and_batches_need_no_memory():
    everything = words.read(TINY.longest)
    trained_on, held_out = words.divided(everything, TINY.longest, 400, 50, seed=3)
    assert not set(trained_on.spellings) & set(held_out.spellings)
    assert (len(trained_on), len(held_out)) == (350, 50)
    one, other = (words.Batches(trained_on, 8, seed=5) for _ in range(2))
    for number in (90, 0, 7):
        letters, breaks = one[number]
        assert letters.shape == breaks.shape == (8, TINY.longest)
    assert_exact(one[7][0], other[7][0])
