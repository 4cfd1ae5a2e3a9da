"""`ramie ckpt convert --stack` and `--unstack`."""

import os

import numpy as np
from tests.tolerance import assert_exact

from ramie import checkpoint


def test_layers_are_stacked_and_taken_apart(run, ckpt, page):
    layers = {f"layers_{i}": {"bias": np.full(2, i)} for i in range(11)}
    path = os.path.relpath(checkpoint.save("tower", {"params": layers}, 1))
    assert ckpt("convert", path, "one", "--stack", "layers") == (0, "one\n", "")
    stacked = checkpoint.restore("one", None)["params"]
    assert_exact(stacked["layers"]["bias"][:, 0], np.arange(11))
    assert page("convert", "one", "back", "--unstack", "params/layers") == (0, {"path": "back"})
    assert checkpoint.restore("back", None)["params"].keys() == layers.keys()
    assert ckpt("convert", "one", "below.safetensors", "--unstack", "layers/")[0] == 0
    assert "10" in checkpoint.load_safetensors("below.safetensors")["params"]["layers"]


def test_what_cannot_be_stacked(run, ckpt):
    file = "run/checkpoint_2"
    code, out, err = ckpt("convert", file, "one", "--stack", "layers")
    assert (code, out) == (2, "") and "no layers with numbers called 'layers'" in err
    code, out, err = ckpt("convert", file, "one", "--stack", "a", "--unstack", "b")
    assert (code, out) == (2, "") and "convert twice" in err
    assert not os.path.exists("one")
