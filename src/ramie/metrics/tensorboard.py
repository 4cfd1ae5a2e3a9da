"""Write what a training run should show in TensorBoard."""

import hashlib
import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np

from ramie.foundation import io as io
from ramie.metrics import encodings
from ramie.metrics.event_file import EventFile, as_tensor, messages

__all__ = ["SummaryWriter"]

_DEFAULT_BINS = 30
_WAV = b"\x10\x0b"  # the audio plugin's settings: field 2 (encoding) is 11 (WAV)
_HPARAMS_TAG = "_hparams_/session_start_info"
_HPARAM_TYPES = (bool, int, float, str, np.bool_, np.integer, np.floating, np.character)


def _flatten_dict(
    input_dict: Mapping[Any, Any], parent_key: str = "", sep: str = "."
) -> dict[str, Any]:
    """Join nested names, and turn values which the hparams plugin does not show into text."""
    flat: dict[str, Any] = {}
    for key, value in input_dict.items():
        name = f"{parent_key}{sep}{key}" if parent_key else str(key)
        if isinstance(value, Mapping):
            flat.update(_flatten_dict(value, name, sep))
        else:
            flat[name] = value if isinstance(value, _HPARAM_TYPES) else str(value)
    return flat


class SummaryWriter:
    """Writes scalars, images, sound, distributions, text and hyperparameters to an event file.

    It needs the extra ``ramie[tensorboard]`` (or the package tensorboard), and never TensorFlow. It
    may be used in a `with` block, which closes it.

    Args:
      log_dir: the folder of this run.
      auto_flush: hand each value to the operating system at once, so that TensorBoard shows it;
        otherwise values wait for `flush` or `close`.

    Raises:
      MissingExtraError: if no package for event files is installed.

    Example:
      >>> import tempfile
      >>> from ramie.metrics.tensorboard import SummaryWriter
      >>> with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
      ...     writer.scalar("loss", 0.25, step=1)
      ...     writer.hparams({"optimizer": {"name": "adam", "rate": 1e-3}})
    """

    def __init__(self, log_dir: str | os.PathLike[str], auto_flush: bool = True) -> None:
        log_dir = os.fspath(log_dir)
        self._log_dir = log_dir
        self._auto_flush = auto_flush
        self._file: EventFile | None = EventFile(log_dir)

    def __enter__(self) -> "SummaryWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open_file(self) -> EventFile:
        if self._file is None:
            raise AttributeError(
                f"The SummaryWriter for {self._log_dir!r} is closed and has no event file any "
                "more. Make a new one to go on writing there."
            )
        return self._file

    def _add(self, plugin: str, tag: str, value: Any, step: int, content: bytes = b"") -> None:
        metadata = messages().summary.SummaryMetadata()
        metadata.plugin_data.plugin_name = plugin
        metadata.plugin_data.content = content
        self.write(tag, value, step, metadata)

    def scalar(self, tag: str, value: Any, step: int) -> None:
        """Write one number, as float32.

        Args:
          tag: the name of the curve.
          value: a number, or an array with one element and no axis.
          step: the step of the training.

        Raises:
          TypeError: if `value` has axes.
        """
        number = np.asarray(value)
        if number.ndim:
            raise TypeError(
                f"Scalar {tag!r} is one number, found an array of shape {number.shape}. Reduce it "
                "first, for example by its mean."
            )
        self._add("scalars", tag, number.astype(np.float32), step)

    def image(self, tag: str, image: Any, step: int, max_outputs: int = 3) -> None:
        """Write pictures.

        Args:
          tag: their name.
          image: ``[h, w]``, ``[h, w, 1]``, ``[h, w, 3]``, ``[count, h, w]`` or
            ``[count, h, w, channels]`` with one to four channels; floating-point from 0 to 1 or
            integers from 0 to 255. What lies outside is clipped, grey becomes RGB.
          step: the step of the training.
          max_outputs: how many pictures are written at most.

        Raises:
          ValueError: for any other shape.

        Differs from Flax: integers of any width are levels from 0 to 255.
        """
        pictures = encodings.as_images(image)[:max_outputs]
        height, width = pictures.shape[1:3]
        size = [str(width).encode(), str(height).encode()]
        encoded = [*size, *map(encodings.png, pictures)]
        self._add("images", tag, np.array(encoded, dtype=object), step)

    def audio(
        self,
        tag: str,
        audiodata: Any,
        step: int,
        sample_rate: int = 44100,
        max_outputs: int = 3,
    ) -> None:
        """Write sound clips, with 16 bits per sample.

        Args:
          tag: their name.
          audiodata: ``[clips, frames, channels]``, from -1 to 1; what lies outside is clipped.
          step: the step of the training.
          sample_rate: frames per second.
          max_outputs: how many clips are written at most.

        Raises:
          ValueError: for any other shape.
        """
        clips = np.asarray(audiodata)
        if clips.ndim != 3:
            raise ValueError(
                f"Audio {tag!r} has the shape {clips.shape}; expected [clips, frames, channels]."
            )
        # Each clip has a label beside it, which is empty.
        rows = [[encodings.as_wav(clip, sample_rate), b""] for clip in clips[:max_outputs]]
        encoded = np.empty((len(rows), 2), dtype=object)
        encoded[:] = rows
        self._add("audio", tag, encoded, step, _WAV)

    def histogram(self, tag: str, values: Any, step: int, bins: int | None = None) -> None:
        """Write the distribution of values.

        Args:
          tag: its name.
          values: numbers, in an array of any shape; those that are not finite are left out.
          step: the step of the training.
          bins: how many intervals of equal width to count in; 30 by default.

        Raises:
          ValueError: if `bins` is not a positive number.
        """
        count = _DEFAULT_BINS if bins is None else bins
        if not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"bins is a positive number of intervals, found {bins!r}.")
        self._add("histograms", tag, encodings.buckets(values, int(count)), step)

    def text(self, tag: str, textdata: str | bytes, step: int) -> None:
        """Write text, which TensorBoard shows as Markdown.

        Args:
          tag: its name.
          textdata: the text; bytes are UTF-8.
          step: the step of the training.

        Raises:
          ValueError: if it is neither `str` nor `bytes`.
        """
        if not isinstance(textdata, str | bytes):
            raise ValueError(
                f"`textdata` of {tag!r} should be a str or bytes, found {type(textdata).__name__}."
            )
        encoded = textdata.encode("utf-8") if isinstance(textdata, str) else textdata
        self._add("text", tag, np.array(encoded, dtype=object), step)

    def hparams(self, hparams: Mapping[str, Any]) -> None:
        """Write the hyperparameters of this run.

        Args:
          hparams: values by name. Names of nested dictionaries are joined with a dot; a value that
            is neither a number, a boolean nor a string is written as text.
        """
        flat = _flatten_dict(hparams)
        data = messages().hparams.HParamsPluginData()
        info = data.session_start_info
        for name, value in flat.items():
            if isinstance(value, bool | np.bool_):
                info.hparams[name].bool_value = bool(value)
            elif isinstance(value, int | float | np.integer | np.floating):
                info.hparams[name].number_value = float(value)
            else:
                info.hparams[name].string_value = str(value)
        # Runs with the same hyperparameters form one group.
        info.group_name = hashlib.sha256(repr(sorted(flat.items())).encode()).hexdigest()
        info.start_time_secs = time.time()
        content = data.SerializeToString()
        self._add("hparams", _HPARAMS_TAG, np.zeros(0, np.float32), 0, content)

    def write(self, tag: str, tensor: Any, step: int, metadata: Any = None) -> None:
        """Write an array of numbers or text for any plugin.

        Args:
          tag: its name.
          tensor: the array.
          step: the step of the training.
          metadata: a `SummaryMetadata` message that names the plugin.

        Raises:
          AttributeError: if the writer is closed.
          TypeError: if the array holds neither numbers nor text.
        """
        file = self._open_file()
        file.add(tag, as_tensor(tensor), int(step), metadata)
        if self._auto_flush:
            file.flush()

    def flush(self) -> None:
        """Hand everything written so far to the operating system.

        Raises:
          AttributeError: if the writer is closed.
        """
        self._open_file().flush()

    def close(self) -> None:
        """Write what is left and close the file; closing again does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
