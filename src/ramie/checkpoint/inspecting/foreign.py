"""Files of other programs: what they are, by their first bytes, and what to do with them.

None of these beginnings is one of a msgpack file. The first byte of each is a number in msgpack,
which would be the whole file, or begins a container that would end before the file does.
"""

import re
from typing import NamedTuple

from ramie.checkpoint.storage import entries as storage

__all__ = ["LONGEST", "Foreign", "name_directory", "name_file"]

LONGEST = 512
"""How many bytes of a file are looked at."""


class Foreign(NamedTuple):
    """What a file or directory is.

    Attributes:
      kind: to be read after "is".
      instead: what to do, as a sentence.
    """

    kind: str
    instead: str


_TORCH = (
    "Load it with torch.load(path, weights_only=True) and save the state dict by "
    "safetensors.torch.save_file, or turn it into variables with ramie.interop.torch"
)
_PICKLE = Foreign(
    "a pickle",
    "It is not read, because loading a pickle runs whatever code it names. If you trust whoever "
    "made it, load it yourself and save the arrays.",
)
_TORCH_ZIP = Foreign("a file of PyTorch (a zip archive)", f"{_TORCH}.")
_TORCHSCRIPT = Foreign(
    "a TorchScript program of PyTorch (a zip archive)",
    "Load it with torch.jit.load(path), and turn its state_dict() into variables with "
    "ramie.interop.torch.",
)
_NPZ = Foreign(
    "an archive of NumPy (.npz)",
    "Load it with dict(numpy.load(path)) and save that dictionary.",
)
_KERAS = Foreign("a model of Keras", "Load it with Keras, and save what get_weights() returns.")
_HDF5 = Foreign(
    "an HDF5 file", "Read it with h5py (or the program that made it), and save its arrays."
)
_LFS = Foreign(
    "a pointer of Git LFS, which stands for the file",
    "Fetch the file itself: git lfs pull.",
)
_TENSORFLOW = Foreign(
    "a checkpoint of TensorFlow",
    "Read it with tf.train.load_checkpoint(prefix), and save its arrays.",
)

_STARTS = (
    (
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19",
        Foreign("a file of PyTorch before 1.6 (pickles)", f"{_TORCH}."),
    ),
    (
        b"\x93NUMPY",
        Foreign("an array of NumPy (.npy)", "Load it by numpy.load(path), and save a tree of it."),
    ),
    (b"\x89HDF\r\n\x1a\n", _HDF5),
    (
        b"GGUF",
        Foreign("a GGUF file", "Read it with the package gguf (GGUFReader), and save its arrays."),
    ),
    (b"version https://git-lfs", _LFS),
    (b"MATLAB 5.0 MAT-file", Foreign("a MATLAB file", "Read it with scipy.io.loadmat(path).")),
    (b"\x1f\x8b", Foreign("compressed by gzip", "Decompress it: gunzip.")),
    (b"\x28\xb5\x2f\xfd", Foreign("compressed by Zstandard", "Decompress it: zstd -d.")),
    (b"\xfd7zXZ\0", Foreign("compressed by xz", "Decompress it: unxz.")),
    (b"BZh", Foreign("compressed by bzip2", "Decompress it: bunzip2.")),
    (b"\x5d\0\0", Foreign("compressed by LZMA", "Decompress it: unlzma.")),
    (b"7z\xbc\xaf\x27\x1c", Foreign("a 7z archive", "Unpack it.")),
    (b"model_checkpoint_path:", _TENSORFLOW),
)
_OLD_PICKLE = re.compile(
    rb"\x80[\x02-\x05].|\((?:dp|lp|i[A-Za-z_.]+\n)|c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n", re.DOTALL
)
_ONNX = re.compile(rb"\x08[\x01-\x20]\x12[\x01-\x40][ -~]{1,64}", re.DOTALL)
_SAVED_MODEL = re.compile(rb"\x08\x01\x12..?.?\n", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_IN_ONE_BYTE = re.compile(rb"[\x00-\x7f\xe0-\xff]")
"""First bytes which in msgpack are a number, and the whole file."""


def name_file(start: bytes, size: int) -> Foreign | None:
    """Tell what a file of another program is; None if it is none that is known here.

    Args:
      start: its first bytes, `LONGEST` of them if there are so many.
      size: its length.

    Example:
      >>> from ramie.checkpoint.inspecting.foreign import name_file
      >>> name_file(b"GGUF" + bytes(20), 24).kind
      'a GGUF file'
    """
    if size < 2:
        return None
    for magic, foreign in _STARTS:
        if start.startswith(magic):
            return foreign
    if _OLD_PICKLE.match(start):
        return _PICKLE
    if not _IN_ONE_BYTE.match(start):
        return None
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return _name_zip(start)
    if start[257:262] == b"ustar":
        return Foreign("a tar archive", "Unpack it: tar -xf.")
    if _SAVED_MODEL.match(start):
        return Foreign(
            "a SavedModel of TensorFlow", "Load it with tf.saved_model.load, and save its arrays."
        )
    if _ONNX.match(start):
        return Foreign(
            "an ONNX model",
            "Read it with the package onnx (onnx.numpy_helper.to_array), and save its arrays.",
        )
    return _name_text(start)


def _name_zip(start: bytes) -> Foreign:
    length = int.from_bytes(start[26:28], "little")
    name, rest = start[30 : 30 + length], start[30 + length :]
    if name.endswith(b"/data.pkl"):
        return _TORCH_ZIP
    if rest.startswith(b"FB") or name.endswith((b"/constants.pkl", b"/version")):
        return _TORCHSCRIPT  # PyTorch pads what it writes by a field of this name
    if name.endswith(b".npy"):
        return _NPZ
    if name in (b"metadata.json", b"config.json", b"model.weights.h5"):
        return _KERAS
    return Foreign("a zip archive", "Unpack it, and name a file in it.")


def _name_text(start: bytes) -> Foreign | None:
    text = start.lstrip()
    if _CONTROL.search(start) or not text or text[0] >= 0x80:
        return None
    try:
        start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # else a character may go on behind what is looked at
            return None
    if text[:1] in (b"{", b"["):
        return Foreign("text, in JSON by its looks", "Name the file with the arrays.")
    if text[:1] == b"<":
        return Foreign(
            "a page in HTML or XML",
            "A download that failed leaves such a page. Fetch the file once more.",
        )
    return Foreign("text", "Name the file with the arrays.")


def name_directory(path: str) -> Foreign | None:
    """Tell what a directory of another program is; None if it is none that is known here.

    Args:
      path: the directory; a URL too.
    """
    names = set(storage.list_names(path))
    if "saved_model.pb" in names:
        return Foreign(
            "a SavedModel of TensorFlow", "Load it with tf.saved_model.load, and save its arrays."
        )
    if any(name.endswith(".distcp") for name in names):
        return Foreign(
            "a distributed checkpoint of PyTorch",
            "Make one file of it with torch.distributed.checkpoint.format_utils.",
        )
    if any(name.endswith(".index") and not name.startswith(".") for name in names) and any(
        ".data-00000-of-" in name for name in names
    ):
        return _TENSORFLOW
    return None
