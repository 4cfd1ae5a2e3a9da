"""The variational autoencoder: it learns, goes on after a signal, and says what is wrong."""

import dataclasses
import json
import sys

import jax
import numpy as np
import pytest
from examples.vae import data, model, running, saving, steps
from examples.vae.settings import Settings, UsageError
from tests.examples import ended
from tests.tolerance import assert_close, assert_exact

from ramie import nnx
from ramie.training import checkpoints

TINY = Settings(latent=2, width=4, epochs=4, batch=128, rate=1e-2)
TYPED = [f"--{name}={value}" for name, value in dataclasses.asdict(TINY).items()]


@pytest.fixture(scope="module", autouse=True)
def _as_a_user_has_it():
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A whole run, and one that was told to leave and then killed; what they printed."""
    whole, parts = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("parts")
    in_parts = ["--workdir", str(parts), *TYPED]
    code, printed = ended.start(
        "examples.vae",
        (["--workdir", str(whole), *TYPED], 0, ""),
        (in_parts, 2, "INT"),
        (in_parts, 2, "KILL"),
    )
    assert code == -9, printed
    return whole, parts, printed


def content(folder):
    training = steps.Training(TINY, 1)
    history = saving.restore(folder, TINY, training)
    return history, jax.tree.leaves(nnx.to_pure_dict(nnx.state(training, nnx.Not(nnx.RngKey))))


def test_a_run_learns_and_shows_it(ran):
    whole, _, printed = ran
    history, _ = content(whole)
    bounds = [line["bound"] for line in history]
    assert len(bounds) == TINY.epochs and bounds[-1] > bounds[0] + 5
    result = json.loads((whole / "result.json").read_text())
    assert bounds[0] < result["bound"] < 0 < result["costs"]
    assert f"{result['bound']:.2f}" in printed and "exit code 0" in printed
    for name in ("samples", "walk", "curves"):
        assert (whole / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_was_ended_twice_comes_to_the_same_end(ran):
    whole, parts, printed = ran
    assert "Interrupted. The same command goes on" in printed and "exit code 130" in printed
    assert "Traceback" not in printed and "goes on after epoch 1" in printed
    assert not (parts / "result.json").exists()
    code, printed = ended.start("examples.vae", (["--workdir", str(parts), *TYPED], 0, ""))
    assert code == 0 and "goes on after epoch 2" in printed, printed
    (history, leaves), (wanted, values) = content(parts), content(whole)
    assert history == wanted
    for leaf, value in zip(leaves, values, strict=True):
        assert_exact(leaf, value)
    assert (parts / "result.json").read_text() == (whole / "result.json").read_text()


def test_a_folder_of_another_run_is_refused(ran, tmp_path):
    with pytest.raises(UsageError, match=r"--latent is 3, and .* holds a run with 2"):
        running.run(ran[0], dataclasses.replace(TINY, latent=3), quiet=True)
    checkpoints.save_checkpoint(tmp_path / "checkpoints", {"weights": np.zeros(2)}, step=1)
    with pytest.raises(UsageError, match="no checkpoint of this program"):
        running.run(tmp_path, TINY, quiet=True)


def test_what_cannot_be_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    wrong = {
        "--rate is nan; it has to be above 0": ["--rate", "nan"],
        "--epochs is 0; it has to be above 0": ["--epochs", "0"],
        "--seed is -1; it has to be 0 or more": ["--seed", "-1"],
        "File exists": ["--workdir", str(tmp_path / "file")],
        "invalid int value: 'two'": ["--latent", "two"],
    }
    runs = [(["--workdir", str(tmp_path / "run"), *typed], 0, "") for typed in wrong.values()]
    _, printed = ended.start("examples.vae", *runs)
    for said in wrong:
        assert said in printed
    assert printed.count("exit code 1\n") == 4 and printed.count("exit code 2\n") == 1
    assert "Traceback" not in printed and not (tmp_path / "run").exists()


def test_a_batch_of_more_images_than_there_are_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--batch is 2000, and there are 1437"):
        running.run(tmp_path, dataclasses.replace(TINY, batch=2000), quiet=True)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    with pytest.raises(UsageError, match="is no number; take a lower --rate"):
        running.run(tmp_path, dataclasses.replace(TINY, rate=1e30), quiet=True)
    assert not (tmp_path / "checkpoints").exists()


def test_every_value_of_a_pixel_has_its_probability():
    decoder = model.Decoder(TINY.latent, TINY.width, rngs=nnx.Rngs(0))
    z = jax.random.normal(jax.random.key(0), (3, TINY.latent))
    total = np.exp(np.asarray(nnx.jit(lambda m: m(z))(decoder))).sum(-1)
    assert_close(total, np.ones((3, 8, 8), np.float32), "model")


def test_the_cost_of_a_description_is_a_divergence():
    """The closed form is compared with draws: E[log q(z) - log p(z)]."""
    vae = model.VAE(TINY.latent, TINY.width, rngs=nnx.Rngs(0))
    image = data.load()[1][:1]
    run = nnx.jit(lambda m: (m.encoder(image), m.bound(image, jax.random.key(0))[1]))
    (mean, log_deviation), costs = jax.device_get(run(vae))
    noise = np.random.default_rng(0).normal(size=(20_000, TINY.latent))
    z = mean + np.exp(log_deviation) * noise
    drawn = (z**2 - noise**2).sum(-1) / 2 - log_deviation.sum()
    error = 5 * np.std(drawn) / np.sqrt(len(drawn))
    assert 0 < error < costs[0] and abs(costs[0] - np.mean(drawn)) < error


def test_without_a_package_the_mend_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UsageError, match="pip install scikit-learn"):
        running.run(tmp_path, TINY, quiet=True)


def test_pixels_alone_are_counted():
    learned = np.zeros((3, 8, 8, 1), np.int32)
    found = data.pixels_alone(learned, np.zeros((2, 8, 8, 1), np.int32))
    assert_close(np.float64(found), np.float64(64 * np.log(4 / 20)))
