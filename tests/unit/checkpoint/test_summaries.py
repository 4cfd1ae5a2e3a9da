"""The classes known from flax_extra: state and metrics as a chain of callables."""

import dataclasses
import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.listing import names
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.trees.frozen import FrozenDict

PARAMS = FrozenDict({"w": jnp.arange(3.0)})


def summary(step=1, cls=checkpoint.Summary, params=PARAMS, **metrics):
    fields = dict(
        model_params=params,
        model_state=FrozenDict({"mean": jnp.ones(2)}),
        optimizer_state=optax.adam(1e-3).init(params),
        grads=params,
        loss=0.5,
        n_completed_steps=10,
        elapsed_time=2.0,
        step=step,
    )
    return cls(**fields, metrics=metrics) if cls is checkpoint.Summary else cls(**fields)


def blank():
    params = FrozenDict({"w": jnp.zeros(3)})
    state = FrozenDict({"mean": jnp.zeros(2)})
    return checkpoint.CheckpointFile(params, state, optax.adam(1e-3).init(params), 0)


def lowest(tmp_path, **kwds):
    return checkpoint.LowestCheckpointFileWriter("loss", output_dir=str(tmp_path), **kwds)


def highest(tmp_path, **kwds):
    return checkpoint.HighestCheckpointFileWriter("accuracy", output_dir=str(tmp_path), **kwds)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        (
            "Checkpoint",
            "model_params model_state optimizer_state grads loss n_completed_steps elapsed_time "
            "step",
        ),
        (
            "Summary",
            "model_params model_state optimizer_state grads loss n_completed_steps elapsed_time "
            "step metrics",
        ),
        (
            "CheckpointFile",
            "model_params model_state optimizer_state step metrics version",
        ),
        ("CheckpointFileReader", "dir target"),
        ("CheckpointFileWriter", "output_dir keep overwrite"),
        ("LowestCheckpointFileReader", "dir target metric group"),
        ("HighestCheckpointFileReader", "dir target metric group"),
        ("LowestCheckpointFileWriter", "metric group stdout kwds"),
        ("HighestCheckpointFileWriter", "metric group stdout kwds"),
        ("SummaryLogger", ""),
        ("SummaryWriter", "output_dir"),
    ],
)
def test_parameters_are_those_documented(name, parameters):
    signature = inspect.signature(getattr(checkpoint, name))
    assert list(signature.parameters) == parameters.split()


def test_defaults_are_those_documented(tmp_path):
    writer = checkpoint.CheckpointFileWriter("there")
    assert (writer.output_dir, writer.keep, writer.overwrite) == ("there", 1, True)
    reader = checkpoint.HighestCheckpointFileReader("there", print, "accuracy")
    assert (reader.dir, reader.target, reader.group) == ("there", print, "eval")
    file = checkpoint.CheckpointFile({}, {}, (), 0)
    assert (file.metrics, file.version) == ({}, 0)
    assert file.replace(step=4).step == 4
    assert isinstance(highest(tmp_path), checkpoint.BestCheckpointFileWriter)


def test_what_is_written_is_read_with_its_types(tmp_path):
    given = summary(7, eval={"loss": np.float32(0.25)})
    write = checkpoint.CheckpointFileWriter(str(tmp_path))
    assert write(given) is given
    assert names(tmp_path) == ["regular_7"]
    found = checkpoint.CheckpointFileReader(str(tmp_path), target=lambda: None).read(blank())
    assert (found.step, found.version) == (7, 0)
    assert found.metrics == {"eval": {"loss": 0.25}}
    assert isinstance(found.metrics["eval"]["loss"], float)
    assert isinstance(found.model_params, FrozenDict)
    assert_exact(found.model_params["w"], PARAMS["w"])
    structure = jax.tree_util.tree_structure
    assert structure(found.optimizer_state) == structure(given.optimizer_state)


