"""Arrays as TensorBoard stores them: images as PNG, sound as WAV, distributions as buckets.

Reference: the PNG specification (https://www.w3.org/TR/png), chapters 5 and 11.
"""

import io
import math
import struct
import wave
import zlib
from typing import Any

import numpy as np

__all__ = ["as_images", "as_wav", "buckets", "png"]

_PNG_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}  # channels to the PNG colour type
_SINGLE_IMAGE_CHANNELS = (1, 3)
_LARGEST_SAMPLE = 2**15


def as_images(image: Any) -> np.ndarray[Any, Any]:
    """Bring pictures into the form ``[count, height, width, channels]`` of bytes.

    Args:
      image: ``[h, w]``, ``[h, w, 1]``, ``[h, w, 3]``, ``[count, h, w]`` (any other last axis) or
        ``[count, h, w, channels]``. Floating-point values from 0 to 1 become 0 to 255; integers are
        taken as they are. What lies outside is clipped.

    Returns:
      The pictures; grey ones are repeated to three channels.

    Raises:
      ValueError: for any other shape.
    """
    array = np.asarray(image)
    if array.ndim == 3:
        is_single = array.shape[-1] in _SINGLE_IMAGE_CHANNELS
        array = array[np.newaxis] if is_single else array[..., np.newaxis]
    elif array.ndim == 2:
        array = array[np.newaxis, ..., np.newaxis]
    if array.ndim != 4 or array.shape[-1] not in _PNG_COLOUR:
        raise ValueError(
            f"An image of shape {np.shape(image)} cannot be shown: expected [height, width], "
            "[height, width, 1 or 3], [count, height, width] or [count, height, width, 1 to 4]."
        )
    if array.shape[-1] == 1:
        array = np.repeat(array, 3, axis=-1)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if not np.issubdtype(array.dtype, np.integer):
        # Each of the 256 levels stands for an interval of the same width.
        array = np.floor(np.nan_to_num(array.astype(np.float64)) * 255.5)
    return np.clip(array, 0, 255).astype(np.uint8)


def png(image: np.ndarray[Any, Any]) -> bytes:
    """Encode one picture as PNG, without loss.

    Args:
      image: bytes, ``[height, width, channels]`` with one to four channels.
    """
    height, width, channels = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _PNG_COLOUR[channels], 0, 0, 0)
    rows = image.reshape(height, width * channels)
    unfiltered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    chunks = [
        (b"IHDR", header),
        (b"IDAT", zlib.compress(unfiltered.tobytes())),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def as_wav(samples: np.ndarray[Any, Any], sample_rate: int) -> bytes:
    """Encode sound as WAV with 16 bits per sample.

    Args:
      samples: from -1 to 1, ``[frames, channels]``; what lies outside is clipped.
      sample_rate: frames per second.
    """
    scaled = np.rint(np.nan_to_num(samples.astype(np.float64)) * _LARGEST_SAMPLE)
    clipped = np.clip(scaled, -_LARGEST_SAMPLE, _LARGEST_SAMPLE - 1).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(samples.shape[1])
        sound.setsampwidth(2)
        sound.setframerate(sample_rate)
        sound.writeframes(clipped.tobytes())
    return file.getvalue()


def buckets(values: Any, bins: int) -> np.ndarray[Any, Any]:
    """Count values in intervals of equal width between the smallest and the largest.

    Args:
      values: numbers, in an array of any shape. Those that are not finite are left out.
      bins: how many intervals.

    Returns:
      ``[bins, 3]``: left edge, right edge, count. If all values are equal, all edges are that
      value and the last interval counts them; if there is none, everything is zero.

    Example:
      >>> from ramie.metrics.encodings import buckets
      >>> buckets([0, 1, 2, 3, 9], bins=3).tolist()
      [[0.0, 3.0, 3.0], [3.0, 6.0, 1.0], [6.0, 9.0, 1.0]]
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return np.zeros((bins, 3))
    low, high = float(flat.min()), float(flat.max())
    if low == high or not math.isfinite(high - low):
        counts, edges = np.zeros(bins), np.linspace(low, high, bins + 1)
        counts[-1] = flat.size
    else:
        counts, edges = np.histogram(flat, bins=bins, range=(low, high))
    return np.stack([edges[:-1], edges[1:], counts], axis=1)
