"""`ramie ckpt extract`."""

import os

from ramie import checkpoint

FILE = "run/checkpoint_2"


def test_a_subtree_goes_into_a_file(run, ckpt, page):
    assert ckpt("extract", FILE, "params", "part.safetensors") == (0, "part.safetensors\n", "")
    leaves = checkpoint.outline("part.safetensors").leaves
    assert [leaf.path for leaf in leaves] == [("Dense_0", "kernel"), ("b",)]
    code, _, err = ckpt("extract", FILE, "params", "part.safetensors")
    assert code == 2 and "`--overwrite` replaces it" in err
    done = page("extract", FILE, "params/b", "part.safetensors", "--overwrite", "--to", "msgpack")
    assert done == (0, {"path": "part.safetensors"})
    assert checkpoint.outline("part.safetensors").form == "msgpack"


def test_what_cannot_be_extracted(run, ckpt):
    code, out, err = ckpt("extract", FILE, "param", "part")
    assert (code, out) == (2, "") and "which has 'params', 'step'" in err
    assert not os.path.exists("part")