def test_without_an_initializer_dictionaries_are_read(tmp_path):
    read = checkpoint.CheckpointFileReader(str(tmp_path), target=lambda: None)
    assert read(None) is None
    initial = blank()
    assert read(initial) is initial
    checkpoint.CheckpointFileWriter(str(tmp_path))(summary(3, checkpoint.Checkpoint))
    found = read(None)
    assert list(found) == [field.name for field in dataclasses.fields(checkpoint.CheckpointFile)]
    assert (found["step"], found["metrics"]) == (3, {})
    assert read(summary(0, checkpoint.Checkpoint)).step == 3


def test_a_writer_keeps_and_replaces_as_told(tmp_path):
    write = checkpoint.CheckpointFileWriter(str(tmp_path), keep=2)
    for step in (1, 2, 3):
        write(summary(step))
    write.write(summary(1), "other_")
    assert names(tmp_path) == ["other_1", "regular_2", "regular_3"]
    write(summary(2))
    assert names(tmp_path) == ["other_1", "regular_2"]
    with pytest.raises(errors.InvalidCheckpointError):
        checkpoint.CheckpointFileWriter(str(tmp_path), overwrite=False)(summary(2))
    reader = checkpoint.CheckpointFileReader(str(tmp_path), target=lambda: None)
    assert reader.read(None, "other_")["step"] == 1


def test_only_checkpoints_are_written_and_initializers_accepted(tmp_path):
    with pytest.raises(TypeError, match=r"Checkpoint or a Summary .* this is a dict"):
        checkpoint.CheckpointFileWriter(str(tmp_path)).write({"step": 1})
    with pytest.raises(TypeError, match="CheckpointFile, and this is a dict"):
        checkpoint.CheckpointFileReader(str(tmp_path), print).read({})
    with pytest.raises(TypeError, match="Summary, and this is a Checkpoint"):
        lowest(tmp_path)(summary(1, checkpoint.Checkpoint))
    assert names(tmp_path) == []


def test_a_file_that_does_not_fit_is_explained(tmp_path):
    write = checkpoint.CheckpointFileWriter(str(tmp_path))
    write(summary(1, params=FrozenDict({"w": jnp.ones(4)})))
    read = checkpoint.CheckpointFileReader(str(tmp_path), print)
    with pytest.raises(errors.CheckpointMismatchError, match=r"model_params/w: \(3,\) wanted"):
        read(blank())
    checkpoint.save(tmp_path, [1], 2, prefix="regular_")
    with pytest.raises(errors.CheckpointMismatchError, match="model_params"):
        read(blank())


def test_best_writers_save_what_their_readers_find(tmp_path, capsys):
    low, high = lowest(tmp_path), highest(tmp_path)
    values = [(0.5, 0.2), (0.4, 0.9), (0.6, 0.8), (0.4, 0.9)]
    for step, (loss, accuracy) in enumerate(values):
        high(low(summary(step, eval={"loss": loss, "accuracy": accuracy})))
    assert names(tmp_path) == ["highest_eval_accuracy_1", "lowest_eval_loss_1"]
    for cls, metric in (
        (checkpoint.LowestCheckpointFileReader, "loss"),
        (checkpoint.HighestCheckpointFileReader, "accuracy"),
    ):
        read = cls(str(tmp_path), print, metric)
        assert read(blank()).step == read.read(blank()).step == 1
        assert cls(str(tmp_path), print, metric, group="train")(None) is None
    assert "step 1: lowest eval/loss is 0.4, before 0.5" in capsys.readouterr().out


def test_ends_are_strict_and_not_numbers_are_never_best(tmp_path, capsys):
    low, high = lowest(tmp_path, stdout=False), highest(tmp_path, stdout=False)
    nan = float("nan")
    low(summary(1, eval={"loss": nan}))
    assert not low.is_best(nan) and low.is_best(float("inf")) and names(tmp_path) == []
    low(summary(2, eval={"loss": 0.0}))
    assert not low.is_best(0.0) and not low.is_best(nan) and low.is_best(-0.1)
    high(summary(3, eval={"accuracy": 0.0}))
    assert not high.is_best(0.0) and not high.is_best(-1) and high.is_best(0.1)
    assert names(tmp_path) == ["highest_eval_accuracy_3", "lowest_eval_loss_2"]
    assert capsys.readouterr().out == ""


