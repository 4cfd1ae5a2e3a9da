"""Translation: packing, masks, BLEU, tokens, phrases, and runs that are cut and go on."""

import numpy as np
import pytest
from examples.translation import packing, phrases, steps
from examples.translation.bleu import bleu
from examples.translation.settings import PRESETS
from examples.translation.tokens import EDGE, UNKNOWN, Tokens
from tests.examples.example_runs import Example, log_of
from tests.tolerance import assert_close, assert_exact

from ramie import nnx

TINY = PRESETS["tiny"]
EXAMPLE = Example("translation", "--translate")
logits_of = nnx.jit(steps.logits_of)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing cut."""
    folder = tmp_path_factory.mktemp("whole")
    assert EXAMPLE.call("--workdir", folder) is None
    return folder


@pytest.fixture(scope="module")
def some_pairs():
    """Tokens of pairs of many lengths."""
    rng = np.random.default_rng(0)

    def tokens():
        return rng.integers(3, 30, rng.integers(1, 20)).tolist()

    return [(tokens(), tokens()) for _ in range(100)]


@pytest.fixture(scope="module")
def model():
    """A model as it is before the first step."""
    return steps.Training(30, 30, TINY).model


def test_a_run_that_is_cut_twice_ends_as_one_that_is_not(whole, tmp_path, capsys):
    EXAMPLE.ends_as_one_that_is_not_cut(whole, tmp_path / "run", capsys)


def test_a_run_shows_its_result(whole, capsys):
    EXAMPLE.shows_its_result(whole, "bleu", capsys)
    assert set(log_of(whole)) == {"held out phrases", "names never seen"}
    assert len(EXAMPLE.answers(whole, ["March 7, 2021", "Chad"], capsys)) == 2


def test_what_cannot_work_is_refused_and_left_alone(whole, tmp_path):
    EXAMPLE.refuses_what_cannot_work(whole, tmp_path)
    assert "'' has 0 tokens" in EXAMPLE.call("--workdir", whole, "--translate", "")
    assert "has 99 tokens" in EXAMPLE.call("--workdir", whole, "--translate", "9" * 99)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", str(2**32)], "it has to be below 2**32"),
        (["--batch", "0"], "batch is 0; it has to be at least 1"),
        (["--rate", "nan"], "rate is nan; it has to be from 0 to below 1"),
        (["--width", "17"], "width 17 has to be a multiple of 2 heads"),
        (["--longest", "64"], "has to fit into a row of 64"),
        (["--warmup", "6"], "has to end before step 6"),
        (["--phrases", "20"], "20 phrases leave none to train on"),
        (["--batch", "5000"], "a batch of 5000 rows is more than there is"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(options, said, tmp_path):
    EXAMPLE.says_in_one_line(options, said, tmp_path / "run")


def test_packed_phrases_get_the_logits_that_they_get_alone(model, some_pairs):
    row = some_pairs[:3]
    packed = logits_of(model, packing.packed([row], 64))[0]
    start = 0
    for pair in row:
        length = len(pair[1]) + 1
        alone = logits_of(model, packing.packed([[pair]], 64))[0, :length]
        assert_close(packed[start : start + length], alone, "model")
        start += length


def test_a_token_is_not_seen_by_those_before_it(model):
    source, target = [4, 5, 6], [7, 8, 9, 10]
    one, other = (
        logits_of(model, packing.packed([[(source, [*target[:2], last, 10])]], 16))[0]
        for last in (9, 20)
    )
    assert_exact(one[:3], other[:3])
    assert not np.array_equal(one[3], other[3])


def test_rows_hold_every_phrase_once_and_none_is_cut(some_pairs):
    lengths = np.array([(len(source), len(target) + 1) for source, target in some_pairs])
    rows = packing.rows_for(lengths, 40)
    assert sorted(number for row in rows for number in row) == list(range(100))
    for row in rows:
        assert (lengths[row].sum(axis=0) <= 40).all()
    batch = packing.packed([[some_pairs[n] for n in row] for row in rows], 40)
    for at, row in enumerate(rows):
        for segment, number in enumerate(row, 1):
            source, target = some_pairs[number]
            here, there = batch.source_segments[at] == segment, batch.segments[at] == segment
            assert batch.source[at, here].tolist() == source
            assert batch.target[at, there].tolist() == [*target, EDGE]
            assert batch.before[at, there].tolist() == [EDGE, *target]
            assert batch.positions[at, there].tolist() == list(range(len(target) + 1))


def test_a_batch_depends_on_its_number_alone(some_pairs):
    one, other = (packing.Batches(some_pairs, 40, 4, seed=2) for _ in range(2))
    for number in (50, 0, 7):
        one[number]
    for left, right in zip(one[7], other[7], strict=True):
        assert_exact(left, right)
    assert all(len(other[number].source) == 4 for number in range(3 * other.per_epoch))


def test_translating_by_steps_is_the_likeliest_token_each_time(model):
    sources = np.zeros((2, 8), np.int32)
    sources[0, :3], sources[1, :5] = [4, 5, 6], [9, 8, 7, 6, 5]
    written = np.asarray(steps.written(model, sources))
    for row, length in zip(range(2), (3, 5), strict=True):
        target = []
        while len(target) < 8 and EDGE not in target:
            pair = (sources[row, :length].tolist(), target)
            logits = logits_of(model, packing.packed([[pair]], 9))
            target.append(int(logits[0, len(target)].argmax()))
        assert written[row].tolist() == target + [EDGE] * (8 - len(target))


def test_bleu_is_what_its_definition_gives():
    right = ["the cat sat on a mat.", "Fidschi, Kenia und Kuba"]
    assert_close(np.float64(bleu(right, right)), np.float64(100.0))
    found = ["the cat sat on the mat.", "Fidschi, Kenia"]
    # Of 7 + 3 words 6 + 3 are right, of 6 + 2 pairs 4 + 2, of 5 + 1 threes 2 + 1, of 4 fours 1;
    # they are 10 words long, and should be 12.
    wanted = 100 * (9 / 10 * 6 / 8 * 3 / 6 * 1 / 4) ** 0.25 * np.exp(1 - 12 / 10)
    assert_close(np.float64(bleu(found, right)), np.float64(wanted))
    assert bleu(["no such"], ["the cat sat on"]) == 0.0


def test_a_word_that_is_said_too_often_counts_once():
    found, right = ["the the the the the"], ["the cat is on the mat"]
    assert bleu(found, right) == 0.0
    assert bleu(["a b c d d"], ["a b c d e"]) < bleu(["a b c d e"], ["a b c d e"])


def test_tokens_give_their_text_back():
    tokens = Tokens(["New Zealand (English)", "7. März 2021", "Zealand"], rarest=1)
    for text in ("New Zealand (English)", "März 1207", "nardeZ"):
        row = tokens.row(text)
        assert tokens.text([*row, EDGE, 5]) == text
    assert tokens.row("Q") == [UNKNOWN]
    assert len(tokens.row(" Zealand")) == 1


def test_phrases_are_the_same_in_both_languages():
    maker = phrases.Maker(0)
    made = maker.pairs(2000)
    assert made == phrases.Maker(0).pairs(2000) and len(set(made)) == 2000
    unseen = {english for english, _ in maker.unseen}
    assert not unseen & {english for english, _ in made}
    assert ("Germany", "Deutschland") in maker.territories + maker.unseen
    assert ("French", "Französisch") in maker.languages + maker.unseen
    assert any(english.endswith(" euros") for english, _ in made) or any(
        " und " in german for _, german in made
    )
