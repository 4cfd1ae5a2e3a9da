"""Adapters: only they learn and are saved, they merge, and runs that are cut go on."""

import functools
import os
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.examples.example_runs import Cut, Example, log_of
from tests.tolerance import assert_close, assert_exact

from ramie import nnx
from ramie.training import checkpoints

pytest.importorskip("grain")
from examples.llm import __main__ as llm
from examples.llm import settings as sizes
from examples.llm import text as library
from examples.llm.model import Transformer
from examples.lora import adapters, loop, runs, steps, texts
from examples.lora.settings import PRESETS

TINY = PRESETS["tiny"]
STAGES = ("base", "adapters", "full")
EXAMPLE = Example("lora", "")


@pytest.fixture(scope="module", autouse=True)
def on_one_device():
    with runs.one_device():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing cut, with a base that it trained."""
    folder = tmp_path_factory.mktemp("whole")
    assert EXAMPLE.call("--workdir", folder) is None
    return folder


def call_and_act(stage, number, act, *options):
    """Call the program, and act when it has done so many steps of a stage."""
    add = loop.Log.add

    def watched(self, step, **values):
        add(self, step, **values)
        if (self.stage, step) == (stage, number) and "loss" in values:
            act()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Log, "add", watched)
        return EXAMPLE.call(*options)


def saved(folder):
    return checkpoints.restore_checkpoint(folder, None, must_exist=True)


def restored(folder):
    """Return the base of a run with its adapters, as somebody does who has only these."""
    adapted = adapters.added(runs.read(folder / "base"), TINY.names(), TINY.rank, nnx.Rngs(0))
    state = nnx.state(adapted, nnx.LoRAParam)
    nnx.update(adapted, checkpoints.restore_checkpoint(folder / "adapters", state, strict=True))
    return adapted


def tokens(rows=2, length=20):
    return np.random.default_rng(0).integers(0, 256, (rows, length)).astype(np.int32)


def test_a_run_that_is_cut_in_each_stage_ends_as_one_that_is_not(whole, tmp_path, capsys):
    def cut():
        raise Cut

    options = ("--workdir", tmp_path / "run")
    before = 0
    for stage, number, by in (
        ("base", 3, 0),
        ("adapters", 3, 0),
        ("adapters", 5, signal.SIGINT),
        ("full", 5, signal.SIGTERM),
    ):
        if by:
            leave = functools.partial(os.kill, os.getpid(), by)
            assert call_and_act(stage, number, leave, *options) == 128 + by
        else:
            with pytest.raises(Cut):
                call_and_act(stage, number, cut, *options)
        kept = [2] if not by else [4, 5]
        assert checkpoints.available_steps(options[1] / "checkpoints" / stage) == kept
        assert capsys.readouterr().out.count("goes on after step 2") == before
        before = int(not by)
    assert EXAMPLE.call(*options) is None
    for name in ("log.jsonl", "result.json"):
        assert (options[1] / name).read_text() == (whole / name).read_text()
    for name in ("adapters", "model"):
        found, wanted = (jax.tree.leaves(saved(folder / name)) for folder in (options[1], whole))
        for one, other in zip(found, wanted, strict=True):
            assert_exact(one, other)


def test_a_run_shows_its_result(whole, capsys):
    log = loop.read_log(whole)
    assert [line["stage"] for line in log if "loss" in line] == [
        x for x in STAGES for _ in range(6)
    ]
    assert [line["step"] for line in log if "bits" in line] == [2, 4, 6] * 3
    bits = log_of(whole)["bits"]
    assert bits["adapters"]["new"] < bits["base"]["new"]
    assert bits["full"]["new"] < bits["base"]["new"]
    assert (whole / "result.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert EXAMPLE.call("--workdir", whole) is None
    printed = capsys.readouterr().out
    assert (
        "held out text in bits a byte" in printed and "\r" not in printed and "\x1b" not in printed
    )
    assert EXAMPLE.call("--workdir", whole, "--quiet") is None
    assert capsys.readouterr().out == f"drawn in {whole / 'result.png'}\n"


def test_only_the_adapters_are_saved_and_the_base_is_bit_for_bit_as_it_was(whole):
    count = log_of(whole)["parameters"]["adapters"]
    assert adapters.count(saved(whole / "adapters")) == count
    training = saved(whole / "checkpoints" / "adapters")
    assert set(training) == {"model", "optimizer"}
    assert adapters.count(training["model"]) == count
    moments = adapters.count(training["optimizer"]["opt_state"])
    assert 2 * count <= moments < 2 * count + 10  # two moments of each, and counters
    before = runs.fingerprint(nnx.state(runs.read(whole / "base"), nnx.Param))
    adapted = restored(whole)
    tx = steps.for_adapters(0.1, 0, 6, 2.0)
    training = steps.Training(adapted, tx, nnx.LoRAParam)
    loss = float(steps.step(training, tokens()))
    assert float(steps.step(training, tokens())) < loss
    assert runs.fingerprint(nnx.state(adapted, steps.FROZEN)) == before


def test_the_merged_model_is_continued_by_the_command_of_the_language_model(whole, capsys):
    capsys.readouterr()
    llm.main(["--workdir", str(whole / "merged"), "--sample", "ab", "--bytes", "2", "--top-k", "1"])
    said = capsys.readouterr().out
    assert said.startswith("ab") and len(said) >= 4
    adapted = restored(whole)
    logits = steps.logits(adapted, tokens())
    assert_close(steps.logits(runs.read(whole / "merged"), tokens()), logits, "model")


@pytest.mark.parametrize("scan", [True, False])
def test_adapters_begin_as_nothing_and_merge(scan):
    model = Transformer(sizes.dataclasses.replace(TINY.base(), scan=scan), rngs=nnx.Rngs(1))
    adapted = adapters.added(model, ["query", "down", "head"], 3, nnx.Rngs(2))
    found = adapters.linear_layers(adapted)
    wrapped = {path for path in found if path.endswith("base_module")}
    assert {path.split("/")[-2] for path in wrapped} == {"query", "down", "head"}
    assert_exact(steps.logits(adapted, tokens()), steps.logits(model, tokens()))
    before = runs.fingerprint(nnx.state(model, nnx.Param))
    state = nnx.state(adapted, nnx.LoRAParam)
    keys = iter(jax.random.split(jax.random.key(3), 50))
    random = lambda x: 0.3 * jax.random.normal(next(keys), x.shape)
    nnx.update(adapted, jax.tree.map(random, state))
    plain = adapters.merged(adapted)
    assert nnx.graphdef(plain) == nnx.graphdef(model)
    assert float(abs(steps.logits(adapted, tokens()) - steps.logits(model, tokens())).max()) > 0.1
    assert_close(steps.logits(plain, tokens()), steps.logits(adapted, tokens()), "model")
    assert runs.fingerprint(nnx.state(model, nnx.Param)) == before


def test_alpha_makes_the_second_matrix_learn_faster():
    params = nnx.State({name: nnx.LoRAParam(jnp.ones(3)) for name in ("lora_a", "lora_b")})
    tx = steps.for_adapters(0.1, 0, 100, 2.5)
    updates, _ = tx.update(params, tx.init(params), params)
    assert_close(updates["lora_b"][...], 2.5 * updates["lora_a"][...])
    assert_close(updates["lora_a"][...], np.full(3, -0.1, np.float32), "model")


def test_texts_are_divided_and_batches_need_no_memory(tmp_path):
    assert b"#define" in texts.c_headers()
    (tmp_path / "mine").write_bytes(bytes(range(250)) * 4)
    learned, held_out = texts.divided(texts.read(str(tmp_path / "mine")))
    assert (len(learned), len(held_out)) == (950, 50)
    one, other = (texts.Batches(learned, 16, 8, seed=5) for _ in range(2))
    for number in (90, 0, 7):
        assert one[number].shape == (8, 17)
    assert_exact(one[7], other[7])
    assert len(texts.spread(held_out, 8, 2, 9)) == 3
    assert texts.pronunciations().count(b"\n") > 100_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rank", "0"], "rank is 0; it has to be at least 1"),
        (["--rank", "16"], "it has to be below 16, the rank of layers/layers/attention/key"),
        (["--alpha", "nan"], "alpha is nan; it has to be a number above 0"),
        (["--where", "head,atention"], "'atention' is in the path of no layer; take attention"),
        (["--where", ","], "'' is in the path of no layer"),
        (["--text", "no/such"], "the text 'no/such' is none of c, pronunciations and no file"),
        (["--batch", "900"], "the text c is too short"),
        (["--size", "huge"], "size is 'huge'; it has to be one of tiny"),
        (["--warmup", "6"], "has to end before step 6"),
        (["--seed", str(2**32)], "it has to be below 2**32"),
        (["--base", "no/such"], "--base no/such is no run of examples.llm with a checkpoint"),
        (["--base", "README.md"], "--base README.md is no run of examples.llm"),
        (["--base", ".", "--base_steps", "3"], "--base_steps would be of a base that is trained"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(options, said, tmp_path):
    EXAMPLE.says_in_one_line(options, said, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_cannot_work_is_refused_and_left_alone(whole, tmp_path):
    refused = EXAMPLE.call("--workdir", whole, "--rank", 3)
    assert "holds a run with other settings: rank 2 (now 3)" in refused
    assert "base trained here (now given" in EXAMPLE.call(
        "--workdir", whole, "--base", whole / "base"
    )
    (tmp_path / "note.txt").write_text("mine")
    assert "holds something else than a run" in EXAMPLE.call("--workdir", tmp_path)
    assert "is a file" in EXAMPLE.call("--workdir", tmp_path / "note.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EXAMPLE.program, "NEEDED", {"no_such_package": "its-name"})
        assert "pip install its-name" in EXAMPLE.call("--workdir", tmp_path / "new")
    damaged = shutil.copytree(whole / "base", tmp_path / "base")
    for part in (damaged / "checkpoints" / "6" / "training").iterdir():
        part.unlink() if part.is_file() else shutil.rmtree(part)
    refused = EXAMPLE.call("--workdir", tmp_path / "new", "--base", damaged)
    assert "checkpoint 6 of" in refused and "cannot be read" in refused and "\n" not in refused
    assert not (tmp_path / "new").exists()


def test_a_loss_that_is_no_number_ends_the_run(whole, tmp_path):
    options = ("--workdir", tmp_path / "run", "--base", whole / "base", "--rate", "1e30")
    assert "adapters: the loss at step 3 is no number" in EXAMPLE.call(*options)


def test_a_run_does_not_go_on_with_another_text(whole, tmp_path, capsys):
    def cut():
        raise Cut

    options = ("--workdir", tmp_path / "run", "--base", whole / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "read", lambda: np.zeros(100_000, np.uint8))
        assert "old_text" in EXAMPLE.call("--workdir", whole)
        with pytest.raises(Cut):
            call_and_act("adapters", 1, cut, *options)
        assert "library of another Python" in capsys.readouterr().out
    assert "100000 bytes" in EXAMPLE.call(*options)
    assert [line["stage"] for line in loop.read_log(options[1])] == ["adapters"]
