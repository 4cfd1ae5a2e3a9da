"""Denoising by weights that others trained: what is loaded, what comes out, what is refused."""

import importlib.metadata
import json
import os
import sys

import jax
import numpy as np
import pytest
from examples.denoising import filters, pictures, running, weights, with_linen, with_nnx
from examples.denoising.settings import LEVELS, Settings, UsageError
from PIL import Image
from tests.examples import ended
from tests.tolerance import assert_close, assert_exact

from ramie import nnx, serialization

SMALL = Settings(picture="china", size=96)
FILES = pytest.mark.skipif(
    not os.environ.get("CI") and not any(importlib.metadata.distributions(name="scico")),
    reason="the weights come with scico: pip install --no-deps scico==0.0.7",
)


@pytest.fixture(scope="module", autouse=True)
def _as_a_user_has_it():
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    running.run(folder, SMALL, quiet=True)
    return folder


@FILES
def test_networks_leave_less_noise_than_filters(ran):
    results = json.loads((ran / "result.json").read_text())
    assert set(results) == {"noisy", *filters.FILTERS, *running.NETWORKS}
    for level in LEVELS:
        found = {name: values[level] for name, values in results.items()}
        best = max(found[name] for name in filters.FILTERS)
        assert found["noisy"] + 2 < best < found["DnCNN, 17 layers"]
    assert (ran / "before_after.png").read_bytes().startswith(b"\x89PNG")


@FILES
def test_the_same_run_gives_the_same_result(ran, tmp_path):
    running.run(tmp_path, SMALL, quiet=True)
    assert (tmp_path / "result.json").read_text() == (ran / "result.json").read_text()
    clean = pictures.read("china", 96)
    assert not np.array_equal(
        running.with_noise(clean, "M", seed=0), running.with_noise(clean, "M", seed=1)
    )


@FILES
def test_scico_is_not_imported():
    with_linen.load(6, "L")
    assert "scico" not in sys.modules


@FILES
@pytest.mark.parametrize(("depth", "level"), [(6, "H"), (6, "N")])
def test_every_array_of_a_file_is_used(depth, level):
    inside = serialization.msgpack_restore(weights.find(depth, level).read_bytes())
    _, variables = with_linen.load(depth, level).args
    found = serialization.to_state_dict(variables)
    assert jax.tree.structure(found) == jax.tree.structure(inside)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(inside), strict=True):
        assert_exact(one, other)
    (model,) = with_nnx.load(depth, level).args
    assert len(jax.tree.leaves(nnx.state(model))) == len(jax.tree.leaves(inside))


@FILES
def test_both_styles_compute_the_same():
    noisy = running.with_noise(pictures.read("flower", 32), "H", seed=0)
    one, other = (running.by_network(noisy, 6, "H", True, style) for style in ("linen", "nnx"))
    assert_exact(one, other)


@FILES
def test_a_file_of_another_network_is_refused(monkeypatch):
    find = weights.find
    monkeypatch.setattr(weights, "find", lambda depth, level: find(6, level))
    with pytest.raises(ValueError, match="ConvBNBlock_4"):
        with_linen.load(17, "M")
    with pytest.raises(UsageError, match=r"dncnn6M\.mpk holds .* and the network has"):
        with_nnx.load(17, "M")
    monkeypatch.setattr(weights, "find", lambda depth, level: find(6, "N"))
    with pytest.raises(UsageError, match=r"dncnn6N\.mpk holds .* and the network has"):
        with_nnx.load(6, "M")


def test_a_package_that_is_missing_is_named(monkeypatch, tmp_path):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(UsageError, match=r"pip install --no-deps scico==0\.0\.7"):
        running.run(tmp_path, Settings(), quiet=True)
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [])
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.8")
    with pytest.raises(UsageError, match=r"scico 0\.0\.8 has no file data/examples/kodim23\.png"):
        running.run(tmp_path, Settings(), quiet=True)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UsageError, match="pip install scikit-learn"):
        pictures.read("china", 64)


def test_pictures_are_read_in_grey_and_cut_around_the_middle(tmp_path):
    for name in ("china", "flower"):
        grey = pictures.read(name, 200)
        assert grey.shape == (200, 200) and grey.dtype == np.float32
        assert 0 <= grey.min() < 0.2 and 0.7 < grey.max() <= 1
    values = np.arange(40 * 64, dtype=np.uint16).reshape(40, 64)
    Image.fromarray((values % 251).astype(np.uint8)).save(tmp_path / "own.png")
    wanted = (values[4:36, 16:48] % 251).astype(np.float32) / 255
    assert_exact(pictures.read(str(tmp_path / "own.png"), 32), wanted)


def test_what_cannot_be_is_said_in_one_line(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("L", (40, 20)).save(tmp_path / "small.png")
    wrong = {
        "--size is 31; it has to be 32 or more": ["--size", "31"],
        "--seed is -1; it has to be 0 or more": ["--seed", "-1"],
        "--style is keras; it can be linen or nnx": ["--style", "keras"],
        "there is no such file, and it is none of parrots": ["--picture", "none.png"],
        "text.png cannot be read as an image": ["--picture", str(tmp_path / "text.png")],
        "small.png has 20x40 pixels": ["--picture", str(tmp_path / "small.png")],
    }
    runs = [(["--workdir", str(tmp_path / "run"), *typed], 0, "") for typed in wrong.values()]
    _, printed = ended.start("examples.denoising", *runs)
    for said in wrong:
        assert said in printed
    assert printed.count("exit code 1\n") == len(wrong) and "Traceback" not in printed


def test_the_ratio_is_of_the_highest_value_to_the_error():
    clean = np.full((4, 4), 0.5)
    assert_close(running.psnr(clean - 0.1, clean), 20.0, "model")
    assert_close(running.psnr(np.full((4, 4), 9.0), clean + 0.4), 20.0, "model")


def test_a_network_without_weights_takes_nothing_away():
    network = with_linen.DnCNN(4, width=3)
    picture = np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype(np.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), picture)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), variables)
    assert_exact(with_linen.apply(network, zeros, picture), picture)


def test_less_total_variation_stays_near_the_picture():
    """The minimum is not worse than the picture itself, nor than what is a little beside it."""
    rng = np.random.default_rng(0)
    noisy = rng.normal(size=(24, 24)).astype(np.float32)
    found = filters.total_variation(noisy, 0.3)

    def value(x):
        rows, columns = np.diff(x, axis=0, append=x[-1:]), np.diff(x, axis=1, append=x[:, -1:])
        varied = np.sqrt(rows.astype(np.float64) ** 2 + columns.astype(np.float64) ** 2).sum()
        return ((x - noisy).astype(np.float64) ** 2).sum() / (2 * 0.9 * 0.3) + varied

    assert value(found) < value(noisy)
    for _ in range(5):
        assert value(found) < value(found + 0.05 * rng.normal(size=noisy.shape))


def test_the_part_that_is_enlarged_has_the_most_in_it():
    picture = np.zeros((50, 100))
    picture[20:30, 80:90] = 1
    assert pictures.part_with_most(picture) == (slice(20, 30), slice(80, 100))
