"""A bit that changes on disk is always noticed, wherever it is."""

import numpy as np
import pytest

from ramie import checkpoint, errors

FLIPS = 300


def test_no_flipped_bit_is_read_silently(tmp_path):
    generator = np.random.default_rng(0)
    tree = {
        "step": 3,
        "name": "run",
        "weights": generator.standard_normal((40, 50)).astype(np.float32),
        "layers": [{"bias": np.arange(7)}, {"bias": np.zeros(0)}],
    }
    path = checkpoint.save(tmp_path, tree, 3)
    with open(path, "r+b", buffering=0) as file:
        data = file.read()
        for position in generator.integers(0, 8 * len(data), FLIPS):
            byte, bit = divmod(int(position), 8)
            file.seek(byte)
            file.write(bytes([data[byte] ^ (1 << bit)]))
            with pytest.raises(errors.DamagedCheckpointError, match="checkpoint_3"):
                checkpoint.restore(tmp_path, tree)
            file.seek(byte)
            file.write(data[byte : byte + 1])
    checkpoint.restore(tmp_path, tree)
