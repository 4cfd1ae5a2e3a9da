"""Pictures, sound and distributions, decoded again by other means."""

import io
import struct
import wave
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tolerance import assert_close, assert_exact

from ramie.metrics import encodings


def decode_png(data):
    """Decode what `encodings.png` writes: rows without a filter, in one chunk."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert check == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + length
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert depth == 8
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    raw = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8)
    rows = raw.reshape(height, 1 + width * channels)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, channels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_keeps_every_pixel(channels):
    picture = np.arange(3 * 5 * channels, dtype=np.uint8).reshape(3, 5, channels)
    assert_exact(decode_png(encodings.png(picture)), picture)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 5), (1, 4, 5, 3)),
        ((4, 5, 1), (1, 4, 5, 3)),
        ((4, 5, 3), (1, 4, 5, 3)),
        ((2, 4, 5), (2, 4, 5, 3)),
        ((2, 4, 5, 1), (2, 4, 5, 3)),
        ((2, 4, 5, 3), (2, 4, 5, 3)),
        ((2, 4, 5, 4), (2, 4, 5, 4)),
    ],
)
def test_pictures_of_every_documented_shape(shape, expected):
    assert encodings.as_images(np.zeros(shape, np.uint8)).shape == expected


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4, 5), (1, 2, 3, 4, 3)])
def test_other_shapes_are_refused_with_what_is_expected(shape):
    with pytest.raises(ValueError, match=r"\[count, height, width\]"):
        encodings.as_images(np.zeros(shape))


def test_values_outside_of_the_range_are_clipped():
    levels = encodings.as_images(np.array([[-1.0, 0.0, 0.5, 1.0, 7.0, np.nan]]))[0, 0, :, 0]
    assert levels.tolist() == [0, 0, 127, 255, 255, 0]
    wide = encodings.as_images(np.array([[-3, 0, 128, 255, 999]]))[0, 0, :, 0]
    assert wide.tolist() == [0, 0, 128, 255, 255]
    assert encodings.as_images(np.array([[True, False]]))[0, 0, :, 0].tolist() == [255, 0]


def test_sound_is_clipped_and_keeps_its_rate():
    samples = np.array([[0.0, 1.0], [-1.0, 0.5], [-9.0, 9.0]])
    with wave.open(io.BytesIO(encodings.as_wav(samples, 8000))) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (2, 2, 8000)
        frames = np.frombuffer(sound.readframes(3), "<i2").reshape(3, 2)
    assert frames.tolist() == [[0, 32767], [-32768, 16384], [-32768, 32767]]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.integers(1, 8))
def test_buckets_count_every_value_once(values, bins):
    left, right, counts = encodings.buckets(values, bins).T
    assert counts.sum() == len(values)
    assert left[0] == min(values)
    assert_close(right[-1], np.float64(max(values)))
    assert_exact(left[1:], right[:-1])


def test_buckets_without_a_range():
    assert encodings.buckets(np.ones(4), 2).tolist() == [[1, 1, 0], [1, 1, 4]]
    assert encodings.buckets([], 2).tolist() == [[0, 0, 0]] * 2
    assert encodings.buckets([np.nan, np.inf, 1, 3], 2).tolist() == [[1, 2, 1], [2, 3, 1]]
