"""Event files, read back with the messages of tensorboardX."""

import gc
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import errors
from ramie.metrics import encodings, event_file
from ramie.metrics.tensorboard import SummaryWriter, _flatten_dict

pytest.importorskip("tensorboardX")


def only_file(folder):
    (path,) = folder.iterdir()
    return path


def records(path):
    """Split a file into its records by the documented layout, without looking at checksums."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack("<Q", data[at : at + 8])
        yield data[at + 12 : at + 12 + length]
        at += 16 + length


def values(folder):
    from tensorboardX.proto.event_pb2 import Event

    header, *events = [Event.FromString(record) for record in records(only_file(folder))]
    assert header.file_version == "brain.Event:2"
    return [(event.step, value) for event in events for value in event.summary.value]


def written(tmp_path, write):
    with SummaryWriter(tmp_path) as writer:
        write(writer)
    ((step, value),) = values(tmp_path)
    return step, value, value.metadata.plugin_data


def test_a_scalar(tmp_path):
    step, value, plugin = written(tmp_path, lambda w: w.scalar("loss", np.float64(0.1), 7))
    assert (step, value.tag, plugin.plugin_name) == (7, "loss", "scalars")
    assert_exact(event_file.as_array(value.tensor), np.float32(0.1))


def test_a_scalar_has_no_axes(tmp_path):
    with SummaryWriter(tmp_path) as writer, pytest.raises(TypeError, match=r"shape \(1,\)"):
        writer.scalar("loss", np.ones(1), 0)


@pytest.mark.parametrize("text", ["**bold** ü", "**bold** ü".encode()])
def test_text(tmp_path, text):
    _, value, plugin = written(tmp_path, lambda w: w.text("note", text, 1))
    assert plugin.plugin_name == "text"
    assert list(value.tensor.string_val) == ["**bold** ü".encode()]
    assert not value.tensor.tensor_shape.dim


def test_text_is_text(tmp_path):
    with SummaryWriter(tmp_path) as writer, pytest.raises(ValueError, match="found list"):
        writer.text("note", ["a"], 1)


def test_pictures_with_their_size(tmp_path):
    pictures = np.arange(5 * 2 * 3 * 3, dtype=np.uint8).reshape(5, 2, 3, 3)
    _, value, plugin = written(tmp_path, lambda w: w.image("digits", pictures, 1))
    width, height, *encoded = value.tensor.string_val
    assert (plugin.plugin_name, width, height) == ("images", b"3", b"2")
    assert encoded == [encodings.png(picture) for picture in pictures[:3]]


def test_sound_with_its_labels(tmp_path):
    clips = np.zeros((2, 4, 1))
    write = lambda w: w.audio("hum", clips, 1, sample_rate=100, max_outputs=1)
    _, value, plugin = written(tmp_path, write)
    assert (plugin.plugin_name, plugin.content) == ("audio", b"\x10\x0b")
    assert list(value.tensor.string_val) == [encodings.as_wav(clips[0], 100), b""]
    with SummaryWriter(tmp_path) as writer, pytest.raises(ValueError, match="clips, frames"):
        writer.audio("hum", clips[0], 1)


def test_a_distribution(tmp_path):
    _, value, plugin = written(tmp_path, lambda w: w.histogram("weights", np.arange(9), 1))
    counts = event_file.as_array(value.tensor)
    assert (plugin.plugin_name, counts.shape, counts[:, 2].sum()) == ("histograms", (30, 3), 9)


@pytest.mark.parametrize("bins", [0, -1, 1.5, [1, 2]])
def test_a_distribution_needs_a_number_of_bins(tmp_path, bins):
    with SummaryWriter(tmp_path) as writer, pytest.raises(ValueError, match="positive number"):
        writer.histogram("weights", np.arange(9), 1, bins=bins)


def test_hyperparameters(tmp_path):
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    hparams = {"rate": 0.5, "layers": 3, "net": {"name": "mlp", "bias": True, "init": None}}
    _, value, plugin = written(tmp_path, lambda w: w.hparams(hparams))
    assert (value.tag, plugin.plugin_name) == ("_hparams_/session_start_info", "hparams")
    info = HParamsPluginData.FromString(plugin.content).session_start_info
    assert dict(info.hparams) == {
        "rate": type(info.hparams["rate"])(number_value=0.5),
        "layers": type(info.hparams["rate"])(number_value=3),
        "net.name": type(info.hparams["rate"])(string_value="mlp"),
        "net.bias": type(info.hparams["rate"])(bool_value=True),
        "net.init": type(info.hparams["rate"])(string_value="None"),
    }


def test_hyperparameters_that_are_not_shown_become_text():
    assert _flatten_dict({1: [1], "a": {"b": {"c": 1j, "d": np.int8(2)}}}) == {
        "1": "[1]",
        "a.b.c": "1j",
        "a.b.d": np.int8(2),
    }


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "int64", "float16", "bfloat16"])
def test_any_array_of_numbers(tmp_path, dtype):
    import jax.numpy as jnp

    array = np.arange(6).reshape(2, 3).astype(jnp.dtype(dtype))
    _, value, plugin = written(tmp_path, lambda w: w.write("raw", array, 1))
    assert not plugin.plugin_name
    assert_exact(event_file.as_array(value.tensor), array)
    with SummaryWriter(tmp_path) as writer, pytest.raises(TypeError, match="object"):
        writer.write("raw", [object()], 1)


def test_values_wait_for_flush_only_if_asked(tmp_path):
    for auto_flush in (True, False):
        folder = tmp_path / str(auto_flush)
        writer = SummaryWriter(folder, auto_flush=auto_flush)
        writer.scalar("loss", 1, 1)
        before = only_file(folder).stat().st_size
        writer.flush()
        assert (before == only_file(folder).stat().st_size) is auto_flush
        writer.close()


def test_a_closed_writer_says_so(tmp_path):
    writer = SummaryWriter(tmp_path)
    writer.close()
    writer.close()
    for use in (writer.flush, lambda: writer.scalar("loss", 1, 1)):
        with pytest.raises(AttributeError, match="closed"):
            use()


def test_a_writer_that_nobody_closes_has_written_everything(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        writer = SummaryWriter(tmp_path, auto_flush=False)
        writer.scalar("loss", 2, 1)
        del writer
        gc.collect()
    assert not caught
    ((step, value),) = values(tmp_path)
    assert (step, value.tag) == (1, "loss")


def test_a_writer_is_closed_without_a_warning_when_the_program_ends(tmp_path):
    program = (
        "from ramie.metrics.tensorboard import SummaryWriter\n"
        f"writer = SummaryWriter({str(tmp_path)!r}, auto_flush=False)\n"
        "writer.scalar('loss', 2, 1)\n"
        "writer.itself = writer\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Warning" not in done.stderr
    assert [value.tag for _, value in values(tmp_path)] == ["loss"]


def test_two_writers_at_once_do_not_share_a_file(tmp_path):
    with SummaryWriter(tmp_path) as first, SummaryWriter(tmp_path) as second:
        first.scalar("loss", 1, 1)
        second.scalar("loss", 2, 1)
    assert len(list(tmp_path.iterdir())) == 2


def test_reading_stops_before_a_record_that_is_not_complete(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.scalar("loss", 1, 1)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    for missing in (1, 8, 20):
        path.write_bytes(whole[:-missing])
        assert [event.file_version for event in event_file.read(str(path))] == ["brain.Event:2"]
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="damaged"):
        list(event_file.read(str(path)))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    event_file.messages.cache_clear()
    for name in ("tensorboardX", "tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(errors.MissingExtraError, match=r"ramie\[tensorboard\]"):
        SummaryWriter(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    event_file.messages.cache_clear()


def test_tensorflow_is_not_imported(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.scalar("loss", 1, 1)
    assert "tensorflow" not in sys.modules
