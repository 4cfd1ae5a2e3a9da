"""Event files, which TensorBoard reads: a header, then one checked record after the other.

Messages and checksums come from tensorboardX or, in its absence, from tensorboard, imported when
the first file is opened. TensorFlow is never imported.
"""

import dataclasses
import functools
import importlib
import itertools
import os
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from ramie import errors
from ramie.foundation import io

__all__ = ["EventFile", "Messages", "as_array", "as_tensor", "messages", "read"]

_VERSION = "brain.Event:2"
# The numbers of TensorFlow's types.proto; not every package has all of their names.
_TEXT = 7
_DATA_TYPES = {
    "float32": 1,
    "float64": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 5,
    "int8": 6,
    "complex64": 8,
    "int64": 9,
    "bool": 10,
    "bfloat16": 14,
    "uint16": 17,
    "complex128": 18,
    "float16": 19,
    "uint32": 22,
    "uint64": 23,
}
_LENGTH = struct.Struct("<Q")
_CHECK = struct.Struct("<I")
_numbers = itertools.count()


@dataclasses.dataclass(frozen=True)
class Messages:
    """The protocol buffers of one of the two packages, and its checksum.

    Attributes:
      event: module of `Event`.
      summary: module of `Summary` and `SummaryMetadata`.
      tensor: module of `TensorProto`.
      hparams: module of `HParamsPluginData`.
      checksum: the masked CRC-32C of bytes.
    """

    event: Any
    summary: Any
    tensor: Any
    hparams: Any
    checksum: Callable[[bytes], int]


_PACKAGES = {
    "tensorboardX": (
        "tensorboardX.proto",
        "tensorboardX.proto.plugin_hparams_pb2",
        "tensorboardX.record_writer",
    ),
    "tensorboard": (
        "tensorboard.compat.proto",
        "tensorboard.plugins.hparams.plugin_data_pb2",
        "tensorboard.compat.tensorflow_stub.pywrap_tensorflow",
    ),
}


@functools.cache
def messages() -> Messages:
    """Import the messages from the package that is installed.

    Raises:
      MissingExtraError: if neither package is.
    """
    for package, (proto, hparams, checksum) in _PACKAGES.items():
        try:
            importlib.import_module(package)
        except ImportError:
            continue
        event, summary, tensor = (
            importlib.import_module(f"{proto}.{name}_pb2")
            for name in ("event", "summary", "tensor")
        )
        plugin = importlib.import_module(hparams)
        check = importlib.import_module(checksum).masked_crc32c
        return Messages(event, summary, tensor, plugin, check)
    raise errors.MissingExtraError("tensorboardX", "tensorboard", "write TensorBoard event files")


def as_tensor(value: Any) -> Any:
    """Make a `TensorProto` of an array, or of text: a string, bytes or an array of them.

    Raises:
      TypeError: for an array of anything else.
    """
    array = np.asarray(value)
    proto = messages().tensor.TensorProto()
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype.kind in "SUO":
        proto.dtype = _TEXT
        proto.string_val.extend(_as_bytes(item) for item in array.ravel().tolist())
        return proto
    number = _DATA_TYPES.get(array.dtype.name)
    if number is None:
        raise TypeError(
            f"An array of dtype {array.dtype} cannot be written to an event file: expected "
            "numbers, booleans or text."
        )
    proto.dtype = number
    proto.tensor_content = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return proto


def _as_bytes(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8")
    if isinstance(item, bytes):
        return item
    raise TypeError(f"Text for an event file is a str or bytes, found {type(item).__name__}.")


def as_array(proto: Any) -> np.ndarray[Any, Any]:
    """Return the array in a `TensorProto` that `as_tensor` has made; text as an array of bytes.

    Raises:
      TypeError: for a data type without a counterpart in NumPy.
    """
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.dtype == _TEXT:
        array = np.empty(len(proto.string_val), dtype=object)
        array[:] = list(proto.string_val)
        return array.reshape(shape)
    names = {number: name for name, number in _DATA_TYPES.items()}
    if proto.dtype not in names:
        raise TypeError(f"A tensor of data type number {proto.dtype} has no counterpart here.")
    return np.frombuffer(proto.tensor_content, jnp.dtype(names[proto.dtype])).reshape(shape)


def read(path: str) -> Iterator[Any]:
    """Read the events of a file that this module has written, the header first.

    A record at the end that is not wholly there yet is left out: the file may still be written.

    Raises:
      ValueError: if a checksum does not fit.
    """
    with io.GFile(path, "rb") as file:
        while len(head := file.read(_LENGTH.size + _CHECK.size)) == _LENGTH.size + _CHECK.size:
            length = head[: _LENGTH.size]
            _verify(length, head[_LENGTH.size :], path)
            size = _LENGTH.unpack(length)[0]
            record = file.read(size + _CHECK.size)
            if len(record) < size + _CHECK.size:
                return
            _verify(record[:size], record[size:], path)
            yield messages().event.Event.FromString(record[:size])


def _verify(data: bytes, check: bytes, path: str) -> None:
    if _CHECK.unpack(check)[0] != messages().checksum(data):
        raise ValueError(f"The event file {path!r} is damaged: a checksum does not fit its data.")


class EventFile:
    """A new event file. Its methods may be called from several threads.

    Args:
      log_dir: the folder, made if needed; a URL if fsspec knows it.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        folder = os.fspath(log_dir)
        messages()  # say what is not installed before anything is written
        io.makedirs(folder)
        started = int(time.time())
        host = socket.gethostname()
        name = f"events.out.tfevents.{started:010}.{host}.{os.getpid()}.{next(_numbers)}"
        self._file = io.GFile(f"{folder.rstrip('/')}/{name}", "wb")
        # Who never closes it still finds all values in it, and hears nothing of an open file.
        self._close_once = weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._write(file_version=_VERSION)

    def add(self, tag: str, value: Any, step: int, metadata: Any = None) -> None:
        """Append one value.

        Args:
          tag: its name.
          value: a `TensorProto`.
          step: the step of the training.
          metadata: a `SummaryMetadata`, possibly of another package.
        """
        summary = messages().summary.Summary()
        entry = summary.value.add(tag=tag, tensor=value)
        if metadata is not None:
            entry.metadata.ParseFromString(metadata.SerializeToString())
        self._write(step=step, summary=summary)

    def _write(self, **fields: Any) -> None:
        data = messages().event.Event(wall_time=time.time(), **fields).SerializeToString()
        length = _LENGTH.pack(len(data))
        checks = [_CHECK.pack(messages().checksum(part)) for part in (length, data)]
        with self._lock:
            self._file.write(b"".join([length, checks[0], data, checks[1]]))

    def flush(self) -> None:
        """Hand everything to the operating system."""
        with self._lock:
            self._file.flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        with self._lock:
            self._close_once()