def test_a_restarted_writer_goes_on_from_the_best_on_disk(tmp_path):
    lowest(tmp_path, stdout=False)(summary(5, eval={"loss": 0.0}))
    again = lowest(tmp_path, stdout=False)
    assert again.best_metric == 0.0
    again(summary(6, eval={"loss": 0.1}))
    assert names(tmp_path) == ["lowest_eval_loss_5"]
    again(summary(3, eval={"loss": -0.1}))  # a run that went back to an earlier step
    assert names(tmp_path) == ["lowest_eval_loss_3"]


def test_a_best_value_counts_once_it_is_on_disk(tmp_path, monkeypatch):
    low = lowest(tmp_path, stdout=False)
    with monkeypatch.context() as patch:
        patch.setattr("ramie.checkpoint.summaries.files.save", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            low(summary(1, eval={"loss": 0.1}))
    assert low.best_metric is None and low.is_best(0.2)


def test_the_best_file_may_be_damaged(tmp_path):
    low = lowest(tmp_path, stdout=False, keep=2)
    for step, loss in ((1, 0.5), (2, 0.25)):
        low(summary(step, eval={"loss": loss}))
    path = tmp_path / "lowest_eval_loss_2"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match="fallback"):
        assert lowest(tmp_path).best_metric == 0.5


def test_what_was_not_measured_is_named(tmp_path):
    low = lowest(tmp_path)
    with pytest.raises(errors.MetricNotFoundError, match=r"no group 'eval' .* 'train', 'test'"):
        low(summary(1, train={"loss": 0.1}, test={}))
    with pytest.raises(ValueError, match=r"no metric 'loss' .* there: 'accuracy'"):
        low(summary(1, eval={"accuracy": 0.1}))
    checkpoint.save(tmp_path, {"metrics": {"eval": {"other": 1.0}}}, 1, prefix="lowest_eval_loss_")
    with pytest.raises(errors.MetricNotFoundError, match="'other'"):
        lowest(tmp_path)


def test_an_explicit_prefix_saves_in_any_case(tmp_path):
    low = lowest(tmp_path, stdout=False)
    low.write(summary(1, eval={"loss": 0.1}))
    low.write(summary(2, eval={"loss": 0.2}), "also_")
    assert names(tmp_path) == ["also_2", "lowest_eval_loss_1"]


def test_the_logger_prints_and_hands_on(capsys):
    given = summary(30, train={"loss": jnp.float32(0.25)}, eval={"accuracy": 1})
    assert checkpoint.SummaryLogger()(given) is given
    assert capsys.readouterr().out.splitlines() == [
        "step 30: 10 steps in 2.00 s",
        "step 30: train/loss    0.250000",
        "step 30: eval/accuracy 1.000000",
    ]
    with pytest.raises(TypeError, match="Summary is needed, and this is a Checkpoint"):
        checkpoint.SummaryLogger()(summary(1, checkpoint.Checkpoint))


def test_the_writer_writes_for_tensorboard(tmp_path, monkeypatch):
    seen = []

    class Events:
        def __init__(self, folder):
            seen.append(folder)

        def scalar(self, *arguments):
            seen.append(arguments)

        def close(self):
            seen.append("closed")

    monkeypatch.setattr("ramie.metrics.tensorboard.SummaryWriter", Events)
    write = checkpoint.SummaryWriter(str(tmp_path))
    given = summary(3, train={"loss": 0.25}, eval={"accuracy": 0.5})
    assert write(given) is given and write(given) is given
    assert pickle.loads(pickle.dumps(write)) == write
    del write
    values = [("train/loss", 0.25, 3), ("eval/accuracy", 0.5, 3)]
    assert seen == [str(tmp_path), *values, *values, "closed"]
    with pytest.raises(TypeError, match="TensorBoard"):
        checkpoint.SummaryWriter(str(tmp_path))(3)


def test_files_are_pytrees_and_pickle():
    file = blank()
    assert pickle.loads(pickle.dumps(file)).version == 0
    doubled = jax.tree_util.tree_map(lambda leaf: leaf * 2, file.replace(step=2))
    assert doubled.step == 4
