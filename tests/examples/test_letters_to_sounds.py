"""Letters to sounds: the search, the scores, the data, and runs that are cut and go on."""

import dataclasses
import functools
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from examples.letters_to_sounds import model, running, scoring, search, steps, words
from examples.letters_to_sounds.settings import PRESETS, Settings
from tests.examples.example_runs import Example, compile_once, log_of
from tests.tolerance import assert_close, assert_exact

TINY = PRESETS["tiny"]
EXAMPLE = Example("letters_to_sounds", "--say")
EDGE, VOCABULARY, LONGEST = 1, 4, 3


@pytest.fixture(scope="module", autouse=True)
def made_once():
    """Read, make the first state and compile once for all runs of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "read", functools.cache(words.read))
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
    EXAMPLE.shows_its_result(whole, "phoneme_error_rate", capsys)
    assert set(log_of(whole)) == {"greedy", "beam"}
    for said in EXAMPLE.answers(whole, ["tree", "it's"], capsys):
        assert set(said.split()) <= set(words.SOUNDS)


def test_what_cannot_work_is_refused_and_left_alone(whole, tmp_path):
    EXAMPLE.refuses_what_cannot_work(whole, tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", str(2**32)], "it has to be below 2**32"),
        (["--batch", "0"], "batch is 0; it has to be at least 1"),
        (["--rate", "2"], "rate is 2.0; it has to be between"),
        (["--rate", "nan"], "rate is nan; it has to be between"),
        (["--warmup", "6"], "has to end before step 6"),
        (["--words", "20"], "20 words leave none to train on"),
        (["--words", "900000"], "900000 words with 20 held out were asked for"),
        (["--batch", "5000"], "a batch of 5000 is more than there is"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(options, said, tmp_path):
    EXAMPLE.says_in_one_line(options, said, tmp_path / "run")


def test_words_that_cannot_be_said_are_named(whole):
    assert "the word 'naïve' has ['ï']" in EXAMPLE.call("--workdir", whole, "--say", "naïve")
    assert "has 15 letters" in EXAMPLE.call("--workdir", whole, "--say", "a" * 15)


def random_step(seed):
    """Return a step that depends on the two tokens before, and the first carry."""
    table = np.random.default_rng(seed).normal(size=(VOCABULARY, VOCABULARY, VOCABULARY))
    table = jax.nn.log_softmax(jnp.asarray(2 * table, jnp.float32))

    def step(carry, tokens):
        return tokens, table[carry, tokens]

    return step, np.asarray(table)


def all_sequences(table, first):
    """Return every sequence, filled up with edges, and its log probability."""
    found = {}
    for tokens in itertools.product(range(VOCABULARY), repeat=LONGEST):
        score, before, now = np.float32(0), first, EDGE
        for place, token in enumerate(tokens):
            score += table[before, now, token]
            before, now = now, token
            if token == EDGE:
                tokens = (*tokens[:place], *[EDGE] * (LONGEST - place))
                break
        found[tokens] = score
    return sorted(found.items(), key=lambda one: -one[1])


def searched(step, beams):
    carry = jnp.repeat(jnp.asarray([0, 2]), beams)
    found = search.beam_search(step, carry, batch=2, beams=beams, length=LONGEST, edge=EDGE)
    return [np.asarray(x) for x in found]


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_what_a_search_of_everything_finds(seed):
    step, table = random_step(seed)
    beams = VOCABULARY ** (LONGEST - 1)
    written, scores = searched(step, beams)
    for row, first in enumerate([0, 2]):
        wanted = all_sequences(table, first)[:beams]
        assert [tuple(x) for x in written[row].tolist()] == [tokens for tokens, _ in wanted]
        assert_close(scores[row], np.array([score for _, score in wanted], np.float32))


@pytest.mark.parametrize("seed", range(3))
def test_one_beam_takes_the_likeliest_token_each_time(seed):
    step, table = random_step(seed)
    written, _ = searched(step, 1)
    for row, first in enumerate([0, 2]):
        tokens, before, now = [], first, EDGE
        while len(tokens) < LONGEST and (not tokens or now != EDGE):
            before, now = now, int(table[before, now].argmax())
            tokens.append(now)
        tokens += [EDGE] * (LONGEST - len(tokens))
        assert written[row, 0].tolist() == tokens


def test_padding_behind_a_word_changes_nothing():
    pronouncer = model.create(TINY)
    params = steps.create(TINY).params
    sounds = words.said([["K", "AE", "T"]], 4)[:, :-1]
    narrow, wide = (
        pronouncer.apply({"params": params}, words.spelled(["cat"], longest), sounds)[0]
        for longest in (3, 9)
    )
    assert_close(wide, narrow, "model")


def test_distance_counts_the_fewest_changes():
    assert scoring.distance(list("kitten"), list("sitting")) == 3
    assert scoring.distance([], list("abc")) == scoring.distance(list("abc"), []) == 3
    assert scoring.distance(list("abc"), list("abc")) == 0


def test_the_nearest_of_several_pronunciations_counts():
    two = words.Words(["a", "b"], [[["AH"], ["EY"]], [["B", "IY"]]])
    assert scoring.rates([["EY"], ["B", "IH"]], two) == (100 / 3, 50.0)


def test_no_word_is_on_both_sides():
    everything = words.read(14)
    trained_on, held_out = words.divided(everything, 0, 1000, seed=3)
    assert len(trained_on) + len(held_out) == len(everything) > 100_000
    assert not set(trained_on.spellings) & set(held_out.spellings)
    assert ["T", "AH", "M", "EY", "T", "OW"] in everything.pronunciations[
        everything.spellings.index("tomato")
    ]


def test_rows_say_what_they_were_made_of():
    sounds = ["HH", "AH", "L", "OW"]
    row = words.said([sounds], 6)[0]
    assert row[0] == row[5] == words.EDGE and row[-1] == words.PADDING
    assert words.heard(row[1:]) == sounds
    assert words.spelled(["it's"], 5).tolist() == [[10, 21, 1, 20, 0]]


def test_a_batch_depends_on_its_number_alone():
    some = words.read(14).chosen(range(50))
    one, other = (words.Batches(some, 14, 8, seed=5) for _ in range(2))
    numbers = [9, 0, 3]
    for number in numbers:
        one[number]
    assert_exact(one[7][0], other[7][0])
    seen = np.concatenate([other[number][0] for number in range(len(other.letters) // 8)])
    known = {tuple(row) for row in other.letters.tolist()}
    assert {tuple(row) for row in seen.tolist()} <= known


def test_settings_are_text_that_says_which_example():
    changed = dataclasses.replace(TINY, seed=4)
    assert json.loads(changed.text()) == {
        "example": "letters_to_sounds",
        **dataclasses.asdict(changed),
    }
    assert Settings() == PRESETS["small"]
