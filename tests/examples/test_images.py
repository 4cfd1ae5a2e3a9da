"""Image classification: it learns, on one device or two, and every test image counts once."""

import dataclasses
import json
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from examples.images import batches, model, running, saving, sources, steps
from examples.images.settings import Settings, UsageError
from PIL import Image
from tests.examples import ended
from tests.tolerance import assert_close, assert_exact

TINY = Settings(model="tiny", precision="float32", epochs=3, batch=96, rate=0.2, average=0.8)
TYPED = [f"--{name}={value}" for name, value in dataclasses.asdict(TINY).items()]


@pytest.fixture(scope="module", autouse=True)
def _as_a_user_has_it():
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A whole run on two devices, and one that was told to leave and then killed."""
    whole, parts = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("parts")
    in_parts = ["--workdir", str(parts), "--devices=2", *TYPED]
    code, printed = ended.start(
        "examples.images",
        (["--workdir", str(whole), "--devices=2", *TYPED], 0, ""),
        (in_parts, 2, "INT"),
        (in_parts, 2, "KILL"),
    )
    assert code == -9, printed
    return whole, parts, printed


def content(folder):
    network = model.make("tiny", 10, 8, "float32")
    state = steps.create(network, TINY, (8, 8, 1), 1)
    state, history = saving.restore(folder, TINY, state)
    return history, jax.tree.leaves(state)


def test_a_run_learns_and_shows_it(ran):
    whole, _, printed = ran
    assert "1438 images to learn from, 359 to test, 10 classes" in printed
    assert "5,122 parameters, computes in float32, on 2 devices" in printed
    history, _ = content(whole)
    assert len(history) == TINY.epochs and history[-1]["loss"] < history[0]["loss"] - 0.1
    results = json.loads((whole / "result.json").read_text())
    for name, key in (("of the last step", "now"), ("averaged", "averaged")):
        assert results[name]["count"] == 359
        assert results[name]["accuracy"] == history[-1][key]
    assert results["of the last step"]["accuracy"] > 0.25
    for name in ("curves", "guesses"):
        assert (whole / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_a_run_that_was_ended_twice_comes_to_the_same_end(ran):
    whole, parts, printed = ran
    assert "Interrupted. The same command goes on" in printed and "exit code 130" in printed
    assert "Traceback" not in printed and "goes on after epoch 1" in printed
    again = (["--workdir", str(parts), "--devices=2", *TYPED], 0, "")
    code, printed = ended.start("examples.images", again, again)
    assert code == 0, printed
    assert "goes on after epoch 2" in printed and "goes on after epoch 3" in printed
    (history, leaves), (wanted, values) = content(parts), content(whole)
    assert history == wanted
    for leaf, value in zip(leaves, values, strict=True):
        assert_exact(leaf, value)
    assert (parts / "result.json").read_text() == (whole / "result.json").read_text()


def stepped(devices, batch):
    """Make a step on some devices; return the loss and the remembered statistics."""
    spread = running.mesh(devices, len(batch["label"]))
    network = model.ResNet(classes=10, depths=(1,), width=4, large=False)
    state = steps.create(network, TINY, (8, 8, 1), 10)
    step, _ = steps.make(TINY, (np.float32([80.0]), np.float32([90.0])))
    everywhere = jax.sharding.NamedSharding(spread.mesh, jax.P())
    state, loss = jax.jit(step)(jax.device_put(state, everywhere), jax.device_put(batch, spread))
    return jax.device_get((loss, state.batch_stats, state.averaged["batch_stats"]))


def test_batch_statistics_are_of_the_batch_on_all_devices():
    """The images of the two halves differ, so statistics of half a batch would differ too."""
    data = sources.digits(8)
    batch = next(batches.training(data.train, dataclasses.replace(TINY, batch=16), 1, 1))
    batch["image"] = np.sort(batch["image"], axis=0)
    alone, shared = stepped(1, batch), stepped(2, batch)
    for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(shared), strict=True):
        assert_close(other, one, "model")


@pytest.mark.parametrize(("name", "count"), [("resnet18", 11_689_512), ("resnet50", 25_557_032)])
def test_the_large_models_are_those_of_the_paper(name, count):
    network = model.make(name, 1000, 224, "bfloat16")
    image = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(
        lambda key, x: network.init(key, x, train=False), jax.random.key(0), image
    )
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == count
    assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype("float32")}


def test_half_precision_is_what_layers_compute_in():
    network = model.make("small", 10, 8, "bfloat16")
    image = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)

    def run(key, x):
        return network.init_with_output(key, x, train=False, capture_intermediates=True)

    logits, found = jax.eval_shape(run, jax.random.key(0), image)
    (first,) = found["intermediates"]["Block_0"]["__call__"]
    assert first.dtype == jnp.bfloat16 and logits.dtype == jnp.float32


def test_every_test_image_counts_once():
    source = sources.digits(8).test
    wanted = np.concatenate([np.atleast_1d(source[i]["label"]) for i in range(len(source))])
    for size in (100, 359, 400):
        found = list(batches.testing(source, size))
        assert {len(batch["label"]) for batch in found} == {size}
        labels = np.concatenate([batch["label"][batch["mask"]] for batch in found])
        assert_exact(labels, wanted)


def test_what_pads_a_batch_does_not_count():
    _, test = steps.make(TINY, (np.float32([0.0]), np.float32([1.0])))
    logits = jnp.float32([[2.0, 0.0], [0.0, 1.0], [jnp.nan, jnp.nan]])
    batch = {"image": np.zeros((3, 1, 1, 1), np.uint8), "label": np.int32([0, 0, 1])}
    sums = test(lambda *_, train: logits, {}, batch | {"mask": np.array([True, True, False])})
    assert (int(sums["right"]), int(sums["count"])) == (1, 2)
    wanted = np.log1p(np.exp(-2.0)) + np.log1p(np.exp(1.0))
    assert_close(np.float32(sums["loss"]), np.float32(wanted))


def test_a_batch_depends_on_its_number_alone():
    source = sources.digits(8).train
    settings = dataclasses.replace(TINY, batch=500, flip=1)
    whole, later = (
        batches.training(source, settings, 1, 4),
        batches.training(source, settings, 4, 4),
    )
    whole, (fourth,) = list(whole), list(later)
    assert len(whole) == 4
    assert_exact(fourth["image"], whole[3]["image"])
    assert not np.array_equal(whole[0]["label"], whole[3]["label"])


def test_images_are_moved_by_whole_pixels():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    rng = np.random.default_rng(0)
    found = {batches.moved({"image": image}, rng, 1, 1)["image"].tobytes() for _ in range(300)}
    assert len(found) == 18 and image.tobytes() in found
    still = batches.moved({"image": image}, rng, 0, 0)["image"]
    assert_exact(still, image)


@pytest.fixture
def folder(tmp_path):
    """A folder with pictures of two digits, of odd shapes and in several formats."""
    data = sources.digits(8).train
    for index in range(60):
        example = data[index]
        if example["label"] < 2:
            name = ("zero", "one")[example["label"]]
            (tmp_path / name).mkdir(exist_ok=True)
            picture = Image.fromarray(example["image"][..., 0]).resize((20, 16))
            picture.save(tmp_path / name / f"{index}.{('png', 'JPG')[index % 2]}")
    (tmp_path / "zero" / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_has_a_class_for_each_subfolder(folder):
    data = sources.load(str(folder), 12)
    assert data.names == ["one", "zero"]
    assert len(data.train) + len(data.test) == len(list(folder.glob("*/*"))) - 1
    assert set(data.train.found).isdisjoint(data.test.found)
    example = data.train[0]
    assert example["image"].shape == (12, 12, 3) and example["image"].dtype == np.uint8
    assert data.names[example["label"]] == data.train.found[0][0].parent.name


def test_a_folder_may_be_divided_already(folder, tmp_path):
    for name in ("train", "test"):
        for kind in ("one", "zero"):
            (tmp_path / "both" / name / kind).mkdir(parents=True)
            picture = Image.new("L", (9, 9))
            picture.save(tmp_path / "both" / name / kind / "a.png")
    data = sources.load(str(tmp_path / "both"), 8)
    assert (len(data.train), len(data.test)) == (2, 2)


def test_a_file_that_is_no_image_is_named(folder):
    broken = folder / "zero" / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    data = sources.load(str(folder), 8)
    everything = sources.Files([*data.train.found, *data.test.found], 8)
    with pytest.raises(UsageError, match=r"broken.png cannot be read as an image"):
        list(batches.testing(everything, 4))


def test_data_that_is_not_there_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="there is no such folder"):
        sources.load(str(tmp_path / "none"), 8)
    with pytest.raises(UsageError, match="images were found in less than two subfolders"):
        sources.load(str(tmp_path), 8)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UsageError, match="pip install scikit-learn"):
        sources.load("digits", 8)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match="pip install pillow"):
        sources.load(str(tmp_path), 8)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UsageError, match="pip install tensorflow-datasets"):
        sources.load("tfds:mnist", 8)


class Builder:
    """Stands for a data set of TFDS."""

    def __init__(self, splits, features):
        self.info = types.SimpleNamespace(splits=splits, features=features)
        self.split_names = []

    def download_and_prepare(self):
        pass

    def as_data_source(self, split):
        self.split_names.append(split)
        return [{"image": np.full((6, 9, 1), i, np.uint8), "label": i % 2} for i in range(4)]


def test_a_data_set_of_tfds_is_read_by_number(monkeypatch):
    label = types.SimpleNamespace(names=["even", "odd"])
    builder = Builder(["train", "validation"], {"image": None, "label": label})
    found = types.SimpleNamespace(builder=lambda name, file_format: builder)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", found)
    data = sources.load("tfds:numbers", 8)
    assert builder.split_names == ["train", "validation"] and data.names == ["even", "odd"]
    assert_exact(data.test[3]["image"], np.full((8, 8, 1), 3, np.uint8))
    assert data.test[3]["label"] == 1
    builder.info.features = {"text": None}
    with pytest.raises(UsageError, match="has no image and label, but text"):
        sources.load("tfds:numbers", 8)

    def missing(name, file_format):
        raise LookupError(f"Dataset {name} not found.\nAvailable datasets: ...")

    found.builder = missing
    with pytest.raises(UsageError, match=r"cannot be had: Dataset numbers not found\.$"):
        sources.load("tfds:numbers", 8)


def test_what_cannot_be_is_said_in_one_line(tmp_path):
    wrong = {
        "--model is vgg; it can be tiny, small, resnet18, resnet50": ["--model", "vgg"],
        "--precision is float8; it can be": ["--precision", "float8"],
        "--average is 1.0; it is from 0 to below 1": ["--average", "1"],
        "--devices is -1; it has to be 0 or more": ["--devices", "-1"],
        "--shift is -1; it has to be 0 or more": ["--shift", "-1"],
    }
    runs = [(["--workdir", str(tmp_path / "run"), *typed], 0, "") for typed in wrong.values()]
    _, printed = ended.start("examples.images", *runs)
    for said in wrong:
        assert said in printed
    assert printed.count("exit code 1\n") == len(wrong) and "Traceback" not in printed
    assert not (tmp_path / "run").exists()


def test_what_does_not_divide_is_refused(tmp_path):
    for devices, batch, said in (
        (2, 9, "--batch is 9, which does not divide among 2 devices"),
        (1, 2000, "--batch is 2000, and there are 1438 images"),
        (99, 99, "--devices is 99, and JAX finds"),
    ):
        with pytest.raises(UsageError, match=said):
            running.run(tmp_path, dataclasses.replace(TINY, batch=batch), devices, quiet=True)


def test_a_folder_of_another_run_is_refused(ran):
    with pytest.raises(UsageError, match=r"--rate is 0.1, and .* holds a run with 0.2"):
        running.run(ran[0], dataclasses.replace(TINY, rate=0.1), 1, quiet=True)
